"""How a layer is packed: told by its bytes, held against its media type, unpacked in small pieces."""

from __future__ import annotations

import gzip
import importlib.util
import random
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonar_core import media_types
from sonar_core.errors import ContentError, SonarError
from sonar_plugins.layers.decompress import compression, declared_compression, decompress
from sonar_plugins.layers.limits import Budget
from sonar_plugins.layers.source import read_layer

from .making import source

if TYPE_CHECKING:
    from collections.abc import Iterator

HAS_ZSTD = any(importlib.util.find_spec(name) for name in ("backports.zstd", "compression"))
HAS_ISAL = importlib.util.find_spec("isal") is not None
needs_zstd = pytest.mark.skipif(not HAS_ZSTD, reason="the extra `zstd` is not installed")

CONTENT = random.Random(1).randbytes(3000) + b"text " * 50_000


@pytest.fixture(params=["zlib", pytest.param("isal", marks=pytest.mark.skipif(not HAS_ISAL, reason="no isal"))])
def inflate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)  # as if it were not installed


def zstd(data: bytes, *options: str) -> bytes:
    return subprocess.run(["zstd", "--stdout", *options], input=data, stdout=subprocess.PIPE, check=True).stdout


def unpacked(data: bytes, media_type: str | None = None, cut: int = 1 << 20) -> bytes:
    return b"".join(decompress((data[start : start + cut] for start in range(0, len(data), cut)), media_type))


@pytest.mark.usefixtures("inflate")
@pytest.mark.parametrize("cut", [1, 7, 1000, 1 << 20])
def test_gzip_in_blocks_of_any_size(cut: int) -> None:
    assert unpacked(gzip.compress(CONTENT), cut=cut) == CONTENT


@pytest.mark.usefixtures("inflate")
@pytest.mark.parametrize("cut", [1, 9, 1 << 20])
def test_gzip_of_several_members_with_padding(cut: int) -> None:
    """eStargz has a member for each file; tape drives and some tools pad with zeros."""
    data = gzip.compress(b"one") + gzip.compress(b"") + bytes(5) + gzip.compress(CONTENT) + bytes(600)
    assert unpacked(data, cut=cut) == b"one" + CONTENT


@pytest.mark.usefixtures("inflate")
def test_thousands_of_members() -> None:
    parts = [b"%d" % index for index in range(5000)]
    assert unpacked(b"".join(gzip.compress(part, 1) for part in parts)) == b"".join(parts)


@pytest.mark.usefixtures("inflate")
def test_gzip_that_is_cut_short() -> None:
    data = gzip.compress(CONTENT)
    for length in (3, 9, 20, len(data) // 2, len(data) - 1):
        with pytest.raises(ContentError, match="ends too early"):
            unpacked(data[:length])


@pytest.mark.usefixtures("inflate")
@pytest.mark.parametrize("at", [30, -6, -2])
def test_gzip_that_is_damaged(at: int) -> None:
    """In the data, in the checksum, in the length."""
    data = bytearray(gzip.compress(CONTENT))
    data[at] ^= 0xFF
    with pytest.raises(ContentError, match="gzip stream"):
        unpacked(bytes(data))


@pytest.mark.usefixtures("inflate")
def test_rubbish_after_gzip_is_refused() -> None:
    with pytest.raises(ContentError, match="gzip stream"):
        unpacked(gzip.compress(CONTENT) + b"rubbish that is no member")


@pytest.mark.usefixtures("inflate")
def test_a_bomb_comes_in_small_pieces() -> None:
    """A piece is at most 1 MiB, though 64 KiB of input can hold 64 MiB."""
    bomb = gzip.compress(bytes(64 << 20), 9)
    sizes = [len(piece) for piece in decompress([bomb])]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 1 << 20


@needs_zstd
@pytest.mark.parametrize("cut", [1, 1000, 1 << 20])
def test_zstd_of_several_frames_and_skippable_ones(cut: int) -> None:
    """zstd:chunked keeps its index in skippable frames (RFC 8878, section 3.1.2)."""
    skippable = b"\x5a\x2a\x4d\x18" + (10).to_bytes(4, "little") + b"0123456789"
    data = skippable + zstd(CONTENT) + skippable + zstd(b"more") + skippable
    assert unpacked(data, cut=cut) == CONTENT + b"more"


@needs_zstd
def test_zstd_that_is_cut_short_or_damaged() -> None:
    data = bytearray(zstd(CONTENT, "--check"))
    with pytest.raises(ContentError, match="ends too early"):
        unpacked(bytes(data[:-1]))
    data[-1] ^= 1
    with pytest.raises(ContentError, match="zstd stream is damaged"):
        unpacked(bytes(data))


@needs_zstd
def test_a_zstd_bomb_comes_in_small_pieces() -> None:
    sizes = [len(piece) for piece in decompress([zstd(bytes(64 << 20))])]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 1 << 20


def test_zstd_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue: "a message that names the extra where it is needed"."""
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(SonarError, match=r"layer 0 .* compressed with zstd; .*sonar-registry\[zstd\]"):
        read_layer(source(b"\x28\xb5\x2f\xfd\0\0"), 0, Budget())


def test_plain_bytes_pass_as_they_are() -> None:
    assert unpacked(CONTENT, media_types.OCI_LAYER) == CONTENT
    assert unpacked(b"") == b""


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x50\x2a\x4d\x18", "zstd"),
        (b"\x5f\x2a\x4d\x18", "zstd"),
        (b"etc/", "plain"),
        (b"\0\0\0\0", "plain"),
        (b"", "plain"),
    ],
)
def test_told_by_the_first_bytes(head: bytes, name: str) -> None:
    assert compression(head) == name


@pytest.mark.parametrize(("head", "name"), [(b"BZh9", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x04\x22\x4d\x18", "lz4")])
def test_what_layers_can_not_be_packed_with(head: bytes, name: str) -> None:
    with pytest.raises(ContentError, match=name):
        unpacked(head + b"more")


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        (media_types.OCI_LAYER, "plain"),
        (media_types.OCI_LAYER_GZIP, "gzip"),
        (media_types.OCI_LAYER_ZSTD, "zstd"),
        (media_types.DOCKER_LAYER_GZIP, "gzip"),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip"),
        ("application/vnd.docker.image.rootfs.diff.tar", "plain"),
        ("application/octet-stream", None),
    ],
)
def test_what_a_media_type_says(media_type: str, name: str | None) -> None:
    assert declared_compression(media_type) == name


def test_encrypted_layers_are_named() -> None:
    with pytest.raises(ContentError, match="encrypted"):
        unpacked(b"x", "application/vnd.oci.image.layer.v1.tar+gzip+encrypted")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (CONTENT, media_types.OCI_LAYER_GZIP),
        (gzip.compress(CONTENT), media_types.OCI_LAYER),
        (gzip.compress(CONTENT), media_types.OCI_LAYER_ZSTD),
        (b"\x28\xb5\x2f\xfd", media_types.OCI_LAYER_GZIP),
        (b"", media_types.OCI_LAYER_GZIP),
    ],
)
def test_a_media_type_that_lies_is_an_error(data: bytes, media_type: str) -> None:
    """ROBUSTNESS: "a media type that lies is an error"."""
    with pytest.raises(ContentError, match="its media type is"):
        unpacked(data, media_type)


@settings(deadline=None)
@given(
    data=st.binary(max_size=300),
    start=st.sampled_from([b"\x1f\x8b\x08", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"]),
)
def test_no_bytes_raise_anything_else(data: bytes, start: bytes) -> None:
    if start[0] != 0x1F and not HAS_ZSTD:
        return
    with suppress(ContentError):
        unpacked(start + data)


def test_nothing_is_read_before_it_is_asked_for() -> None:
    taken = []

    def blocks() -> Iterator[bytes]:
        for index in range(3):
            taken.append(index)
            yield b"plain bytes"

    pieces = decompress(blocks())
    assert taken == []
    next(pieces)
    assert taken == [0]
