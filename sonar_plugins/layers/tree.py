"""The layers of an image merged as OverlayFS would, and what each of them changed and hid.

Sources: OCI image-spec, layer.md, "Applying Changesets"; Linux, Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from sonar_core.errors import ContentError

from .files import Files
from .model import ROOT
from .packed import DIRECTORY, FILE, identity_of, is_implied, layer_of, size_of
from .paths import join, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .layer import Layer


class Hidden(NamedTuple):
    """Something that one layer has and a later one hides. Directories are not counted, only what is in them."""

    path: bytes
    layer: int
    """The layer that has it."""
    by: int
    """The layer that hides it."""
    size: int
    """Bytes that are now carried for nothing: 0 while another name of the file is still seen."""


@dataclass
class Changes:
    """What one layer did to those below it: files, links and devices are counted, directories are not."""

    layer: int
    added: int = 0
    changed: int = 0
    removed: int = 0
    size: int = 0
    """Bytes of content in it; a file with several names counts once."""
    archive_size: int = 0
    """Bytes of its unpacked archive."""


class Tree(Files):
    """What a container would see of the layers stacked so far, each path with the layer that it came from."""

    def __init__(self, *, partial: bool = False) -> None:
        """`partial`: the lowest layers of the image are left out, so hard links to what they have stay such."""
        super().__init__()
        self.partial = partial
        self.changes: list[Changes] = []
        """One for each layer, the lowest first."""
        self.hidden: dict[bytes, list[Hidden]] = {}
        """What a path hides, by path: of a file that is there, of a whiteout, or of an opaque directory."""
        self.whiteouts: set[bytes] = set()
        """Paths that some layer removed though none below it has them, and that no later one has again.

        Not empty where the lowest layers of an image were left out."""
        self._names: dict[tuple[int, int], int] = {}
        """How many names a file has, for those with several."""
        self._removed_directories = 0

    def stack(self, layer: Layer) -> Changes:
        """Put a layer on top. Its dictionaries become the tree's: the layer can't be used again.

        Raises ContentError where a hard link names nothing.
        """
        self._link_below(layer)
        changes = Changes(layer.index, archive_size=layer.archive_size)
        self.changes.append(changes)
        unknown = self.whiteouts | {path for path in layer.whiteouts if self.packed(path) is None}
        for path in sorted(layer.whiteouts):
            self._removed_directories += self._hide(layer, path, path)
        for path in sorted(layer.opaque):
            for name in list(self.directories.get(path, ())):
                self._hide(layer, join(path, name), path)
        own = self._merge(layer)
        changes.added = own - changes.changed
        self.whiteouts = {path for path in unknown if self.packed(path) is None}
        return changes

    def hides(self, path: bytes) -> tuple[Hidden, ...]:
        """What the entry at `path`, or the removal of it, hides in lower layers."""
        return tuple(self.hidden.get(path, ()))

    @property
    def content_size(self) -> int:
        """Bytes of content in all layers, hidden ones included."""
        return sum(changes.size for changes in self.changes)

    @property
    def wasted(self) -> int:
        """Bytes of content that one layer has and a later one hides."""
        return sum(hidden.size for group in self.hidden.values() for hidden in group)

    @property
    def efficiency(self) -> float:
        """Between 0 and 1, as dive computes it: for each path the smallest of its sizes, over the sum of them.

        A removed file has the size 0 there. A removed directory counts as a path of its own that has the size of
        what was in it, and takes nothing from the score: dive does so. `wasted` counts it.
        """
        total = self.content_size + self._removed_directories
        lost = sum(sum(sizes) - min(sizes) for sizes in self._sizes_of_hidden_paths())
        return (total - lost) / total if total else 1.0

    def _sizes_of_hidden_paths(self) -> Iterator[list[int]]:
        """For each path that something hides: its size in every layer that has it, and 0 if one removed it."""
        sizes: dict[bytes, dict[int, int]] = {}
        for hidden in chain.from_iterable(self.hidden.values()):
            sizes.setdefault(hidden.path, {})[hidden.layer] = hidden.size
        for path, by_layer in sizes.items():
            packed = self.packed(path)
            if packed is not None and packed[0] != DIRECTORY:
                by_layer[layer_of(packed)] = size_of(packed)
            removed = [hidden for hidden in self.hides(path) if hidden.path == path and hidden.by not in by_layer]
            yield [*by_layer.values(), *(0 for _ in removed)]

    def _link_below(self, layer: Layer) -> None:
        """Give each hard link to a lower layer's file what it names, as it was before this layer."""
        found = {path: self.packed(target) for path, target in layer.links_below.items()}
        for path, packed in found.items():
            if packed is None and self.partial:
                continue
            if packed is None or packed[0] == DIRECTORY:
                target = show(layer.links_below[path])
                raise ContentError(f"{show(path)} is a hard link to {target}, which is no file")
            parent, _, name = path.rpartition(b"/")
            layer.directories[parent][name] = packed
            identity = identity_of(packed)
            self._names[identity] = self._names.get(identity, 1) + 1

    def _merge(self, layer: Layer) -> int:
        """Move the layer's entries into the tree; returns how many of them are not directories."""
        if not is_implied(layer.root):
            self.root = layer.root
        count = 0
        todo = [ROOT]
        while todo:
            directory = todo.pop()
            theirs = layer.directories[directory]
            mine = self.directories.setdefault(directory, {})
            if not mine:
                self.directories[directory] = mine = theirs
            for name, packed in theirs.items():
                path = join(directory, name)
                old = mine.get(name) if mine is not theirs else None
                if packed[0] == DIRECTORY:
                    todo.append(path)
                    if old is not None and old[0] == DIRECTORY:
                        if not is_implied(packed):
                            mine[name] = packed
                        continue
                else:
                    count += 1
                    self._count(layer, packed)
                if old is not None:
                    self._hide(layer, path, path)
                mine[name] = packed
        return count

    def _count(self, layer: Layer, packed: bytes) -> None:
        """Count the size of a file of the layer once, and its names."""
        identity = identity_of(packed)
        if packed[0] != FILE or identity[0] != layer.index:
            return
        if identity[1] in layer.linked:
            self._names[identity] = self._names.get(identity, 0) + 1
            if self._names[identity] > 1:
                return
        self.changes[-1].size += size_of(packed)

    def _hide(self, layer: Layer, top: bytes, by: bytes) -> int:
        """Take the entry at `top` and all below it out of the tree: `by`, a path of the layer, hides it.

        Returns the bytes that were in it, if it was a directory.
        """
        changes = self.changes[-1]
        size = 0
        packed = b""
        for path, packed in reversed(list(self.walk_packed(top))):
            parent, _, name = path.rpartition(b"/")
            del self.directories[parent][name]
            if packed[0] == DIRECTORY:
                del self.directories[path]
                continue
            own = layer.packed(path)
            if own is not None and own[0] != DIRECTORY:
                changes.changed += 1
            else:
                changes.removed += 1
            hidden = Hidden(path, layer_of(packed), layer.index, self._forget(packed))
            self.hidden.setdefault(by if own is None else path, []).append(hidden)
            size += hidden.size
        return size if packed and packed[0] == DIRECTORY else 0

    def _forget(self, packed: bytes) -> int:
        """One name of a file is gone. Returns the file's size if it was the last."""
        if packed[0] != FILE:
            return 0
        identity = identity_of(packed)
        if self._names.get(identity, 1) > 1:
            self._names[identity] -= 1
            return 0
        return size_of(packed)
