"""Archives as stores: opened for reading or for writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import BadReference, ContentError, Missing, UsageError
from sonar_core.manifest import Manifest
from sonar_core.reference import Reference
from sonar_core.stores import Blob, Name, Opening, Store, split_path
from sonar_plugins.layout.files import BLOBS, INDEX, LAYOUT, check_layout_version
from sonar_plugins.layout.index import Index
from sonar_plugins.layout.reading import ReadableLayout, Region

from .members import Members

INDEX_BYTES = 64 * 1024 * 1024  # as much as is read of an index.json or a manifest.json


def open_oci(rest: str, opening: Opening) -> tuple[Store, Name]:
    """`FILE`, `FILE:TAG` or `FILE@DIGEST`. Raises BadReference, Missing, ContentError."""
    path, name = split_path(rest, "oci-archive")
    file = Path(path).expanduser()

    def make() -> Store:
        from .writer import OciArchiveWriter

        return OciArchiveWriter(file) if opening.write else OciArchive(file)

    return opening.shared(str(file.resolve()), make), name


def open_docker(rest: str, opening: Opening) -> tuple[Store, Name]:
    """`FILE`, `FILE:NAME:TAG` or `FILE@DIGEST`. Raises BadReference, Missing, ContentError."""
    path, name = split_path(rest, "docker-archive")
    file = Path(path).expanduser()

    def make() -> Store:
        from .docker import DockerArchive
        from .writer import DockerArchiveWriter

        return DockerArchiveWriter(file) if opening.write else DockerArchive(file)

    if isinstance(name, str):
        name = str(Reference.parse(name))
    return opening.shared(str(file.resolve()), make), name


class ArchiveContent:
    """A layout in a tar."""

    def __init__(self, members: Members) -> None:
        self._members = members
        marker = members.read(LAYOUT, 4096)
        if marker is None:
            raise ContentError(f"{members.path} is no OCI archive: it has no {LAYOUT}")
        check_layout_version(marker, what=f"{LAYOUT} in {members.path}")
        data = members.read(INDEX, INDEX_BYTES)
        if data is None:
            raise ContentError(f"{members.path} is damaged: it has no {INDEX}")
        self._index = Index.from_json(data, what=f"{INDEX} in {members.path}")

    def index(self) -> Index:
        """The index."""
        return self._index

    def size(self, digest: Digest) -> int | None:
        """The size of the content with that digest in bytes; None where it is not there."""
        region = self._members.find(blob_name(digest))
        return None if region is None else region.size

    def open(self, digest: Digest) -> Region:
        """Where the content is. Raises Missing."""
        region = self._members.find(blob_name(digest))
        if region is None:
            raise Missing(f"{self._members.path} has no {digest}")
        return region

    def release(self, region: Region) -> None:
        """Nothing: the file stays open."""


def blob_name(digest: Digest) -> str:
    """What the file with that content is called."""
    return f"{BLOBS}/{digest.algorithm}/{digest.hex}"


class ReadOnly:
    """The writing half of a store that is never written to: a location that is, is opened for writing."""

    path: Path

    def put_blob(self, blob: Blob) -> None:
        """Raises UsageError."""
        raise self._refusal()

    def put_manifest(self, manifest: Manifest, tag: str | None = None, *, part: bool = False) -> None:
        """Raises UsageError."""
        raise self._refusal()

    def mounts_from(self, source: Store) -> bool:
        """Never."""
        return False

    def mount(self, blob: Descriptor, source: Store) -> bool:
        """Never."""
        return False

    def delete_tag(self, tag: str) -> None:
        """Raises UsageError."""
        raise self._refusal()

    def delete_manifest(self, digest: Digest) -> None:
        """Raises UsageError."""
        raise self._refusal()

    def _refusal(self) -> UsageError:
        return UsageError(f"nothing can be changed in {self.path}", hint="copy it to oci:DIR and back")


class OciArchive(ReadOnly, ReadableLayout):
    """The images in an OCI archive, read in place. Thread-safe."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.key = f"oci-archive:{self.path.resolve()}"
        self.members = Members(self.path)
        try:
            super().__init__(ArchiveContent(self.members), f"oci-archive:{path}")
        except BaseException:
            self.members.close()
            raise

    @property
    def index(self) -> Index:
        """The index."""
        return self._content.index()

    def contents(self) -> Iterator[tuple[Digest, Region]]:
        """Everything under a digest, and where it is."""
        for name in self.members.names():
            directory, _, hexadecimal = name.rpartition("/")
            with suppress(BadReference):
                digest = Digest(directory.removeprefix(f"{BLOBS}/"), hexadecimal)
                if (region := self.members.find(name)) is not None and name == blob_name(digest):
                    yield digest, region

    def interrupt(self, seconds: float, *, wake: bool) -> None:
        """Nothing: no thread waits for long here."""

    def close(self) -> None:
        """Close the file."""
        self.members.close()

    def abandon(self) -> None:
        """As `close`."""
        self.close()
