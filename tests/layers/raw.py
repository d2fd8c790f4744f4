"""Tar archives made block by block, also such as no program would write."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sonar_plugins.layers.source import file_content
from sonar_plugins.layers.tarstream import TarReader
from sonar_plugins.layers.tarwrite import END

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sonar_plugins.layers.model import Entry


def block(
    name: bytes = b"x",
    *,
    size: bytes | int = 0,
    kind: bytes = b"0",
    magic: bytes = b"ustar\x0000",
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    mtime: bytes = b"00000000000\0",
    linkname: bytes = b"",
    prefix: bytes = b"",
) -> bytes:
    """A header block by hand, with a right checksum."""
    if isinstance(size, int):
        size = b"%011o\0" % size
    fields = struct.pack(
        "100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x",
        name, mode, uid, b"0000000\0", size, mtime, b" " * 8, kind, linkname, magic, b"", b"", b"", b"", prefix,
    )  # fmt: skip
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(*records: tuple[str, bytes], kind: bytes = b"x") -> bytes:
    lines = b""
    for key, value in records:
        rest = b" %s=%s\n" % (key.encode(), value)
        length = next(size for size in range(len(rest), len(rest) + 20) if size == len(b"%d" % size + rest))
        lines += b"%d" % length + rest
    return block(b"PaxHeader", size=len(lines), kind=kind) + padded(lines)


def long(kind: bytes, name: bytes) -> bytes:
    return block(b"././@LongLink", size=len(name) + 1, kind=kind, magic=b"ustar  \0") + padded(name + b"\0")


def entries(*parts: bytes, end: bytes = END) -> list[Entry]:
    return list(TarReader([b"".join(parts) + end]))


def contents(archive: bytes, cut: int = 1 << 20) -> Iterator[tuple[Entry, bytes]]:
    reader = TarReader(archive[start : start + cut] for start in range(0, len(archive), cut))
    for entry in reader:
        yield entry, b"".join(file_content(entry, reader))
