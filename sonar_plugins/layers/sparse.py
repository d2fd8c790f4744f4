"""Files with holes, as GNU tar stores them: where the stored bytes belong, and the file they make.

Source: the GNU tar manual, "Storing Sparse Files": the old format, and PAX versions 0.0, 0.1 and 1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonar_core.errors import ContentError

from .tarheader import BLOCK, LARGEST, number, pax_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Map = tuple[tuple[int, int], ...]
"""(offset, length) of each stored part."""

_MOST_PARTS = 1 << 17
_ZEROS = bytes(1 << 16)


def checked(parts: Iterable[tuple[int, int]], size: int, stored: int) -> Map:
    """The map, if its parts ascend, lie within `size` and hold `stored` bytes together, else ContentError."""
    kept = []
    end = total = 0
    for offset, length in parts:
        if offset < end or length < 0 or offset + length > size:
            raise ContentError("a sparse file's map is wrong: its parts overlap or lie outside the file")
        end = offset + length
        total += length
        if length:
            kept.append((offset, length))
    if total != stored or not 0 <= size <= LARGEST:
        raise ContentError(f"a sparse file's map has {total} bytes, its data {stored}")
    return tuple(kept)


def old_gnu(block: bytes, read: Callable[[int], bytes]) -> tuple[list[tuple[int, int]], int]:
    """The map in a header of type `S` and the blocks that go on with it, and the size of the file."""
    parts = _old_parts(block[386:482])
    size = number(block[483:495])
    more = block[482]
    while more:
        block = read(BLOCK)
        parts += _old_parts(block[:504])
        more = block[504]
        if len(parts) > _MOST_PARTS:
            raise ContentError("a sparse file has too many parts")
    return parts, size


def _old_parts(fields: bytes) -> list[tuple[int, int]]:
    parts = []
    for start in range(0, len(fields), 24):
        offset, length = fields[start : start + 12], fields[start + 12 : start + 24]
        if not offset.strip(b"\0"):
            break
        parts.append((number(offset), number(length)))
    return parts


def pax_0(records: list[tuple[str, bytes]]) -> list[tuple[int, int]]:
    """The map in PAX records: pairs of offset and numbytes (0.0), or one list (0.1)."""
    numbers: list[int] = []
    for key, value in records:
        if key == "GNU.sparse.map":
            numbers = [pax_number(item, key) for item in value.split(b",")] if value else []
        elif key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
            if (len(numbers) % 2 == 0) != (key == "GNU.sparse.offset"):
                raise ContentError("a sparse file's map has an offset without a length")
            numbers.append(pax_number(value, key))
    return _pairs(numbers)


def pax_1(read: Callable[[int], bytes], most: int) -> tuple[list[tuple[int, int]], int]:
    """The map at the head of the data (1.0): decimal lines, the first how many pairs; and how many bytes it took."""
    text = b""
    wanted = 1
    while text.count(b"\n") < wanted:
        if len(text) + BLOCK > most:
            raise ContentError("a sparse file's map is longer than its data, or too long")
        text += read(BLOCK)
        if wanted == 1 and b"\n" in text:
            wanted = 1 + 2 * pax_number(text.partition(b"\n")[0], "sparse map")
    return _pairs([pax_number(line, "sparse map") for line in text.split(b"\n")[1:wanted]]), len(text)


def _pairs(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2 or len(numbers) > 2 * _MOST_PARTS:
        raise ContentError("a sparse file's map has an offset without a length, or too many parts")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def expand(parts: Map, size: int, stored: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The file's content with its holes as zeros."""
    done = 0
    for offset, piece in placed(parts, stored):
        yield from _zeros(offset - done)
        yield piece
        done = offset + len(piece)
    yield from _zeros(size - done)


def placed(parts: Map, stored: Iterable[bytes | memoryview]) -> Iterator[tuple[int, bytes | memoryview]]:
    """The stored bytes, each piece with the offset where it belongs."""
    pieces = iter(stored)
    piece: bytes | memoryview = b""
    for offset, length in parts:
        while length:
            if not piece:
                piece = next(pieces)
                continue
            head, piece = piece[:length], piece[length:]
            yield offset, head
            offset += len(head)
            length -= len(head)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _ZEROS[:count]
        count -= len(_ZEROS)
