"""One entry as tar header blocks: plain ustar where that can say it, a PAX header before it where not.

Nothing but the entry decides the bytes, so equal trees give equal archives. Source: POSIX.1-2017, pax, "ustar
Interchange Format" and "pax Header Block".
"""

from __future__ import annotations

from sonar_core.errors import ContentError

from .model import ROOT, Entry, Kind
from .paths import show
from .tarheader import BLOCK

END = bytes(2 * BLOCK)
"""What an archive ends with."""

_TYPES = {
    Kind.FILE: b"0",
    Kind.HARDLINK: b"1",
    Kind.SYMLINK: b"2",
    Kind.CHAR: b"3",
    Kind.BLOCK: b"4",
    Kind.DIRECTORY: b"5",
    Kind.FIFO: b"6",
}
_SECOND = 10**9


def header(entry: Entry) -> bytes:
    """The blocks that stand before an entry's content. Raises ContentError for a device that tar can't name."""
    name = (entry.path or b".") + (b"/" if entry.kind is Kind.DIRECTORY else b"")
    records: list[tuple[str, bytes]] = []
    size = entry.size if entry.kind is Kind.FILE else 0
    seconds, fraction = divmod(entry.mtime, _SECOND)
    prefix, short = _split(name)
    if short is None:
        records.append(("path", name))
    if len(entry.target) > 100:
        records.append(("linkpath", entry.target))
    if fraction or not 0 <= seconds < 8**11:
        records.append(("mtime", _decimal(entry.mtime)))
        seconds = max(0, min(seconds, 8**11 - 1))
    for key, value, digits in (("uid", entry.uid, 7), ("gid", entry.gid, 7), ("size", size, 11)):
        if value >= 8**digits:
            records.append((key, b"%d" % value))
    records += [("SCHILY.xattr." + key, value) for key, value in sorted(entry.xattrs)]
    major, minor = entry.device or (0, 0)
    if max(major, minor) >= 8**7:
        raise ContentError(f"the device {show(entry.path)} has a number that no tar archive can hold")
    block = _block(
        short or name[:100], prefix, entry, _TYPES[entry.kind], size, seconds, entry.target[:100], (major, minor)
    )
    return (_pax(name, records) if records else b"") + block


def padding(size: int) -> bytes:
    """What fills the last block after `size` bytes of content."""
    return bytes(-size % BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """The name as ustar's prefix and name fields, or None where it does not fit."""
    if len(name) <= 100:
        return b"", name
    slash = name.find(b"/", len(name) - 101, len(name) - 1)
    if 0 < slash <= 155:
        return name[:slash], name[slash + 1 :]
    return b"", None


def _pax(name: bytes, records: list[tuple[str, bytes]]) -> bytes:
    data = b"".join(_record(key, value) for key, value in records)
    about = Entry(ROOT, Kind.FILE, 0o644)
    block = _block(b"PaxHeaders/" + name[:80], b"", about, b"x", len(data), 0, b"", (0, 0))
    return block + data + padding(len(data))


def _record(key: str, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where the length counts its own digits too."""
    rest = b" " + key.encode("utf-8", "surrogateescape") + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d" % length + rest


def _decimal(nanoseconds: int) -> bytes:
    whole, fraction = divmod(abs(nanoseconds), _SECOND)
    digits = b".%09d" % fraction
    return (b"-" if nanoseconds < 0 else b"") + b"%d" % whole + digits.rstrip(b"0").rstrip(b".")


def _block(
    name: bytes,
    prefix: bytes,
    entry: Entry,
    kind: bytes,
    size: int,
    seconds: int,
    target: bytes,
    device: tuple[int, int],
) -> bytes:
    fields = [
        name.ljust(100, b"\0"),
        _octal(entry.mode, 7),
        _octal(entry.uid, 7),
        _octal(entry.gid, 7),
        _octal(size, 11),
        _octal(seconds, 11),
        b" " * 8,
        kind,
        target.ljust(100, b"\0"),
        b"ustar\00000",
        bytes(64),  # the names of user and group: whoever unpacks has other ones
        _octal(device[0], 7),
        _octal(device[1], 7),
        prefix.ljust(155, b"\0"),
        bytes(12),
    ]
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _octal(value: int, digits: int) -> bytes:
    """A field of digits and a NUL; 0 for what does not fit, which a PAX record says then."""
    return b"%0*o\0" % (digits, value if value < 8**digits else 0)
