"""Entries by directory: what a layer and a merged tree have in common. Look up, walk, follow links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonar_core.errors import ContentError

from .model import ROOT, Entry, Kind
from .packed import DIRECTORY, SYMLINK, pack, unpack
from .paths import MAX_DEPTH, join, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_LINKS = 40  # MAXSYMLINKS of Linux


class Files:
    """A tree of entries; each directory knows its own by name, packed (see `packed`)."""

    def __init__(self) -> None:
        self.directories: dict[bytes, dict[bytes, bytes]] = {ROOT: {}}
        self.root = pack(Entry(ROOT, Kind.DIRECTORY, 0o755, implied=True))

    def packed(self, path: bytes) -> bytes | None:
        """The packed entry at `path`, or None. Links on the way are not followed."""
        if not path:
            return self.root
        parent, _, name = path.rpartition(b"/")
        names = self.directories.get(parent)
        return None if names is None else names.get(name)

    def get(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None. Links on the way are not followed."""
        packed = self.packed(path)
        return None if packed is None else unpack(path, packed)

    def __len__(self) -> int:
        """How many entries there are, the root not counted."""
        return sum(map(len, self.directories.values()))

    def walk(self, top: bytes = ROOT) -> Iterator[Entry]:
        """The entry at `top` and all below it, in the order of names, a directory before what it holds."""
        return (unpack(path, packed) for path, packed in self.walk_packed(top))

    def walk_packed(self, top: bytes = ROOT) -> Iterator[tuple[bytes, bytes]]:
        """As `walk`: paths with packed entries."""
        packed = self.packed(top)
        levels = [iter([(top, packed)] if packed is not None else [])]
        while levels:
            for path, packed in levels[-1]:
                yield path, packed
                if packed[0] == DIRECTORY:
                    levels.append(self._children(path))
                    break
            else:
                levels.pop()

    def _children(self, path: bytes) -> Iterator[tuple[bytes, bytes]]:
        names = self.directories[path]
        return iter([(join(path, name), names[name]) for name in sorted(names)])

    def resolve(self, path: bytes) -> bytes:
        """The path that `path` leads to when all links are followed inside the tree, the last one too.

        What does not exist stays as it is. Raises ContentError for a loop.
        """
        return follow(path, self._link)

    def _link(self, path: bytes) -> bytes | None:
        packed = self.packed(path)
        return unpack(path, packed).target if packed is not None and packed[0] == SYMLINK else None


def follow(path: bytes, link: Callable[[bytes], bytes | None]) -> bytes:
    """`path` with every symbolic link on it followed below the root, as after chroot(2): `..` stops there.

    `link` gives the text of the link at a path, or None where there is none. Raises ContentError for a loop.
    """
    done: list[bytes] = []
    todo = path.split(b"/")[::-1]
    links = 0
    while todo:
        part = todo.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            del done[-1:]
            continue
        done.append(part)
        target = link(b"/".join(done))
        if target is None:
            continue
        links += 1
        if links > _MOST_LINKS or len(todo) > MAX_DEPTH:
            raise ContentError(f"{show(path)} leads through too many links", hint="they may form a loop")
        done = [] if target.startswith(b"/") else done[:-1]
        todo += target.split(b"/")[::-1]
    return b"/".join(done)
