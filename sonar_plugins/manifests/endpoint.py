"""Manifests of a registry (OCI distribution-spec, end-3, end-7, end-9)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sonar_core.announced import announced_digest, announced_subject, check_announced, check_stored
from sonar_core.answers import HEAD_REFUSED
from sonar_core.auth import delete, pull, push
from sonar_core.client import Client
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import IntegrityError, ResponseError, Unsupported
from sonar_core.manifest import Manifest
from sonar_core.media_types import MANIFEST_TYPES, essence, is_manifest
from sonar_core.redaction import redact_url
from sonar_core.reference import check_path, check_tag
from sonar_core.transport import Response


@dataclass(frozen=True)
class Pushed:
    """A manifest that was put. `subject`: the registry lists it among the referrers of that digest by itself."""

    digest: Digest
    subject: Digest | None = None


class Manifests:
    """`client.manifests`. A `reference` is a tag or a digest."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, path: str, reference: str | Digest, *, accept: Iterable[str] = MANIFEST_TYPES) -> Manifest:
        """The manifest or index, its digest computed over the bytes that came (end-3).

        Raises IntegrityError where that is not the digest asked for or announced, NotFound, ContentError for what is
        no manifest, ProtocolError for a page of HTML or more than `settings.manifest_bytes`.
        """
        expected = _as_digest(reference)
        response, raw = self._client.fetch(
            _url(path, reference),
            headers={"Accept": ", ".join(accept)},
            scopes=[pull(path)],
            limit=self._client.settings.manifest_bytes,
            what="the manifest",
        )
        manifest = Manifest.parse(raw, response.headers.get("Content-Type"), expected)
        announced = announced_digest(response)
        if announced is not None and announced != Digest.of(raw, announced.algorithm):
            raise IntegrityError(
                f"the manifest of {redact_url(response.url)} has digest {manifest.digest}, announced as {announced}"
            )
        return manifest

    def head(self, path: str, reference: str | Digest) -> Descriptor:
        """Type, digest and size, by HEAD; by GET where a HEAD is refused or does not say all three (end-3).

        Raises IntegrityError where another digest than the one asked for is announced; NotFound.
        """
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        try:
            with self._client.request("HEAD", _url(path, reference), headers=headers, scopes=[pull(path)]) as response:
                found = _described(response, _as_digest(reference))
        except ResponseError as error:
            if error.status not in HEAD_REFUSED:
                raise
            found = None
        return found or self.get(path, reference).descriptor()

    def put(self, path: str, reference: str | Digest, manifest: Manifest) -> Pushed:
        """Store the exact bytes of `manifest` under a tag, or its digest (end-7).

        Raises IntegrityError where `reference` is another digest (nothing is sent), or the registry names another.
        A ResponseError with the code MANIFEST_BLOB_UNKNOWN: something that it points to is not there.
        """
        expected = _as_digest(reference) or manifest.digest
        if Digest.of(manifest.raw, expected.algorithm) != expected:
            raise IntegrityError(f"the manifest has digest {manifest.digest}, it can't be stored under {expected}")
        with self._client.request(
            "PUT",
            _url(path, reference),
            headers={"Content-Type": manifest.media_type},
            body=manifest.raw,
            scopes=[push(path)],
            expect=(200, 201, 202, 204),
        ) as response:
            check_stored(response, expected)
            return Pushed(expected, announced_subject(response))

    def delete(self, path: str, reference: str | Digest) -> None:
        """Remove a tag, or a manifest by its digest with all of its tags (end-9).

        Raises NotFound; Unsupported where the registry can't, or can't by tag.
        """
        try:
            self._client.request("DELETE", _url(path, reference), scopes=[delete(path)], expect=(200, 202, 204)).close()
        except ResponseError as error:
            by_tag = _as_digest(reference) is None
            if not by_tag or not (isinstance(error, Unsupported) or error.status in (400, 501)):
                raise
            raise Unsupported(
                f"{self._client.registry} does not delete tags: {error.message}",
                status=error.status,
                url=error.url,
                errors=error.errors,
                hint="a manifest is deleted by its digest, with all of its tags",
            ) from error


def _as_digest(reference: str | Digest) -> Digest | None:
    if isinstance(reference, Digest):
        return reference
    return Digest.parse(reference) if ":" in reference else None


def _url(path: str, reference: str | Digest) -> str:
    """The path below `/v2/`, of parts that were checked. Raises BadReference."""
    return f"{check_path(path)}/manifests/{_as_digest(reference) or check_tag(str(reference))}"


def _described(response: Response, expected: Digest | None) -> Descriptor | None:
    """What the headers say; None where they do not say all of it."""
    media_type = essence(response.headers.get("Content-Type", ""))
    if expected is not None:
        check_announced(response, expected)
    digest, size = expected or announced_digest(response), response.length
    return Descriptor(media_type, digest, size) if digest and size and is_manifest(media_type) else None
