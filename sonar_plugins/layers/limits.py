"""How much one image may unpack to, so that a small download can't fill a disk or the memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from sonar_core.errors import ContentError


@dataclass
class Budget:
    """What is left of the limits, for all layers of an image together. Taking more is a ContentError."""

    size: int = 64 << 30
    """Unpacked bytes, holes in sparse files included."""
    entries: int = 2_000_000
    metadata: int = 512 << 20
    """Bytes of names, link targets and extended attributes: what is kept in memory."""
    _closed: bool = field(default=False, init=False)

    def take_size(self, count: int) -> None:
        """Take bytes of an unpacked layer."""
        self.size -= count
        if self.size < 0:
            raise ContentError("the image unpacks to more than is allowed", hint="--max-size allows more")
        if self._closed:
            raise ContentError("reading was given up")

    def take_entry(self, metadata: int) -> None:
        """Take an entry that has so many bytes of names and attributes."""
        self.entries -= 1
        if self.entries < 0:
            raise ContentError("the image has more entries than is allowed", hint="--max-entries allows more")
        self.metadata -= metadata
        if self.metadata < 0:
            raise ContentError("the names and attributes in the image take more memory than is allowed")

    def close(self) -> None:
        """Let whoever goes on reading, in other threads, run into an error."""
        self._closed = True
