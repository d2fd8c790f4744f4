"""What the layers above hide from the ones below, for unpacking from the top down.

From the top down each layer is read once, nothing is written that a later layer hides, and marks need no order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import ROOT
from .packed import DIRECTORY, is_implied
from .paths import join

if TYPE_CHECKING:
    from .layer import Layer


class Mask:
    """Grows downwards: after `add(layer)` it is what the next lower layer is seen through."""

    def __init__(self) -> None:
        self._covered: dict[bytes, set[bytes]] = {}  # by directory: names of what is no directory, or removed
        self._opaque: set[bytes] = set()
        self._directories: dict[bytes, bool] = {}  # path → has an entry of its own
        self._blocked: dict[bytes, bool] = {}

    def shows(self, path: bytes) -> bool:
        """Whether a file, link or device that the next layer has at `path` is seen."""
        return not (path in self._directories or self._covers(path))

    def shows_directory(self, path: bytes) -> bool:
        """Whether the owner and mode that the next layer gives the directory `path` are seen."""
        return not (self._directories.get(path, False) or self._covers(path))

    def add(self, layer: Layer) -> None:
        """Hide also what this layer hides."""
        for directory, names in layer.directories.items():
            covered = self._covered.setdefault(directory, set())
            for name, packed in names.items():
                if packed[0] != DIRECTORY:
                    covered.add(name)
                    continue
                path = join(directory, name)
                self._directories[path] = self._directories.get(path, False) or not is_implied(packed)
        self._directories[ROOT] = self._directories.get(ROOT, False) or not is_implied(layer.root)
        for path in layer.whiteouts:
            parent, _, name = path.rpartition(b"/")
            self._covered.setdefault(parent, set()).add(name)
        self._opaque |= layer.opaque
        self._blocked.clear()

    def _covers(self, path: bytes) -> bool:
        """Whether nothing at `path` is seen, not even merged with a directory of a higher layer."""
        if path == ROOT:
            return False
        parent, _, name = path.rpartition(b"/")
        return name in self._covered.get(parent, ()) or self._blocks(parent)

    def _blocks(self, directory: bytes) -> bool:
        """Whether nothing that the next layer has in `directory` is seen."""
        blocked = self._blocked.get(directory)
        if blocked is None:
            blocked = self._blocked[directory] = directory in self._opaque or self._covers(directory)
        return blocked
