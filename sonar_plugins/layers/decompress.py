"""The unpacked bytes of a layer, as a stream: plain, gzip of one or several members, or zstd.

The first bytes say which it is; a media type that says otherwise is an error. Unpacked pieces are at most 1 MiB,
whatever the compression ratio, so memory does not grow with what a stranger's layer unpacks to.
"""

from __future__ import annotations

from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any

from sonar_core.errors import ContentError, SonarError
from sonar_core.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_INPUT = 64 << 10  # what is left after a member's end is copied, so it is little: an eStargz has a member for each file
_OUTPUT = 1 << 20

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_UNUSED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x04\x22\x4d\x18": "lz4"}


def compression(head: bytes) -> str:
    """`gzip`, `zstd` or `plain`, told by the first bytes of a layer.

    Raises ContentError for compressions that no layer may have.
    """
    if head.startswith(_GZIP):
        return "gzip"
    # RFC 8878, section 3.1.2: a stream may begin with a skippable frame, 0x184D2A50 to 5F.
    if head.startswith(_ZSTD) or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return "zstd"
    for magic, name in _UNUSED.items():
        if head.startswith(magic):
            raise ContentError(f"it is compressed with {name}, which image layers can't be")
    return "plain"


def declared_compression(media_type: str) -> str | None:
    """What a layer's media type says about compression; None where it says nothing.

    Sources: OCI image-spec, layer.md, "Gzip/zstd Media Types"; RFC 6839 for the suffixes; Docker's own types end in
    `.tar.gzip`. Raises ContentError for encrypted layers.
    """
    if media_type.endswith("+encrypted"):
        raise ContentError(f"it is encrypted ({media_type})")
    for ending, name in (("gzip", "gzip"), ("zstd", "zstd"), ("tar", "plain")):
        if media_type.endswith(("." + ending, "+" + ending)):
            return name
    return None


def decompress(blocks: Iterable[bytes], media_type: str | None = None) -> Iterator[bytes]:
    """The unpacked bytes of a layer that comes in blocks of any size.

    Raises ContentError where the bytes are damaged or cut short, or are not what `media_type` says.
    """
    rest = iter(blocks)
    head = b""
    for block in rest:
        head += block
        if len(head) >= 6:
            break
    actual = compression(head)
    declared = declared_compression(media_type) if media_type else None
    if declared is not None and declared != actual:
        raise ContentError(f"its media type is {quoted(media_type)}, but its bytes are {actual}")
    if actual == "gzip":
        yield from _gunzip(_portions(head, rest))
    elif actual == "zstd":
        yield from _unzstd(_portions(head, rest))
    else:
        yield head
        yield from rest


def _portions(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    for block in chain((head,), rest):
        if len(block) <= _INPUT:
            yield block
        else:
            yield from (block[start : start + _INPUT] for start in range(0, len(block), _INPUT))


def _gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """RFC 1952, section 2.2: a gzip file is a series of members; zeros after the last one are padding."""
    zlib = _fast_zlib()
    member = None
    for block in blocks:
        data = block
        while data:
            if member is None:
                data = data.lstrip(b"\0")
                if not data:
                    break
                member = zlib.decompressobj(31)  # 31: a gzip header and trailer, with 32 KiB of window
            try:
                yield member.decompress(data, _OUTPUT)
                while member.unconsumed_tail:
                    yield member.decompress(member.unconsumed_tail, _OUTPUT)
            except zlib.error as error:
                raise ContentError(f"its gzip stream is damaged: {error}") from None
            data = b""
            if member.eof:
                data = member.unused_data
                member = None
    if member is not None:
        raise ContentError("its gzip stream ends too early")


def _fast_zlib() -> Any:
    """isal where the extra `fast` is installed: three to four times as fast, with the interface of zlib."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return import_module("zlib")


def _unzstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """RFC 8878: a series of frames. A window above 128 MiB is refused by the decoder."""
    zstd = _zstd()
    frame = None
    for block in blocks:
        data = block
        while data:
            if frame is None:
                frame = zstd.ZstdDecompressor()
            try:
                piece = frame.decompress(data, _OUTPUT)
                while piece:
                    yield piece
                    piece = b"" if frame.eof else frame.decompress(b"", _OUTPUT)
            except zstd.ZstdError as error:
                raise ContentError(f"its zstd stream is damaged: {error}") from None
            data = b""
            if frame.eof:
                data = frame.unused_data
                frame = None
    if frame is not None:
        raise ContentError("its zstd stream ends too early")


def _zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):  # the first is in the standard library from 3.14 on
        try:
            return import_module(name)
        except ImportError:
            continue
    raise SonarError("it is compressed with zstd", hint="install the extra: pip install 'sonar-registry[zstd]'")
