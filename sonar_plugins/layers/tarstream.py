"""A tar archive read as a stream: its entries one after the other, and the content of the current one.

Our own reader, since `tarfile` takes five times as long for a header, and a layer has tens of thousands. It reads what
layers have: ustar and old headers, GNU long names, PAX headers, base-256 numbers, sparse files. Whatever the bytes
are, it raises nothing but ContentError. Where readers differ it does as Go's archive/tar, which builders and engines
use: two readers that see two archives in the same bytes are a way to smuggle (CVE-2025-62518).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sonar_core.errors import ContentError

from . import sparse
from .limits import Budget
from .model import Entry, Kind
from .paths import MAX_PATH, clean, show
from .tarheader import (
    BLOCK,
    LARGEST,
    ZERO_BLOCK,
    Header,
    parse_header,
    pax_number,
    pax_records,
    pax_time,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KINDS = {
    b"\0": Kind.FILE,
    b"0": Kind.FILE,
    b"7": Kind.FILE,  # contiguous: a hint that nobody takes
    b"S": Kind.FILE,
    b"1": Kind.HARDLINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHAR,
    b"4": Kind.BLOCK,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
}
_EXTENDED = frozenset({b"x", b"g", b"L", b"K"})
_MOST_EXTENDED = 1 << 20  # bytes of one extended header or sparse map
_MOST_ID = 2**32 - 2  # 2^32-1 means "leave it" to chown
_XATTR = "SCHILY.xattr."


@dataclass
class _Extended:
    """What the headers before an entry's own say of it. The last of each sort counts."""

    records: list[tuple[str, bytes]] = field(default_factory=list)
    name: bytes = b""
    linkname: bytes = b""


class TarReader:
    """Iterates over the entries of an archive that comes in pieces of any size.

    While an entry is the current one, `content()` gives its stored bytes; what is not taken is skipped. After the last
    entry the pieces are read to their end, so that what checks them on the way sees them all.
    """

    def __init__(self, pieces: Iterable[bytes], *, layer: int = 0, budget: Budget | None = None) -> None:
        self._pieces = iter(pieces)
        self._piece = b""
        self._at = 0  # in the piece
        self._start = 0  # of the piece, in the archive
        self._left = 0  # stored bytes of the current entry that were not taken
        self._layer = layer
        self._budget = budget or Budget()
        self._global: dict[str, bytes] = {}

    @property
    def position(self) -> int:
        """How many bytes of the archive were read so far."""
        return self._start + self._at

    @property
    def taken(self) -> int:
        """How many bytes of the archive came so far: all of them, once the iteration is over."""
        return self._start + len(self._piece)

    def __iter__(self) -> Iterator[Entry]:
        extended: _Extended | None = None
        while (block := self._block()) is not None:
            header = parse_header(block)
            if header.type in _EXTENDED:
                extended = self._extend(extended or _Extended(), header)
                continue
            entry = self._entry(block, header, extended)
            extended = None
            self._budget.take_entry(
                len(entry.path) + len(entry.target) + sum([len(value) for _, value in entry.xattrs])
            )
            end = self.position + self._left
            yield entry
            self._skip(self._left + -end % BLOCK)
            self._left = 0
        if extended is not None:
            raise ContentError("the archive ends after an extended header")
        while self._next_piece():
            pass

    def content(self) -> Iterator[memoryview]:
        """The stored bytes of the current entry, once. Holes are left out: see `Entry.sparse`."""
        while self._left:
            if self._at == len(self._piece) and not self._next_piece():
                raise ContentError("the archive ends in the middle of a file")
            taken = memoryview(self._piece)[self._at : self._at + self._left]
            self._at += len(taken)
            self._left -= len(taken)
            yield taken

    def _entry(self, block: bytes, header: Header, extended: _Extended | None) -> Entry:
        """The entry that a header block and those before it describe; the reader stands at its content."""
        kind = _KINDS.get(header.type)
        if kind is None:
            raise ContentError(f"an entry has the type {header.type!r}, which layers can't have")
        _, name, mode, uid, gid, size, seconds, target, major, minor = header
        mtime = seconds * 10**9
        xattrs: tuple[tuple[str, bytes], ...] = ()
        records: list[tuple[str, bytes]] = []
        if extended is not None or self._global:
            records = extended.records if extended else []
            # An empty value means: as if it were not there (POSIX, "pax Header Keyword Precedence").
            values = {key: value for key, value in {**self._global, **dict(records)}.items() if value}
            name = values.get("GNU.sparse.name") or values.get("path", name)
            target = values.get("linkpath", target)
            if extended is not None:
                name, target = extended.name or name, extended.linkname or target
            if values:
                size = pax_number(values["size"], "size") if "size" in values else size
                uid = pax_number(values["uid"], "uid") if "uid" in values else uid
                gid = pax_number(values["gid"], "gid") if "gid" in values else gid
                mtime = pax_time(values["mtime"]) if "mtime" in values else mtime
                xattrs = tuple([(k[len(_XATTR) :], v) for k, v in values.items() if k.startswith(_XATTR)])
        if header.type == b"\0" and name.endswith(b"/"):
            kind = Kind.DIRECTORY  # as archives did before POSIX
        path = clean(name)
        if size < 0 or not all(0 <= number <= _MOST_ID for number in (uid, gid, major, minor)):
            raise ContentError(f"{show(path)} has a negative size, or an owner or device that can't be")
        holes = None
        if kind is Kind.FILE:
            self._left = size  # all other kinds have no content, whatever their size says
            target = b""
            if header.type == b"S" or records:
                holes, size = self._sparse(block, header, records, size)
        else:
            size = self._left = 0
            target = _target(kind, path, target)
        return Entry(
            path,
            kind,
            mode & 0o7777,
            uid,
            gid,
            size,
            max(-LARGEST, min(mtime, LARGEST)),
            target,
            (major, minor) if kind in (Kind.CHAR, Kind.BLOCK) else None,
            xattrs,
            holes,
            layer=self._layer,
            offset=self.position,
        )

    def _sparse(
        self, block: bytes, header: Header, records: list[tuple[str, bytes]], size: int
    ) -> tuple[sparse.Map | None, int]:
        """The map of a file with holes, None for others, and the size of the file."""
        values = dict(records)
        if header.type == b"S":
            parts, size = sparse.old_gnu(block, self._read)
        elif values.get("GNU.sparse.major") == b"1":
            parts, taken = sparse.pax_1(self._read, min(size, _MOST_EXTENDED))
            self._left -= taken
        elif "GNU.sparse.map" in values or "GNU.sparse.offset" in values:
            parts = sparse.pax_0(records)
        else:
            return None, size
        for key in ("GNU.sparse.size", "GNU.sparse.realsize"):
            if key in values:
                size = pax_number(values[key], key)
        holes = sparse.checked(parts, size, self._left)
        self._budget.take_size(size - self._left)
        return holes, size

    def _extend(self, extended: _Extended, header: Header) -> _Extended:
        """Read the content of a header that describes the next entry, or all that follow."""
        if not 0 <= header.size <= _MOST_EXTENDED:
            raise ContentError(f"an extended header has {header.size} bytes, {_MOST_EXTENDED} are allowed")
        data = self._read(header.size)
        self._skip(-self.position % BLOCK)
        if header.type == b"L":
            extended.name = data.partition(b"\0")[0]
        elif header.type == b"K":
            extended.linkname = data.partition(b"\0")[0]
        elif header.type == b"x":
            extended.records = pax_records(data)
        else:
            for key, value in pax_records(data):
                # These can't be true of all files; readers that ignore global headers would see another archive.
                if key in ("path", "linkpath", "size") or key.startswith("GNU.sparse."):
                    raise ContentError(f"a global header sets {key}, which belongs to one entry")
                self._global[key] = value
        return extended

    def _block(self) -> bytes | None:
        """The next header block; None at the end: two blocks of zeros, or no more bytes."""
        block = self._piece[self._at : self._at + BLOCK]
        if len(block) == BLOCK:
            self._at += BLOCK
        else:
            if self._at == len(self._piece) and not self._next_piece():
                return None
            block = self._read(BLOCK)
        if block == ZERO_BLOCK:
            second = ZERO_BLOCK
            if self._at < len(self._piece) or self._next_piece():
                second = self._read(BLOCK)
            if second != ZERO_BLOCK:
                raise ContentError("there is something after the end of the archive")
            return None
        return block

    def _read(self, count: int) -> bytes:
        """Exactly `count` bytes; callers bound it."""
        taken = []
        while count:
            if self._at == len(self._piece) and not self._next_piece():
                raise ContentError("the archive ends in the middle of a header")
            part = self._piece[self._at : self._at + count]
            self._at += len(part)
            count -= len(part)
            taken.append(part)
        return b"".join(taken)

    def _skip(self, count: int) -> None:
        while (available := len(self._piece) - self._at) < count:
            count -= available
            self._at = len(self._piece)
            if not self._next_piece():
                raise ContentError("the archive ends in the middle of a file")
        self._at += count

    def _next_piece(self) -> bool:
        """Go to the next piece that is not empty. False at the end of the archive."""
        for piece in self._pieces:
            if piece:
                self._start += len(self._piece)
                self._piece = piece
                self._at = 0
                self._budget.take_size(len(piece))
                return True
        return False


def _target(kind: Kind, path: bytes, target: bytes) -> bytes:
    if kind is Kind.HARDLINK:
        return clean(target, "hard link's target")
    if kind is not Kind.SYMLINK:
        return b""
    if not target or b"\0" in target or len(target) >= MAX_PATH:
        raise ContentError(f"the link {show(path)} has a target that is empty, too long or has a NUL in it")
    return target
