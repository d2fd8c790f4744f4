"""One layer as it would be unpacked by itself: its own files, and the marks that hide what lower layers have.

Entries come in the order of the archive, and the last one for a path wins. A name below a link of the same layer goes
where the link leads, as it does for every engine that unpacks a layer into a directory of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonar_core.errors import ContentError

from .files import Files, follow
from .model import ROOT, Entry, Kind
from .packed import DIRECTORY, HARDLINK, pack, unpack
from .paths import AUFS, MAX_DEPTH, OPAQUE, WHITEOUT, join, show

if TYPE_CHECKING:
    from collections.abc import Callable

# Memory for directories that have no entry: 512 bytes of archive can name 256 of them, with paths of 4 KiB.
_MOST_IMPLIED = 64 << 20
_OVERHEAD = 300


class Layer(Files):
    """The entries of one layer, and what it hides: `whiteouts` (paths) and `opaque` (directories).

    `index` is its place, 0 for the lowest. `dropped` is told of each entry that a later one of the layer replaces, what
    a directory held before the directory.
    """

    def __init__(self, index: int = 0, dropped: Callable[[Entry], None] | None = None) -> None:
        super().__init__()
        self.index = index
        self.whiteouts: set[bytes] = set()
        self.opaque: set[bytes] = set()
        self.linked: set[int] = set()
        """Offsets of the files that have several names."""
        self.links_below: dict[bytes, bytes] = {}
        """Hard links to what this layer does not have, so that a lower one should: path → target."""
        self.archive_size = 0
        """Bytes of the archive that it was read from, if it was."""
        self._dropped = dropped
        self._implied = 0

    def add(self, entry: Entry) -> bytes | None:
        """Take the next entry of the archive.

        Returns the path where it went, or None if it was a mark. Raises ContentError for one that can't be.
        """
        path = entry.path
        if path == ROOT:
            if entry.kind is not Kind.DIRECTORY:
                raise ContentError(f"the root is not a directory but a {entry.kind}")
            self.root = pack(entry)
            return path
        parent, _, name = path.rpartition(b"/")
        names = self.directories.get(parent)
        if names is None:
            if parent.startswith(WHITEOUT) or b"/" + WHITEOUT in parent:
                _check_below_mark(path)
                return None
            parent = self._make_directory(parent)
            names = self.directories[parent]
            path = join(parent, name)
        if name.startswith(WHITEOUT):
            self._mark(parent, name)
            return None
        packed = self._hard_link(path, entry) if entry.kind is Kind.HARDLINK else pack(entry)
        old = names.get(name)
        if old is not None and not (old[0] == packed[0] == DIRECTORY):
            self._drop(path)
        names[name] = packed
        if packed[0] == DIRECTORY:
            self.directories.setdefault(path, {})
        elif packed[0] == HARDLINK:
            self.links_below[path] = unpack(path, packed).target
        return path

    def remove(self, path: bytes) -> None:
        """Forget the entry at `path` and all below it, if there is one."""
        if self.packed(path) is not None:
            self._drop(path)

    def hides(self, path: bytes) -> bool:
        """Whether nothing that a lower layer has at `path` is seen through this one.

        A directory that both have is merged, so this one hides no more than its owner and mode.
        """
        packed = self.packed(path)
        if packed is not None and packed[0] != DIRECTORY:
            return True
        while path:
            if path in self.whiteouts:
                return True
            path = path.rpartition(b"/")[0]
            packed = self.packed(path)
            if path in self.opaque or (packed is not None and packed[0] != DIRECTORY):
                return True
        return False

    def _mark(self, parent: bytes, name: bytes) -> None:
        if name == OPAQUE:
            self.opaque.add(parent)
        elif not name.startswith(AUFS):
            hidden = name[len(WHITEOUT) :]
            if hidden in (b"", b".", b".."):
                raise ContentError(f"{show(join(parent, name))} is a whiteout that hides no name")
            self.whiteouts.add(join(parent, hidden))

    def _make_directory(self, path: bytes) -> bytes:
        """The directory that `path` leads to; what is missing is made, as having no entry of its own."""
        path = follow(path, self._link)
        parts = path.split(b"/") if path else []
        if len(parts) > MAX_DEPTH:
            raise ContentError(f"the path {show(path)} is too deep")
        parent = ROOT
        for part in parts:
            here = join(parent, part)
            names = self.directories[parent]
            old = names.get(part)
            if old is None or old[0] != DIRECTORY:
                if old is not None:
                    self._drop(here)
                names[part] = pack(Entry(here, Kind.DIRECTORY, 0o755, layer=self.index, implied=True))
                self.directories[here] = {}
                self._implied += len(here) + _OVERHEAD
                if self._implied > _MOST_IMPLIED:
                    raise ContentError("a layer has too many directories without entries of their own")
            parent = here
        return path

    def target(self, link: Entry) -> bytes:
        """The path that a hard link of this layer names, once links of this layer are followed on the way."""
        parent, _, name = link.target.rpartition(b"/")
        return join(follow(parent, self._link), name)

    def _hard_link(self, path: bytes, entry: Entry) -> bytes:
        """The entry that a hard link names: it is one file with two names, so all else is the target's."""
        target = self.target(entry)
        if target == ROOT or (target + b"/").startswith(path + b"/"):  # the entry replaces what lies at its path
            raise ContentError(f"{show(path)} is a hard link to itself, to what lies in it, or to the root")
        packed = self.packed(target)
        if packed is None:
            return pack(entry._replace(target=target))
        if packed[0] == DIRECTORY:
            raise ContentError(f"{show(path)} is a hard link to a directory, {show(target)}")
        if packed[0] != HARDLINK:
            self.linked.add(unpack(target, packed).offset)
        return packed

    def _drop(self, top: bytes) -> None:
        """Forget the entry at `top` and all below it."""
        for path, packed in reversed(list(self.walk_packed(top))):
            if packed[0] == DIRECTORY:
                del self.directories[path]
            elif packed[0] == HARDLINK:
                del self.links_below[path]
            parent, _, name = path.rpartition(b"/")
            del self.directories[parent][name]
            if self._dropped is not None:
                self._dropped(unpack(path, packed))


def _check_below_mark(path: bytes) -> None:
    """What AUFS kept below its own names is passed over, anything below a whiteout refused."""
    first = next(part for part in path.split(b"/") if part.startswith(WHITEOUT))
    if not first.startswith(AUFS):
        raise ContentError(f"{show(path)} lies below a whiteout")
