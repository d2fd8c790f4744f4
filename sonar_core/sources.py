"""Where the bytes of an upload come from: something that can be opened at any offset, so that it can go on there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .transport import BLOCK


class Source(Protocol):
    """Content that can be read again, from any place."""

    def open(self, offset: int) -> Iterator[bytes]:
        """The content from byte `offset` to its end, in pieces; about 1 MiB each is a good size."""
        ...


@dataclass(frozen=True)
class BytesSource:
    """Content in memory."""

    data: bytes = field(repr=False)

    def open(self, offset: int) -> Iterator[bytes]:
        """The content from `offset`."""
        for start in range(offset, len(self.data), BLOCK):
            yield self.data[start : start + BLOCK]


@dataclass(frozen=True)
class FileSource:
    """The content of a file."""

    path: Path

    def open(self, offset: int) -> Iterator[bytes]:
        """The content from `offset`. Raises OSError."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(offset)
            while block := file.read(BLOCK):
                yield block
