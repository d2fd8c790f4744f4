"""What refers to a manifest (OCI distribution-spec, end-12a, end-12b), with the tag that older registries need.

A registry without the API answers 404. There, clients keep an index under a tag made of the subject's digest
("Referrers Tag Schema"), and whoever pushes or deletes a manifest with a subject maintains it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from urllib.parse import quote

from sonar_core.auth import pull
from sonar_core.client import Client
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import ContentError, NotFound, Unsupported
from sonar_core.manifest import Manifest
from sonar_core.media_types import OCI_INDEX
from sonar_core.reference import check_path
from sonar_plugins.manifests.endpoint import Manifests

Entries = tuple[Descriptor, ...]

_maintenance = threading.Lock()  # read, change, write: one at a time, in this process at least


def fallback_tag(digest: Digest) -> str:
    """`sha256-HEX`, where the index of the referrers is kept without the API ("Referrers Tag Schema")."""
    return f"{digest.algorithm[:32]}-{digest.hex[:64]}"


def descriptor_of(manifest: Manifest) -> Descriptor:
    """How a manifest is listed among the referrers ("Listing Referrers"): with its artifact type and annotations."""
    artifact_type = manifest.artifact_type or (manifest.config.media_type if manifest.config else None)
    return Descriptor(
        manifest.media_type,
        manifest.digest,
        len(manifest.raw),
        annotations=manifest.annotations,
        artifact_type=artifact_type,
    )


class Referrers:
    """`client.referrers`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._manifests = Manifests(client)

    def list(self, path: str, digest: Digest, *, artifact_type: str | None = None) -> Iterator[Descriptor]:
        """The descriptors of what refers to `digest`, page by page; nothing where nothing does (end-12).

        `artifact_type`: those of that type only; the registry may filter, and is not relied upon.
        Raises ContentError for a list that is damaged, NotFound for a repository that the registry does not know.
        """
        for entry in self._entries(path, digest, artifact_type):
            if artifact_type is None or entry.artifact_type == artifact_type:
                yield entry

    def add(self, path: str, manifest: Manifest) -> None:
        """List `manifest`, which was pushed, under the tag of its subject: for a registry without the API.

        To be called where the answer to the push named no subject (`Pushed.subject`). Does nothing without a subject.
        """
        entry = descriptor_of(manifest)
        self._maintain(path, manifest, lambda entries: (*_without(entries, entry.digest), entry))

    def remove(self, path: str, manifest: Manifest) -> None:
        """Take `manifest`, which was deleted, from under the tag of its subject. Does nothing without a subject."""
        self._maintain(path, manifest, lambda entries: _without(entries, manifest.digest))

    def _entries(self, path: str, digest: Digest, artifact_type: str | None) -> Iterator[Descriptor]:
        query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
        url = f"{check_path(path)}/referrers/{digest}{query}"
        first = True
        try:
            for position, item in enumerate(self._client.paginate(url, "manifests", scopes=[pull(path)])):
                first = False
                yield Descriptor.from_json(item, what=f"referrer {position} of {digest}")
        except (NotFound, Unsupported) as error:
            if not first or "NAME_UNKNOWN" in error.codes:
                raise
            yield from self._kept(path, digest)

    def _kept(self, path: str, digest: Digest) -> Entries:
        """What the tag lists; nothing where there is no such tag."""
        try:
            index = self._manifests.get(path, fallback_tag(digest))
        except NotFound:
            return ()
        if not index.is_index:
            raise ContentError(f"the tag {fallback_tag(digest)} of {path} is no index of referrers")
        return index.manifests

    def _maintain(self, path: str, manifest: Manifest, change: Callable[[Entries], Entries]) -> None:
        if manifest.subject is None:
            return
        subject = manifest.subject.digest
        with _maintenance:
            before = self._kept(path, subject)
            after = change(before)
            if after == before:
                return
            document = {
                "schemaVersion": 2,
                "mediaType": OCI_INDEX,
                "manifests": [entry.to_json() for entry in after],
            }
            index = Manifest.parse(json.dumps(document).encode(), OCI_INDEX)
            self._manifests.put(path, fallback_tag(subject), index)


def _without(entries: Entries, digest: Digest) -> Entries:
    return tuple(entry for entry in entries if entry.digest != digest)
