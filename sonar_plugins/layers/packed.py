"""An entry as a short byte string, so that hundreds of thousands fit in memory.

A packed entry has no path: a directory knows its entries by name, as a real file system does.
"""

from __future__ import annotations

import marshal
from struct import Struct

from .model import Entry, Kind

_HEAD = Struct("<BBHHIIqqq")  # kind, implied, mode, layer, uid, gid, size, mtime, offset
_SIZE = Struct("<14xq")
_IDENTITY = Struct("<4xH24xq")
_KINDS = tuple(Kind)

DIRECTORY = int(Kind.DIRECTORY)
SYMLINK = int(Kind.SYMLINK)
HARDLINK = int(Kind.HARDLINK)
FILE = int(Kind.FILE)

MAX_LAYERS = 1 << 16


def pack(entry: Entry) -> bytes:
    """All of an entry but its path. The first byte is the kind."""
    (_, kind, mode, uid, gid, size, mtime, target, device, xattrs, sparse, digest, layer, offset, implied) = entry
    head = _HEAD.pack(kind, implied, mode, layer, uid, gid, size, mtime, offset)
    if target or device or xattrs or sparse is not None or digest:
        return head + marshal.dumps((target, device, xattrs, sparse, digest))
    return head


def unpack(path: bytes, packed: bytes) -> Entry:
    """The entry that was packed, at `path`."""
    kind, implied, mode, layer, uid, gid, size, mtime, offset = _HEAD.unpack_from(packed)
    if len(packed) == _HEAD.size:
        return Entry(
            path, _KINDS[kind], mode, uid, gid, size, mtime,
            layer=layer, offset=offset, implied=bool(implied),
        )  # fmt: skip
    # Only what `pack` made in this process is ever read here.
    target, device, xattrs, sparse, digest = marshal.loads(packed[_HEAD.size :])  # noqa: S302
    return Entry(
        path, _KINDS[kind], mode, uid, gid, size, mtime, target, device, xattrs, sparse, digest,
        layer, offset, bool(implied),
    )  # fmt: skip


def is_implied(packed: bytes) -> bool:
    """Whether it is a directory that has no entry of its own."""
    return packed[1] != 0


def layer_of(packed: bytes) -> int:
    """Which layer it came from."""
    return packed[4] | packed[5] << 8


def size_of(packed: bytes) -> int:
    """Bytes of content."""
    size: int = _SIZE.unpack_from(packed)[0]
    return size


def identity_of(packed: bytes) -> tuple[int, int]:
    """See `Entry.identity`."""
    layer, offset = _IDENTITY.unpack_from(packed)
    return layer, offset
