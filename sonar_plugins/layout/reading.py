"""The reading half of a store that is an image layout, whatever its files are kept in."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import ContentError, IntegrityError, Missing
from sonar_core.manifest import Manifest
from sonar_core.stores import Name

from .index import Index

_BLOCK = 1024 * 1024
_MANIFEST_BYTES = 4 * 1024 * 1024  # as for a manifest from a registry


@dataclass(frozen=True)
class Region:
    """A part of an open file: from `offset`, `size` bytes."""

    file: int
    offset: int
    size: int

    def blocks(self, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """The bytes from `start` up to `stop`, in pieces. Raises ContentError where the file has become shorter."""
        stop = self.size if stop is None else stop
        while start < stop:
            block = os.pread(self.file, min(_BLOCK, stop - start), self.offset + start)
            if not block:
                raise ContentError("the file ends before the content does")
            start += len(block)
            yield block


class Content(Protocol):
    """What is in a layout, and where."""

    def index(self) -> Index:
        """The index. Raises ContentError where it is damaged or missing."""
        ...

    def size(self, digest: Digest) -> int | None:
        """The size of the content with that digest in bytes; None where it is not there."""
        ...

    def open(self, digest: Digest) -> Region:
        """Where the content is. The caller calls `release`. Raises Missing, ContentError."""
        ...

    def release(self, region: Region) -> None:
        """Let go of what `open` gave."""
        ...


class ReadableLayout:
    """Finds and reads images by the index of a layout. Thread-safe."""

    verifies = True
    full_names = False

    def __init__(self, content: Content, name: str) -> None:
        self._content = content
        self._name = name

    def __str__(self) -> str:
        return self._name

    def full_name(self, tag: str) -> str:
        """The tag: images in a layout have no other name."""
        return tag

    def resolve(self, name: Name) -> Descriptor:
        """What a name stands for. A digest may also be that of a manifest inside of an index."""
        index = self._content.index()
        if isinstance(name, Digest) and index.find(name, what=str(self)) is None:
            return self.manifest(name).descriptor()
        found = index.resolve(name, what=str(self)).descriptor
        return Descriptor(found.media_type, found.digest, found.size)

    def manifest(self, name: Name) -> Manifest:
        """The manifest of a name or a digest, verified."""
        media_type = None
        if not isinstance(name, Digest):
            found = self.resolve(name)
            name, media_type = found.digest, found.media_type
        return Manifest.parse(self._read(name, _MANIFEST_BYTES), media_type, name)

    def has_manifest(self, digest: Digest) -> bool:
        """Whether it is there."""
        return self._content.size(digest) is not None

    def has_blob(self, blob: Descriptor) -> bool:
        """Whether it is there with its size; its content was verified when it came."""
        return self._content.size(blob.digest) == blob.size

    def open_blob(self, blob: Descriptor, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """The bytes of a blob. Raises Missing, IntegrityError where it has another size."""
        region = self._content.open(blob.digest)
        try:
            if region.size != blob.size:
                raise IntegrityError(f"{self}: {blob.digest} has {region.size} bytes, not {blob.size}")
            yield from region.blocks(start, stop)
        finally:
            self._content.release(region)

    def tags(self) -> Iterator[str]:
        """The names of the images."""
        return self._content.index().tags()

    def referrers(self, digest: Digest) -> Iterator[Descriptor]:
        """The manifests of the index whose `subject` this is."""
        for found in dict.fromkeys(entry.descriptor.digest for entry in self._content.index().entries):
            try:
                manifest = self.manifest(found)
            except (ContentError, Missing):
                continue  # an entry of another kind, or one that is damaged: it is not about this image
            if manifest.subject is not None and manifest.subject.digest == digest:
                yield manifest.descriptor()

    def _read(self, digest: Digest, limit: int) -> bytes:
        region = self._content.open(digest)
        try:
            if region.size > limit:
                raise ContentError(f"{self}: {digest} is longer than the {limit} bytes that a manifest may have")
            return b"".join(region.blocks())
        finally:
            self._content.release(region)
