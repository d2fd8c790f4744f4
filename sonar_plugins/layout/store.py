"""An image layout as a store."""

from __future__ import annotations

from pathlib import Path

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import ContentError, IntegrityError, Missing, UsageError
from sonar_core.manifest import Manifest
from sonar_core.media_types import is_manifest
from sonar_core.quoting import quoted
from sonar_core.stores import Blob, Incomplete, Name, Opening, Store, split_path

from .files import Files
from .reading import ReadableLayout
from .receive import receive, write_all


def open_layout(rest: str, opening: Opening) -> tuple[Store, Name]:
    """`DIR`, `DIR:TAG` or `DIR@DIGEST`. A directory that is written to is made a layout if need be.

    Raises BadReference, Missing, ContentError.
    """
    path, name = split_path(rest, "oci")
    directory = Path(path).expanduser()
    key = str(directory.resolve())
    return opening.shared(key, lambda: Layout(directory, create=opening.write)), name


class Layout(ReadableLayout):
    """The images in one directory. Thread-safe; several processes may write at the same time."""

    def __init__(self, path: Path | str, *, create: bool = False) -> None:
        self._files = Files(Path(path), create=create)
        super().__init__(self._files, f"oci:{path}")
        self.key = f"oci:{self._files.path.resolve()}"
        self._files.check()

    def put_blob(self, blob: Blob) -> None:
        """Take a blob in, verified."""
        with self._files.new(blob.descriptor.digest) as file:
            receive(blob, file)

    def mounts_from(self, source: Store) -> bool:
        """Never: what is in another layout is verified when it enters this one."""
        return False

    def mount(self, blob: Descriptor, source: Store) -> bool:
        """Never."""
        return False

    def put_manifest(self, manifest: Manifest, tag: str | None = None, *, part: bool = False) -> None:
        """Take a manifest in. Raises Incomplete where something that it names is not there."""
        if self._files.size(manifest.digest) != len(manifest.raw):
            with self._files.new(manifest.digest) as file:
                write_all(file, manifest.raw, 0)
        with self._files.locked():
            for child in manifest.children():
                if self._files.size(child.digest) is None and not child.urls:
                    raise Incomplete(f"{self} has no {child.digest}, which the manifest {manifest.digest} names")
            if not part:
                self._files.save(self._files.index().with_manifest(manifest.descriptor(), tag))

    def delete_tag(self, tag: str) -> None:
        """Take a name away; the manifest stays."""
        with self._files.locked():
            index = self._files.index()
            index.resolve(tag, what=str(self))
            self._files.save(index.without_tag(tag))

    def delete_manifest(self, digest: Digest) -> None:
        """Take a manifest away, its names, and the content that nothing else needs."""
        with self._files.locked():
            index = self._files.index()
            if index.find(digest, what=str(self)) is None:
                if self.has_manifest(digest):
                    raise UsageError(f"{quoted(str(digest))} is a part of an index in {self}", hint="remove the index")
                raise Missing(f"{self} has no manifest {digest}", hint=index.offer())
            rest = index.without_manifest(digest)
            self._files.save(rest)
            try:
                needed = self._reachable([entry.descriptor.digest for entry in rest.entries])
                unneeded = self._reachable([digest]) - needed
            except (ContentError, IntegrityError, Missing):
                return  # what a damaged manifest needs is not known: better to keep too much
            for each in unneeded:
                self._files.remove(each)

    def _reachable(self, digests: list[Digest]) -> set[Digest]:
        """These manifests and everything that they name."""
        found: set[Digest] = set()
        while digests:
            digest = digests.pop()
            if digest in found:
                continue
            found.add(digest)
            children = self.manifest(digest).children()
            digests += [child.digest for child in children if is_manifest(child.media_type)]
            found |= {child.digest for child in children if not is_manifest(child.media_type)}
        return found

    def interrupt(self, seconds: float, *, wake: bool) -> None:
        """Nothing: no thread waits for long here."""

    def close(self) -> None:
        """Remove what is not complete. What was put in is there already."""
        self._files.close()

    def abandon(self) -> None:
        """As `close`."""
        self.close()
