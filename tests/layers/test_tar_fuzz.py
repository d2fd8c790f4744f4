"""The tar reader against the standard library's writer, against our own, and against bytes that mean harm."""

from __future__ import annotations

import os
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from sonar_core.errors import ContentError
from sonar_plugins.layers.limits import Budget
from sonar_plugins.layers.model import Entry, Kind
from sonar_plugins.layers.source import file_content
from sonar_plugins.layers.tarstream import TarReader
from sonar_plugins.layers.tarwrite import END, header

from .making import Item, device, directory, fifo, file, hardlink, symlink, tar
from .raw import block, contents, padded, pax

NAMES = st.lists(
    st.binary(min_size=1, max_size=60).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_")),
    min_size=1,
    max_size=5,
).map(lambda parts: os.fsdecode(b"/".join(b"." + part if part in (b".", b"..") else part for part in parts)))
PLAIN_NAMES = NAMES.filter(lambda name: ".." not in name.split("/"))

ITEMS = st.one_of(
    st.builds(file, PLAIN_NAMES, st.binary(max_size=2000), st.integers(0, 0o7777), mtime=st.integers(0, 8**11 - 1)),
    st.builds(directory, PLAIN_NAMES, st.integers(0, 0o7777)),
    st.builds(symlink, PLAIN_NAMES, PLAIN_NAMES),
    st.builds(hardlink, PLAIN_NAMES, PLAIN_NAMES),
    st.builds(fifo, PLAIN_NAMES),
    st.builds(device, PLAIN_NAMES, st.integers(0, 8**7 - 1), st.integers(0, 8**7 - 1)),
)
OWNED = st.builds(Item.owned, ITEMS, st.integers(0, 2**32 - 2), st.integers(0, 2**32 - 2))


@settings(deadline=None, max_examples=150)
@given(
    items=st.lists(OWNED, max_size=6),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    cut=st.integers(1, 3000),
)
def test_reads_what_the_standard_library_writes(items: list[Item], form: int, cut: int) -> None:
    """Names that are no UTF-8, long ones, great numbers, in pieces of any size."""
    found = list(contents(tar(items, format=form), cut))
    assert [entry.path for entry, _ in found] == [os.fsencode(item.path) for item in items]
    for (entry, content), item in zip(found, items, strict=True):
        assert content == item.content
        assert entry.size == len(item.content)
        assert (entry.mode, entry.uid, entry.gid) == (item.mode, item.uid, item.gid)
        assert entry.mtime == int(item.mtime * 10**9)
        assert entry.target == os.fsencode(item.target)
        assert entry.device == (item.device if entry.kind is Kind.CHAR else None)


XATTRS = st.dictionaries(st.text("abc.", min_size=1), st.binary(min_size=1, max_size=50))


@st.composite
def any_entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from([Kind.FILE, Kind.DIRECTORY, Kind.FIFO]))
    ids = st.integers(0, 2**32 - 2)
    sizes = st.sampled_from([0, 1, 511, 512, 513, 8**11 - 1, 8**11, 2**40])
    return Entry(
        os.fsencode(draw(PLAIN_NAMES)),
        kind,
        draw(st.integers(0, 0o7777)),
        draw(ids),
        draw(ids),
        draw(sizes) if kind is Kind.FILE else 0,
        draw(st.integers(-(2**62), 2**62)),
        xattrs=tuple(sorted(draw(XATTRS).items())),
    )


@settings(deadline=None, max_examples=150)
@given(entry=any_entries())
def test_writing_and_reading_give_the_same(entry: Entry) -> None:
    blocks = header(entry)
    assert len(blocks) % 512 == 0
    found = next(iter(TarReader([blocks])))
    assert found._replace(offset=0) == entry
    info = tarfile.TarInfo.frombuf(blocks[-512:], "utf-8", "surrogateescape")
    assert info.mode == entry.mode


SEEDS = [
    tar([file("a/b", b"x" * 700), symlink("l", "t" * 150), hardlink("h", "a/b"), file("n" * 200, b"y")], format=form)
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
] + [
    pax(("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"100"))
    + block(size=512 + 4)
    + padded(b"1\n10\n4\n")
    + padded(b"data")
    + END,
    pax(("GNU.sparse.map", b"0,2,10,2"), ("GNU.sparse.size", b"20")) + block(size=4) + padded(b"data") + END,
]


def survives(archive: bytes) -> None:
    budget = Budget(size=1 << 30, entries=1000)
    try:
        reader = TarReader([archive], budget=budget)
        for entry in reader:
            for _ in zip(file_content(entry, reader), range(100), strict=False):
                pass
    except ContentError:
        pass


@settings(deadline=None, max_examples=300)
@given(seed=st.sampled_from(SEEDS), data=st.data())
def test_damaged_archives_raise_nothing_else(seed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(seed) - 1))] = data.draw(st.integers(0, 255))
    survives(bytes(damaged))


@settings(deadline=None, max_examples=300)
@given(
    name=st.binary(max_size=100), mode=st.binary(max_size=8), uid=st.binary(max_size=8), size=st.binary(max_size=12),
    mtime=st.binary(max_size=12), kind=st.sampled_from([b"\0", *(bytes([c]) for c in b"01234567SLKxgVMX")]),
    linkname=st.binary(max_size=100), prefix=st.binary(max_size=155), rest=st.binary(max_size=1500),
)  # fmt: skip
def test_any_fields_under_a_right_checksum_raise_nothing_else(
    name: bytes, mode: bytes, uid: bytes, size: bytes, mtime: bytes, kind: bytes, linkname: bytes, prefix: bytes,
    rest: bytes,
) -> None:  # fmt: skip
    made = block(name, mode=mode, uid=uid, size=size, mtime=mtime, kind=kind, linkname=linkname, prefix=prefix)
    survives(made + rest)
    survives(made + padded(rest) + END)


@settings(deadline=None, max_examples=200)
@given(records=st.lists(st.tuples(st.text(min_size=1), st.binary()), max_size=4), raw=st.binary(max_size=600))
def test_any_extended_header_raises_nothing_else(records: list[tuple[str, bytes]], raw: bytes) -> None:
    survives(pax(*records) + block(size=4) + padded(b"data") + END)
    survives(block(size=len(raw), kind=b"x") + padded(raw) + block() + END)


KEYS = ["path", "linkpath", "size", "uid", "gid", "mtime", "GNU.sparse.map", "GNU.sparse.offset", "GNU.sparse.numbytes"]
KEYS += ["GNU.sparse.major", "GNU.sparse.realsize", "GNU.sparse.size", "GNU.sparse.name", "SCHILY.xattr.user.a"]
VALUES = st.one_of(
    st.sampled_from([b"", b"0", b"1", b"-1", b"4", b"9" * 30, b"..", b"0,4", b"0,2,1,2", b"1.5", b"a", b"\0"]),
    st.binary(max_size=20),
)


@settings(deadline=None, max_examples=300)
@given(
    records=st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=5),
    kind=st.sampled_from([b"0", b"1", b"2", b"5", b"S"]),
    body=st.sampled_from([b"data", b"1\n0\n4\n" + bytes(506) + b"data"]),
)
def test_any_known_record_raises_nothing_else(records: list[tuple[str, bytes]], kind: bytes, body: bytes) -> None:
    survives(pax(*records) + block(size=len(body), kind=kind, linkname=b"t") + padded(body) + END)
    survives(pax(*records, kind=b"g") + block(size=len(body), kind=kind, linkname=b"t") + padded(body) + END)


def test_cut_anywhere_it_is_an_error_or_ends_between_two_entries() -> None:
    archive = tar([file("a", b"x" * 600), directory("n" * 150), file("b", b"y")])
    whole = [entry.path for entry in TarReader([archive])]
    for length in range(0, len(archive), 7):
        try:
            found = [entry.path for entry in TarReader([archive[:length]])]
        except ContentError as error:
            assert "ends" in error.message  # noqa: PT017
        else:
            assert found == whole[: len(found)]
            assert length % 512 == 0 or length > 512 * 9
