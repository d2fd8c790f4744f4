"""Writing archives: a tar that grows blob by blob, and gets its index at the end.

It is written beside its place and renamed when it is complete. What is in an archive already is taken over. A docker
archive is an OCI archive that has a `manifest.json` as well, the way Docker has written them since 25: the blobs are
what they were, so digests are kept, and `docker load` and skopeo find everything by `manifest.json`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import ContentError, IntegrityError, Missing, SonarError, UsageError
from sonar_core.manifest import Manifest
from sonar_core.media_types import DOCKER_CONFIG, OCI_CONFIG
from sonar_core.platforms import Platform, choose
from sonar_core.stores import Blob, Incomplete, Name, Store
from sonar_plugins.layout.files import INDEX, LAYOUT, LAYOUT_VERSION
from sonar_plugins.layout.index import FULL_NAME, Index
from sonar_plugins.layout.leftovers import lock, remove_leftover

from .docker import MANIFEST
from .store import OciArchive, blob_name

_BLOCK = 512
_CHUNK = 1024 * 1024
_IMAGES = (OCI_CONFIG, DOCKER_CONFIG)


class OciArchiveWriter:
    """The images in an archive that is being written. Thread-safe; blobs enter one after the other."""

    verifies = True
    full_names = False
    _prefix = "oci-archive"

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.key = f"{self._prefix}:{self.path.resolve()}"
        self._lock = threading.Lock()
        self._stream = self.path.exists() and not self.path.is_file()  # a pipe, or /dev/stdout
        self._file: int | None = None
        self._temporary: Path | None = None
        self._sizes: dict[Digest, int] = {}
        self._manifests: dict[Digest, Manifest] = {}
        self._old = OciArchive(self.path) if self._has_content() else None
        self._index = self._old.index if self._old is not None else Index()

    def _has_content(self) -> bool:
        return not self._stream and self.path.exists() and self.path.stat().st_size > 0

    def __str__(self) -> str:
        return f"{self._prefix}:{self.path}"

    def full_name(self, tag: str) -> str:
        """The tag: images have no other name here."""
        return tag

    # ── reading: what was there before ──────────────────────────────────────────────────────────────────

    def resolve(self, name: Name) -> Descriptor:
        """What a name stands for."""
        found = self._index.resolve(name, what=str(self)).descriptor
        return Descriptor(found.media_type, found.digest, found.size)

    def manifest(self, name: Name) -> Manifest:
        """The manifest of a name or a digest."""
        digest = name if isinstance(name, Digest) else self.resolve(name).digest
        if digest in self._manifests:
            return self._manifests[digest]
        if self._old is None:
            raise Missing(f"{self} has no {digest}")
        return self._old.manifest(digest)

    def has_manifest(self, digest: Digest) -> bool:
        """Whether it is there."""
        return digest in self._sizes or (self._old is not None and self._old.has_manifest(digest))

    def has_blob(self, blob: Descriptor) -> bool:
        """Whether it is there."""
        return self._sizes.get(blob.digest) == blob.size or (self._old is not None and self._old.has_blob(blob))

    def open_blob(self, blob: Descriptor, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """The bytes of a blob that was there before."""
        if self._old is None:
            raise Missing(f"{self} has no {blob.digest}")
        yield from self._old.open_blob(blob, start, stop)

    def tags(self) -> Iterator[str]:
        """The names of the images."""
        return self._index.tags()

    def referrers(self, digest: Digest) -> Iterator[Descriptor]:
        """Those that were there before."""
        return iter(()) if self._old is None else self._old.referrers(digest)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────

    def put_blob(self, blob: Blob) -> None:
        """Append a blob, verified. One that fails is cut off again."""
        digest, size = blob.descriptor.digest, blob.descriptor.size
        with self._lock:
            if digest in self._sizes:
                return
            file = self._open()
            start = 0 if self._stream else os.lseek(file, 0, os.SEEK_CUR)
            try:
                _write(file, _header(blob_name(digest), size))
                found, total = digest.hasher(), 0
                for block in blob.open():
                    total += len(block)
                    if total > size:
                        raise IntegrityError(f"the blob {digest} is longer than its {size} bytes")
                    found.update(block)
                    _write(file, block)
                if total < size:
                    raise IntegrityError(f"the blob {digest} ends after {total} of its {size} bytes")
                if found.hexdigest() != digest.hex:
                    raise IntegrityError(f"the blob {digest} came with other content")
                _write(file, bytes(-size % _BLOCK))
            except BaseException:
                if not self._stream:
                    with suppress(OSError):
                        os.ftruncate(file, start)
                        os.lseek(file, start, os.SEEK_SET)
                raise
            self._sizes[digest] = size

    def mounts_from(self, source: Store) -> bool:
        """Never."""
        return False

    def mount(self, blob: Descriptor, source: Store) -> bool:
        """Never."""
        return False

    def put_manifest(self, manifest: Manifest, tag: str | None = None, *, part: bool = False) -> None:
        """Append a manifest. Raises Incomplete where something that it names is not there."""
        for child in manifest.children():
            if not child.urls and not self.has_manifest(child.digest):
                raise Incomplete(f"{self} has no {child.digest}, which the manifest {manifest.digest} names")
        with self._lock:
            file = self._open()
            if manifest.digest not in self._sizes:
                self._append(file, blob_name(manifest.digest), manifest.raw)
                self._sizes[manifest.digest] = len(manifest.raw)
            self._manifests[manifest.digest] = manifest
            if not part:
                self._index = self._named(manifest, tag)

    def _named(self, manifest: Manifest, tag: str | None) -> Index:
        return self._index.with_manifest(manifest.descriptor(), tag)

    def delete_tag(self, tag: str) -> None:
        """Take a name away; the archive is written anew."""
        self._index.resolve(tag, what=str(self))
        with self._lock:
            self._open()
            self._index = self._index.without_tag(tag)

    def delete_manifest(self, digest: Digest) -> None:
        """Raises UsageError: an archive would have to be written anew, without what nothing else needs."""
        raise UsageError(f"images are not deleted in {self}", hint="copy what is to stay into another archive")

    def _open(self) -> int:
        """The file, opened when something is to be written, with what was there before."""
        if self._file is not None:
            return self._file
        if self._stream:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            return self._file
        import tempfile
        from glob import escape

        self.path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{self.path.name}.sonar-"
        for left in self.path.parent.glob(f"{escape(prefix)}*"):
            remove_leftover(left)
        while self._file is None:
            file, name = tempfile.mkstemp(prefix=prefix, dir=self.path.parent)
            if lock(file):
                self._file, self._temporary = file, Path(name)
            else:  # another process has taken it for a leftover, in the moment before it was locked
                os.close(file)
        self._append(self._file, LAYOUT, LAYOUT_VERSION)
        if self._old is not None:
            for digest, region in self._old.contents():
                _write(self._file, _header(blob_name(digest), region.size))
                for block in region.blocks():
                    _write(self._file, block)
                _write(self._file, bytes(-region.size % _BLOCK))
                self._sizes[digest] = region.size
        return self._file

    def _append(self, file: int, name: str, data: bytes) -> None:
        _write(file, _header(name, len(data)) + data + bytes(-len(data) % _BLOCK))

    def interrupt(self, seconds: float, *, wake: bool) -> None:
        """Nothing: no thread waits for long here."""

    def close(self) -> None:
        """Write the index, and put the archive in its place. Nothing happens where nothing was put in."""
        with self._lock:
            file = self._file
            if file is not None:
                if self._stream:
                    self._append(file, LAYOUT, LAYOUT_VERSION)
                for name, data in self._indexes():
                    self._append(file, name, data)
                _write(file, bytes(2 * _BLOCK))
                if self._temporary is not None:
                    os.fchmod(file, 0o644)
                    self._temporary.replace(self.path)
                    self._temporary = None
        self.abandon()

    def _indexes(self) -> Iterator[tuple[str, bytes]]:
        yield INDEX, self._index.to_json()

    def abandon(self) -> None:
        """Remove what is not complete."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            if self._temporary is not None:
                self._temporary.unlink(missing_ok=True)
                self._temporary = None
            if self._old is not None:
                self._old.close()


class DockerArchiveWriter(OciArchiveWriter):
    """The images in a docker archive that is being written."""

    full_names = True
    _prefix = "docker-archive"

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        if self._old is not None and self._old.members.find(MANIFEST) is None:
            raise ContentError(f"{path} is an OCI archive, not one of Docker's", hint="name another file")

    def _named(self, manifest: Manifest, tag: str | None) -> Index:
        self._image(manifest)  # raises where `docker load` could not load it
        return self._index.with_manifest(manifest.descriptor(), tag, **({FULL_NAME: tag} if tag else {}))

    def _image(self, manifest: Manifest) -> Manifest:
        """The image to be loaded: of an index, the one for this machine, or else its first."""
        if manifest.is_index:
            try:
                chosen = choose(manifest.manifests, Platform.local())
            except Missing:
                if not manifest.manifests:
                    raise ContentError(f"{manifest.digest} is an index without images") from None
                chosen = manifest.manifests[0]
            return self._image(self.manifest(chosen.digest))
        if manifest.config is None or manifest.config.media_type not in _IMAGES:
            kind = manifest.config.media_type if manifest.config else "none"
            raise ContentError(
                f"{manifest.digest} is no image that Docker can load: its config is {kind}",
                hint="docker-archive: holds images alone; signatures and other artifacts go to oci: or oci-archive:",
            )
        return manifest

    def _indexes(self) -> Iterator[tuple[str, bytes]]:
        images: dict[Digest, dict[str, Any]] = {}
        for entry in self._index.entries:
            with suppress(SonarError):  # a signature, say
                image = self._image(self.manifest(entry.descriptor.digest))
                described = images.setdefault(image.digest, _saved(image))
                if entry.name is not None:
                    described["RepoTags"].append(_familiar(entry.name))
        yield MANIFEST, json.dumps(list(images.values())).encode()
        yield from super()._indexes()


def _saved(image: Manifest) -> dict[str, Any]:
    config = image.config
    assert config is not None  # noqa: S101 - `_image` has seen to it
    layers = [blob_name(layer.digest) for layer in image.layers if not layer.urls]
    return {"Config": blob_name(config.digest), "RepoTags": [], "Layers": layers}


def _familiar(name: str) -> str:
    """`docker.io/library/nginx:1` as `nginx:1`, which is what `docker save` writes."""
    return name.removeprefix("docker.io/").removeprefix("library/") if name.startswith("docker.io/") else name


def _header(name: str, size: int) -> bytes:
    import tarfile

    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)  # sizes from 8 GiB on in base 256, which Go reads, too


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
