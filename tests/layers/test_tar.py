"""The tar reader, header by header: what archives may hold, and what is refused."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from sonar_core.errors import ContentError
from sonar_plugins.layers.limits import Budget
from sonar_plugins.layers.model import Kind
from sonar_plugins.layers.tarheader import number, pax_records, pax_time
from sonar_plugins.layers.tarstream import TarReader
from sonar_plugins.layers.tarwrite import END, padding

from .raw import block, contents, entries, long, padded, pax

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_old_headers_without_magic() -> None:
    """v7: no magic; a slash at the end says that it is a directory."""
    found = entries(block(b"d/", kind=b"\0", magic=b""), block(b"f", kind=b"\0", magic=b"", size=3) + padded(b"abc"))
    assert [(entry.path, entry.kind) for entry in found] == [(b"d", Kind.DIRECTORY), (b"f", Kind.FILE)]


def test_the_prefix_of_ustar_and_what_gnu_keeps_there() -> None:
    found = entries(block(b"name", prefix=b"some/dir"), block(b"name", prefix=b"1234567", magic=b"ustar  \0"))
    assert [entry.path for entry in found] == [b"some/dir/name", b"name"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"644\0junk", 0o644),
        (b"\0" * 8, 0),
        (b" " * 8, 0),
        (b"\x80" + bytes(6) + b"\x05", 5),
        (b"\xff" * 8, -1),
        (b"\x80\0\0\0\0\x01\0\0\0\0\0\0", 2**48),
        (b"77777777777\0", 8**11 - 1),
    ],
)
def test_numbers(field: bytes, value: int) -> None:
    assert number(field) == value


@pytest.mark.parametrize(
    "field", [b"0000a44\0", b"-0001\0\0\0", b"0o644\0\0\0", b"1_0\0\0\0\0\0", b"889\0\0\0\0\0", b"\x80" + b"\xff" * 11]
)
def test_numbers_that_are_none(field: bytes) -> None:
    with pytest.raises(ContentError, match="where a number belongs"):
        number(field)


def test_a_checksum_of_signed_characters_counts_too() -> None:
    """POSIX: readers accept both sums."""
    made = bytearray(block(b"\xff\xfe\xfd"))
    signed = sum(byte - 256 if byte > 127 else byte for byte in made[:148] + b" " * 8 + made[156:])
    made[148:156] = b"%06o\0 " % signed
    assert entries(bytes(made))[0].path == b"\xff\xfe\xfd"


def test_a_wrong_checksum_is_refused() -> None:
    made = bytearray(block(b"name"))
    made[0] ^= 1
    with pytest.raises(ContentError, match="checksum"):
        entries(bytes(made))


def test_what_is_no_archive_is_refused() -> None:
    with pytest.raises(ContentError, match="not a tar archive"):
        entries(b"<html>" + b" " * 1000)


def test_gnu_long_names_come_before_pax_ones() -> None:
    """As in Go's archive/tar, which builders and engines use."""
    found = entries(
        pax(("path", b"pax"), ("linkpath", b"pax")), long(b"L", b"gnu"), long(b"K", b"to"), block(kind=b"2")
    )
    assert (found[0].path, found[0].target) == (b"gnu", b"to")


def test_the_last_extended_header_counts_and_only_for_one_entry() -> None:
    found = entries(pax(("path", b"one"), ("uid", b"7")), pax(("path", b"two")), block(b"x"), block(b"y"))
    assert [(entry.path, entry.uid) for entry in found] == [(b"two", 0), (b"y", 0)]


def test_a_global_header_counts_for_all_that_follow_and_a_local_one_before_it() -> None:
    found = entries(pax(("mtime", b"1.5"), ("uid", b"5"), kind=b"g"), block(b"a"), pax(("uid", b"6")), block(b"b"))
    assert [(entry.mtime, entry.uid) for entry in found] == [(1_500_000_000, 5), (1_500_000_000, 6)]


@pytest.mark.parametrize("key", ["path", "linkpath", "size", "GNU.sparse.major"])
def test_a_global_header_can_not_say_what_belongs_to_one_entry(key: str) -> None:
    with pytest.raises(ContentError, match=f"global header sets {key}"):
        entries(pax((key, b"1"), kind=b"g"), block())


def test_an_empty_value_means_that_the_header_counts() -> None:
    assert entries(pax(("path", b""), ("uid", b"")), block(b"x"))[0].path == b"x"


def test_the_size_of_a_pax_record_decides_where_the_next_header_is() -> None:
    """CVE-2025-62518: who goes by the header's size reads the archive that is hidden in the content."""
    hidden = block(b"smuggled")
    found = entries(pax(("size", b"%d" % len(hidden))), block(b"carrier", size=0), hidden, block(b"next"))
    assert [entry.path for entry in found] == [b"carrier", b"next"]


@pytest.mark.parametrize("kind", list(b"123456"))
def test_what_has_no_content_has_none_whatever_its_size_says(kind: int) -> None:
    found = entries(block(b"x", kind=bytes([kind]), size=512, linkname=b"t"), block(b"next"))
    assert [(entry.path, entry.size) for entry in found] == [(b"x", 0), (b"next", 0)]


@pytest.mark.parametrize("kind", [b"V", b"M", b"N", b"D", b"X", b"A", b"8"])
def test_types_that_layers_can_not_have(kind: bytes) -> None:
    with pytest.raises(ContentError, match="which layers can't have"):
        entries(block(kind=kind))


def test_attributes_keep_bytes() -> None:
    found = entries(pax(("SCHILY.xattr.security.capability", b"\1\0\0\2\xff=\n")), block())
    assert found[0].xattrs == (("security.capability", b"\1\0\0\2\xff=\n"),)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [(b"1", 10**9), (b"1.5", 1_500_000_000), (b"-1.25", -1_250_000_000), (b"0.1234567891", 123_456_789)],
)
def test_times(text: bytes, nanoseconds: int) -> None:
    assert pax_time(text) == nanoseconds


@pytest.mark.parametrize("text", [b"x", b"1.x", b"", b"--1", b"1e5", b"9" * 20])
def test_times_that_are_none(text: bytes) -> None:
    with pytest.raises(ContentError, match="not a time"):
        pax_time(text)


@pytest.mark.parametrize(
    "data",
    [b"x", b"5 a=b", b"99 a=b\n", b"0 a=b\n", b"6 a=b", b"6 aab\n", b"5 =b\n", b"-6 a=b\n", b"+6 a=b\n", b"1" * 30],
)
def test_records_that_are_malformed(data: bytes) -> None:
    with pytest.raises(ContentError, match="extended header"):
        pax_records(data)


def test_a_time_that_64_bits_can_not_hold_is_cut() -> None:
    assert entries(pax(("mtime", b"9" * 18)), block())[0].mtime == 2**63 - 1


def test_one_block_of_zeros_is_no_end() -> None:
    """Go's reader and ours refuse it; GNU tar would stop there and others go on: nobody may hide entries so."""
    with pytest.raises(ContentError, match="after the end"):
        entries(block(b"a"), bytes(512), block(b"b"))


def test_what_follows_the_end_is_read_and_not_looked_at() -> None:
    pieces = iter([block(b"a") + END, b"rubbish", b"more"])
    assert [entry.path for entry in TarReader(pieces)] == [b"a"]
    assert list(pieces) == []


def test_an_archive_may_end_without_an_end() -> None:
    """Go's reader takes it; so do engines."""
    assert [entry.path for entry in entries(block(b"a"), end=b"")] == [b"a"]
    assert entries(end=b"") == []


def test_an_extended_header_alone_at_the_end_is_an_error() -> None:
    with pytest.raises(ContentError, match="after an extended header"):
        entries(pax(("path", b"x")))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_extended_headers_are_limited(kind: bytes) -> None:
    with pytest.raises(ContentError, match="are allowed"):
        entries(block(kind=kind, size=(1 << 20) + 1))


@pytest.mark.parametrize("uid", [b"-1", b"4294967295", b"99999999999999999999"])
def test_owners_that_can_not_be(uid: bytes) -> None:
    with pytest.raises(ContentError):
        entries(pax(("uid", uid)), block())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (b"a/../b", "has '..' in it"),
        (b"n" * 256, "more than 255"),
        (b"/".join([b"d"] * 257), "too long"),
        (b"/".join([b"d" * 200] * 30), "too long"),
    ],
)
def test_names_that_can_not_be(name: bytes, message: str) -> None:
    with pytest.raises(ContentError, match=message):
        entries(long(b"L", name), block())


@pytest.mark.parametrize("target", [b"", b"t" * 4096])
def test_link_targets_that_can_not_be(target: bytes) -> None:
    with pytest.raises(ContentError, match="has a target that is empty, too long"):
        entries(long(b"K", target), block(kind=b"2"))


def test_control_characters_of_a_name_are_escaped_in_messages() -> None:
    with pytest.raises(ContentError) as caught:
        entries(block(b"\x1b[2J/../x"))
    assert "\x1b" not in str(caught.value)


def with_holes(directory: Path, parts: int) -> bytes:
    rng = random.Random(parts)
    with (directory / "sparse").open("wb") as out:
        for index in range(parts):
            out.seek(index * 16384)
            out.write(rng.randbytes(4096))
        out.truncate(parts * 16384 + 5000)
    return (directory / "sparse").read_bytes()


@pytest.mark.parametrize("parts", [0, 1, 4, 30, 200])
@pytest.mark.parametrize(
    "form", ["gnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix --sparse-version=1.0"]
)
def test_sparse_files_as_gnu_tar_writes_them(form: str, parts: int, tmp_path: Path) -> None:
    content = with_holes(tmp_path, parts)
    command = ["tar", "--create", "--sparse", "--hole-detection=raw", *f"--format={form}".split(), "--file=-", "sparse"]
    archive = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, check=True).stdout
    found = list(contents(archive + END, 777))
    assert [(entry.path, entry.size) for entry, _ in found] == [(b"sparse", len(content))]
    assert found[0][1] == content
    assert parts == 0 or found[0][0].sparse is not None


@pytest.mark.parametrize(
    "records",
    [
        (("GNU.sparse.map", b"0,4"), ("GNU.sparse.size", b"3")),
        (("GNU.sparse.map", b"5,2,0,2"), ("GNU.sparse.size", b"20")),
        (("GNU.sparse.map", b"0,2,1,2"), ("GNU.sparse.size", b"20")),
        (("GNU.sparse.map", b"0,3"), ("GNU.sparse.size", b"20")),
        (("GNU.sparse.map", b"0,4,9"), ("GNU.sparse.size", b"20")),
        (("GNU.sparse.offset", b"0"), ("GNU.sparse.size", b"20")),
        (("GNU.sparse.offset", b"0"), ("GNU.sparse.offset", b"0")),
        (("GNU.sparse.map", b"x"),),
        (("GNU.sparse.major", b"1"),),
    ],
)
def test_maps_that_can_not_be(records: tuple[tuple[str, bytes], ...]) -> None:
    with pytest.raises(ContentError):
        entries(pax(*records), block(size=4) + padded(b"data"))


def test_a_hole_counts_for_the_size_of_the_image() -> None:
    """A kilobyte of archive can claim a file of exabytes."""
    made = pax(("GNU.sparse.map", b"0,4"), ("GNU.sparse.size", b"%d" % 2**62)) + block(size=4) + padded(b"data")
    with pytest.raises(ContentError, match="unpacks to more"):
        list(TarReader([made]))


def test_reader_and_padding_agree() -> None:
    assert [len(padding(size)) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]


def test_reading_takes_the_archive_in_pieces_and_keeps_none() -> None:
    """Memory does not grow with the size of a file: 1 GiB goes by in pieces of 1 MiB that are not kept."""
    import tracemalloc

    piece = bytes(1 << 20)
    size = 1 << 30
    budget = Budget(size=size + 10_000)

    def pieces() -> Iterator[bytes]:
        yield block(size=size)
        for _ in range(size >> 20):
            yield piece
        yield END

    tracemalloc.start()
    found = [entry.size for entry in TarReader(pieces(), budget=budget)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [size]
    assert peak < 1 << 20


def test_a_reader_closed_early_reads_no_further() -> None:
    taken = []

    def pieces() -> Iterator[bytes]:
        for name in (b"a", b"b", b"c"):
            taken.append(name)
            yield block(name)

    assert next(iter(TarReader(pieces()))).path == b"a"
    assert taken == [b"a"]
