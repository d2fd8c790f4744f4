"""What a layer and a merged tree are made of: entries. Nothing here reads, writes or knows about tar."""

from __future__ import annotations

import stat
from enum import IntEnum
from typing import NamedTuple

ROOT = b""
"""The path of the root directory."""


class Kind(IntEnum):
    """The type of an entry. `str()` gives the word, as `directory`."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    HARDLINK = 3
    """Another name of a file. A merged tree has none: there each name is a `FILE` with the same `identity`."""
    CHAR = 4
    BLOCK = 5
    FIFO = 6

    def __str__(self) -> str:
        return self.name.lower()


_FORMATS = (
    stat.S_IFREG,
    stat.S_IFDIR,
    stat.S_IFLNK,
    stat.S_IFREG,
    stat.S_IFCHR,
    stat.S_IFBLK,
    stat.S_IFIFO,
)


class Entry(NamedTuple):
    """One file, directory, link or device, where it came from and where its content lies.

    Paths are bytes, since names in a layer need not be UTF-8; they have no leading or trailing slash, no `.`
    and no `..`; the root is `b""`.
    """

    path: bytes
    kind: Kind
    mode: int = 0o644
    """Permission bits, with set-id and sticky: at most 0o7777."""
    uid: int = 0
    gid: int = 0
    size: int = 0
    """Bytes of content, holes included."""
    mtime: int = 0
    """Nanoseconds since 1970."""
    target: bytes = b""
    """The text of a symbolic link, or the path of what a hard link names."""
    device: tuple[int, int] | None = None
    """Major and minor number."""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    sparse: tuple[tuple[int, int], ...] | None = None
    """Where the stored bytes of a file with holes belong: (offset, length), ascending. None: no holes."""
    digest: bytes = b""
    """SHA-256 of a file's content, holes as zeros, where it was asked for."""
    layer: int = 0
    """Which layer it came from; 0 is the lowest."""
    offset: int = 0
    """Where in the layer's unpacked archive its content begins."""
    implied: bool = False
    """A directory that has no entry of its own and exists because something lies in it."""

    @property
    def identity(self) -> tuple[int, int]:
        """Layer and offset: equal for all names of one file, different for two files."""
        return self.layer, self.offset

    @property
    def st_mode(self) -> int:
        """Type and permissions in one number, as `os.stat` gives them (`stat.filemode` prints it)."""
        return _FORMATS[self.kind] | self.mode
