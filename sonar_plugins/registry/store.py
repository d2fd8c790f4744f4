"""One repository of a registry as a store."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from sonar_core.client import Client
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import (
    AuthError,
    BadReference,
    Forbidden,
    IntegrityError,
    NotFound,
    ResponseError,
    Unauthorized,
    UsageError,
)
from sonar_core.manifest import Manifest
from sonar_core.reference import Reference, Repository
from sonar_core.stores import Blob, Incomplete, Name, Opening, Store
from sonar_plugins.blobs.endpoint import Blobs
from sonar_plugins.manifests.endpoint import Manifests
from sonar_plugins.referrers.endpoint import Referrers
from sonar_plugins.tags.endpoint import Tags


def open_repository(rest: str, opening: Opening) -> tuple[Store, Name]:
    """A reference: `NAME:TAG`, `NAME@DIGEST`, or `NAME`, which stands for its tag `latest`. Raises BadReference."""
    if rest.startswith(("/", "./", "../", "~")):
        raise BadReference(f"{rest!r} is a path, not the name of an image", hint=f"a layout there is oci:{rest}")
    reference = Reference.parse(rest)
    client = opening.connect(reference.repository.registry)
    store = opening.shared(str(reference.repository), lambda: RegistryStore(client, reference.repository))
    return store, reference.digest or reference.tag


class RegistryStore:
    """A repository. Thread-safe."""

    # A registry should, but that is its word: what it is sent was verified before.
    verifies = False
    full_names = False

    def __init__(self, client: Client, repository: Repository) -> None:
        self.client = client
        self.path = repository.path
        self.key = f"{client.base_url}{repository.path}"
        self._name = str(repository)
        self._blobs = Blobs(client)
        self._manifests = Manifests(client)
        self._referrers = Referrers(client)

    def __str__(self) -> str:
        return self._name

    def full_name(self, tag: str) -> str:
        """HOST/NAME:TAG."""
        return f"{self}:{tag}"

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────

    def resolve(self, name: Name) -> Descriptor:
        """What a tag or a digest stands for: one HEAD."""
        return self._manifests.head(self.path, self._named(name))

    def manifest(self, name: Name) -> Manifest:
        """The manifest of a tag or a digest, verified: one GET."""
        return self._manifests.get(self.path, self._named(name))

    def has_manifest(self, digest: Digest) -> bool:
        """Whether it is in this repository: one HEAD."""
        try:
            self._manifests.head(self.path, digest)
        except NotFound:
            return False
        return True

    def has_blob(self, blob: Descriptor) -> bool:
        """Whether it is in this repository, with its size: one HEAD."""
        try:
            return self._blobs.head(self.path, blob.digest).size == blob.size
        except NotFound:
            return False

    def open_blob(self, blob: Descriptor, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """The bytes of a blob; breaks are mended. With `stop`, by a range: Unsupported where there is none of that."""
        with self._blobs.get(self.path, blob.digest, size=blob.size, offset=start, stop=stop, verify=False) as stream:
            yield from stream

    def tags(self) -> Iterator[str]:
        """The tags, page by page."""
        return Tags(self.client).list(self.path)

    def referrers(self, digest: Digest) -> Iterator[Descriptor]:
        """What refers to a manifest, by the API or by the tag that stands in for it."""
        try:
            yield from self._referrers.list(self.path, digest)
        except NotFound:
            return  # a repository that does not exist yet

    def _named(self, name: Name) -> str | Digest:
        if name is None:
            raise UsageError(f"{self}: name a tag or a digest")
        return name

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────

    def put_blob(self, blob: Blob) -> None:
        """Upload: one POST, one PUT; breaks are mended."""
        try:
            self._blobs.put(self.path, blob.descriptor.digest, blob, blob.descriptor.size)
        except ResponseError as error:
            if "DIGEST_INVALID" not in error.codes:
                raise
            raise IntegrityError(
                f"{blob.origin} has other content under {blob.descriptor.digest}: {error.message}"
            ) from error

    def mounts_from(self, source: Store) -> bool:
        """Whether it is a repository of the same registry."""
        return isinstance(source, RegistryStore) and source.client.base_url == self.client.base_url

    def mount(self, blob: Descriptor, source: Store) -> bool:
        """Take a blob over from another repository of the same registry: one POST. False where it is refused."""
        if not isinstance(source, RegistryStore):
            return False
        try:
            return self._blobs.mount(self.path, blob.digest, source.path)
        except (Unauthorized, Forbidden, AuthError):
            return False

    def put_manifest(self, manifest: Manifest, tag: str | None = None, *, part: bool = False) -> None:
        """Put a manifest under a tag or its digest; where the registry keeps no referrers, note it with its subject.

        Raises Incomplete for MANIFEST_BLOB_UNKNOWN, MANIFEST_UNKNOWN and BLOB_UNKNOWN.
        """
        try:
            pushed = self._manifests.put(self.path, tag or manifest.digest, manifest)
        except ResponseError as error:
            if not error.codes & {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"}:
                raise
            raise Incomplete(error.message, hint=error.hint) from error
        if manifest.subject is not None and pushed.subject is None:
            self._referrers.add(self.path, manifest)

    def delete_tag(self, tag: str) -> None:
        """Take a tag away, by DELETE. Raises Unsupported where the registry can't."""
        self._manifests.delete(self.path, tag)

    def delete_manifest(self, digest: Digest) -> None:
        """Take a manifest away, and from the list of its subject's referrers where that is a tag."""
        manifest = self.manifest(digest)
        self._manifests.delete(self.path, digest)
        self._referrers.remove(self.path, manifest)

    def interrupt(self, seconds: float, *, wake: bool) -> None:
        """As `Client.interrupt`."""
        self.client.interrupt(seconds, wake=wake)

    def close(self) -> None:
        """Nothing: whoever opened the Client closes it."""

    def abandon(self) -> None:
        """Nothing: an upload that failed has been taken back."""
