"""Blobs: pull with ranges, push in every way, mount, delete (OCI distribution-spec v1.1, end-2 … end-14)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sonar_core.errors import BadReference
from sonar_core.reference import check_path

from .messages import Fault, Headers, Request, Response, Slice
from .service import Service, Target, digest_of

if TYPE_CHECKING:
    from sonar_core.content import Digest

    from .uploads import Session

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
CONTENT_RANGE = re.compile(r"(?:bytes[ =])?(\d{1,18})-(\d{1,18})(?:/.*)?")


def get_blob(service: Service, request: Request, target: Target) -> Response:
    """GET and HEAD /v2/NAME/blobs/DIGEST (end-2), a part of it with `Range` (RFC 9110, 14.2)."""
    digest = digest_of(target.reference)
    content = service.repository(target).open(digest)
    if content is None:
        raise _unknown(target)
    etag = f'"{digest}"'
    headers: Headers = (
        ("Content-Type", "application/octet-stream"),
        ("Docker-Content-Digest", str(digest)),
        ("Accept-Ranges", "bytes"),
        ("ETag", etag),
    )
    wanted = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    match = RANGE.fullmatch(wanted) if wanted and request.method == "GET" else None
    if match is None or not any(match.groups()):  # several ranges, other units: the whole is allowed
        return Response(200, headers, Slice(content, 0, content.size))
    first, last = match.groups()
    start = int(first) if first else max(content.size - int(last), 0)
    end = min(int(last) + 1, content.size) if first and last else content.size
    if start >= end:
        content.close()
        unsatisfied = (("Content-Range", f"bytes */{content.size}"),)
        raise Fault(416, "SIZE_INVALID", f"the blob has {content.size} bytes", headers=unsatisfied)
    span = ("Content-Range", f"bytes {start}-{end - 1}/{content.size}")
    return Response(206, (*headers, span), Slice(content, start, end - start))


def delete_blob(service: Service, request: Request, target: Target) -> Response:
    """DELETE /v2/NAME/blobs/DIGEST (end-10)."""
    digest = digest_of(target.reference)
    repository = service.repository(target)
    with repository.locked():
        if repository.index.resolve(digest) is not None:
            raise Fault(405, "UNSUPPORTED", "this is a manifest; delete it under /manifests/")
        if not repository.remove(digest):
            raise _unknown(target)
    return Response(202)


def start_upload(service: Service, request: Request, target: Target) -> Response:
    """POST /v2/NAME/blobs/uploads/: open a session (end-4a), push at once (end-4b), or mount (end-11)."""
    if (mount := request.parameter("mount")) is not None:
        digest = digest_of(mount)
        if _mount(service, digest, request.parameter("from"), target.repository):
            return _created(target, digest)
        return _accepted(_open(service, request, target))  # "fall back to the standard upload"
    if (name := request.parameter("digest")) is not None:
        digest = digest_of(name)
        session = service.uploads.start(target.repository, digest.algorithm)
        try:
            session.append(request.body)
            session.keep(digest)
        finally:
            service.uploads.close(session)
        return _created(target, digest)
    return _accepted(_open(service, request, target))


def get_upload(service: Service, request: Request, target: Target) -> Response:
    """GET /v2/NAME/blobs/uploads/ID (end-13): how much has come."""
    session = service.uploads.find(target.repository, target.reference)
    with session.alone():  # a client that asks after a broken connection wants what that one brought, too
        return Response(204, _progress(session))


def append_upload(service: Service, request: Request, target: Target) -> Response:
    """PATCH /v2/NAME/blobs/uploads/ID (end-5): a chunk with `Content-Range`, or a stream without."""
    session = service.uploads.find(target.repository, target.reference)
    with session.alone():
        _check_place(request, session)
        session.append(request.body)
        return _accepted(session)


def finish_upload(service: Service, request: Request, target: Target) -> Response:
    """PUT /v2/NAME/blobs/uploads/ID?digest=DIGEST (end-6), with the last chunk or with nothing."""
    session = service.uploads.find(target.repository, target.reference)
    digest = digest_of(request.parameter("digest"))
    with session.alone():
        _check_place(request, session)
        session.append(request.body)
        try:
            session.keep(digest)
        finally:
            service.uploads.close(session)
    return _created(target, digest)


def cancel_upload(service: Service, request: Request, target: Target) -> Response:
    """DELETE /v2/NAME/blobs/uploads/ID (end-14)."""
    session = service.uploads.find(target.repository, target.reference)
    with session.alone():
        service.uploads.close(session)
    return Response(204)


def _mount(service: Service, digest: Digest, source: str | None, repository: str) -> bool:
    """From the repository that is named, or from any if none is; False where it can't be done."""
    if source is None:
        return any(service.storage.share(digest, name, repository) for name in service.storage.names())
    try:
        return service.storage.share(digest, check_path(source), repository)
    except BadReference:
        return False


def _open(service: Service, request: Request, target: Target) -> Session:
    algorithm = request.parameter("digest-algorithm") or "sha256"
    if algorithm not in ("sha256", "sha512"):
        raise Fault(400, "DIGEST_INVALID", "the digest algorithms are sha256 and sha512")
    session = service.uploads.start(target.repository, algorithm)
    service.uploads.offer(session)
    return session


def _check_place(request: Request, session: Session) -> None:
    """A chunk goes where the last one ended, or the answer is 416 (spec, "Pushing a blob in chunks")."""
    stated = request.headers.get("content-range")
    if stated is None:
        return
    match = CONTENT_RANGE.fullmatch(stated.strip())
    if match is None:
        raise Fault(400, "BLOB_UPLOAD_INVALID", "the Content-Range is not FIRST-LAST")
    first, last = int(match[1]), int(match[2])
    if first != session.size or last < first:
        message = f"the next chunk begins at {session.size}"
        raise Fault(416, "BLOB_UPLOAD_INVALID", message, headers=_progress(session))
    length = request.body.length
    if length is not None and length != last - first + 1:
        raise Fault(400, "SIZE_INVALID", "the Content-Range and the Content-Length differ")


def _progress(session: Session) -> Headers:
    return (
        ("Location", f"/v2/{session.repository}/blobs/uploads/{session.id}"),
        ("Range", session.range),
        ("Docker-Upload-UUID", session.id),
    )


def _accepted(session: Session) -> Response:
    return Response(202, _progress(session))


def _created(target: Target, digest: Digest) -> Response:
    location = f"/v2/{target.repository}/blobs/{digest}"
    return Response(201, (("Location", location), ("Docker-Content-Digest", str(digest))))


def _unknown(target: Target) -> Fault:
    return Fault(404, "BLOB_UNKNOWN", f"{target.repository} has no blob {target.reference}")
