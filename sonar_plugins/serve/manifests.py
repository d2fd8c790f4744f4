"""Manifests and tags: pull, push, delete, list (OCI distribution-spec v1.1, end-2, end-7 to end-9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonar_core.content import Digest
from sonar_core.errors import SonarError
from sonar_core.manifest import Manifest

from .index import is_tag
from .messages import Fault, Request, Response, Slice
from .referrers import Referrer
from .service import Service, Target, digest_of, page, read
from .storage import Repository

if TYPE_CHECKING:
    from sonar_core.content import Descriptor

LARGEST = 4 << 20  # bytes of a manifest


def list_repositories(service: Service, request: Request, target: Target) -> Response:
    """GET /v2/_catalog, which is Docker's and not in the OCI spec."""
    names, headers = page(service.storage.names(), request, service.options.page_size)
    return Response.of_json({"repositories": names}, headers=headers)


def list_tags(service: Service, request: Request, target: Target) -> Response:
    """GET /v2/NAME/tags/list (end-8a, end-8b)."""
    index = service.repository(target).index
    tags, headers = page(index.sorted_tags, request, service.options.page_size)
    return Response.of_json({"name": target.repository, "tags": tags}, headers=headers)


def get_manifest(service: Service, request: Request, target: Target) -> Response:
    """GET and HEAD /v2/NAME/manifests/REFERENCE (end-3): the bytes as they came, whatever `Accept` says."""
    repository = service.repository(target)
    reference = digest_of(target.reference) if ":" in target.reference else target.reference
    manifest = repository.index.resolve(reference)
    if manifest is None:
        raise _unknown(target)
    headers = (
        ("Content-Type", manifest.media_type),
        ("Docker-Content-Digest", str(manifest.digest)),
        ("ETag", f'"{manifest.digest}"'),
    )
    content = repository.open(manifest.digest)
    if content is None:
        raise _unknown(target)
    return Response(200, headers, Slice(content, 0, content.size))


def put_manifest(service: Service, request: Request, target: Target) -> Response:
    """PUT /v2/NAME/manifests/REFERENCE (end-7a), and with a digest `?tag=…&tag=…` (end-7b)."""
    expected = digest_of(target.reference) if ":" in target.reference else None
    tags = list(request.query.get("tag", ())) if expected else [target.reference]
    for tag in tags:
        if not is_tag(tag):
            raise Fault(400, "TAG_INVALID", f"{tag!r} is not a tag")
    raw = request.body.read(LARGEST)
    manifest = _parse(raw, request.headers.get("content-type"), expected)
    if not service.options.sparse:
        _require(manifest, service.storage.find(target.repository))
    repository = service.storage.create(target.repository)
    with repository.locked():  # content and index together: a delete must not come between
        if read(repository, manifest.digest) != raw:  # it often is there, and gets another tag
            incoming = service.storage.incoming()
            try:
                incoming.write(memoryview(raw))
                incoming.keep(target.repository, manifest.digest)
            finally:
                incoming.discard()
        repository.save(repository.index.with_manifest(manifest.descriptor(), tags))
    referrer = service.subjects[manifest.digest] = Referrer.of(manifest)
    headers = [
        ("Location", f"/v2/{target.repository}/manifests/{manifest.digest}"),
        ("Docker-Content-Digest", str(manifest.digest)),
    ]
    if referrer is not None and service.options.referrers:
        headers.append(("OCI-Subject", str(referrer.subject)))
    if expected:
        headers += [("OCI-Tag", tag) for tag in tags]
    return Response(201, tuple(headers))


def delete_manifest(service: Service, request: Request, target: Target) -> Response:
    """DELETE /v2/NAME/manifests/REFERENCE (end-9): a tag, or a manifest with all the tags that name it."""
    repository = service.repository(target)
    if ":" not in target.reference:
        if not service.options.tag_delete:
            raise Fault(405, "UNSUPPORTED", "this registry does not delete tags; delete the manifest by its digest")
        with repository.locked():
            if repository.index.resolve(target.reference) is None:
                raise _unknown(target)
            repository.save(repository.index.without_tag(target.reference))
        return Response(202)
    digest = digest_of(target.reference)
    with repository.locked():
        if repository.index.resolve(digest) is None:
            raise _unknown(target)
        repository.save(repository.index.without_manifest(digest))
        repository.remove(digest)
    return Response(202)


def _parse(raw: bytes, content_type: str | None, expected: Digest | None) -> Manifest:
    if expected is not None and (actual := Digest.of(raw, expected.algorithm)) != expected:
        message = f"the manifest that came has the digest {actual}"
        raise Fault(400, "DIGEST_INVALID", message, detail={"digest": str(expected)})
    try:
        return Manifest.parse(raw, content_type, expected)
    except SonarError as error:
        raise Fault(400, "MANIFEST_INVALID", error.message) from None


def _require(manifest: Manifest, repository: Repository | None) -> None:
    """What a manifest points to must be there. Layers that are kept elsewhere need not, nor need the subject."""
    children = [child for child in manifest.children() if not _elsewhere(child)]
    missing = [child for child in children if repository is None or not repository.has(child.digest)]
    if missing:
        message = f"{len(missing)} of {len(children)} blobs or manifests are missing, as {missing[0].digest}"
        detail = [{"digest": str(child.digest)} for child in missing]
        raise Fault(400, "MANIFEST_BLOB_UNKNOWN", message, detail=detail)


def _elsewhere(layer: Descriptor) -> bool:
    """Docker's foreign layers, OCI's non-distributable ones (image-spec, layer.md), and what has `urls`."""
    return bool(layer.urls) or ".foreign." in layer.media_type or ".nondistributable." in layer.media_type


def _unknown(target: Target) -> Fault:
    return Fault(404, "MANIFEST_UNKNOWN", f"{target.repository} has no manifest {target.reference}")
