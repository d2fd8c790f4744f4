"""A blob into a file, by one stream and by several: whatever goes wrong, the file is right or there is an error."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import ConnectionFailed, IntegrityError, Unsupported
from sonar_core.stores import Blob
from sonar_plugins.layout.receive import receive
from tests.support.images import noise

if TYPE_CHECKING:
    from pathlib import Path

_MIB = 1024 * 1024
_DATA = noise(24 * _MIB)


@dataclass
class Source:
    """Bytes that come slowly: `pause` seconds before each MiB of the first stream."""

    data: bytes = _DATA
    pause: float = 0.04
    gives_ranges: bool = True
    opened: list[tuple[int, int | None]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)  # that of the first stream

    def read(self, start: int, stop: int | None) -> Generator[bytes, None, None]:
        self.opened.append((start, stop))
        if stop is not None and not self.gives_ranges:
            self.refuse()
        first = stop is None
        try:
            end = len(self.data) if stop is None else stop
            for position in range(start, end, _MIB):
                if first:
                    time.sleep(self.pause)
                yield self.data[position : min(position + _MIB, end)]
        finally:
            if first:
                self.ended.set()

    def refuse(self) -> None:
        raise Unsupported("no ranges here", status=200, url="")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def get(source: Source, path: Path, *, lanes: int = 4, size: int = len(_DATA)) -> int:
    """Receives the blob; returns the bytes that were told of."""
    told: list[int] = []
    blob = Blob(Descriptor("x/y", Digest.of(_DATA), size), source.read, "here", lambda: lanes, told.append)
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        receive(blob, file)
    finally:
        os.close(file)
    return sum(told)


def test_a_fast_stream_gets_no_help(path: Path) -> None:
    source = Source(pause=0)
    assert get(source, path) == len(_DATA)
    assert source.opened == [(0, None)]
    assert path.read_bytes() == _DATA


def test_nobody_to_spare(path: Path) -> None:
    source = Source()
    get(source, path, lanes=1)
    assert source.opened == [(0, None)]
    assert path.read_bytes() == _DATA


def test_a_slow_stream_gets_help(path: Path) -> None:
    """Parts do not overlap by more than a block, and all of it is there."""
    source = Source()
    told = get(source, path)
    assert len(source.opened) > 1
    assert all(stop is not None for _, stop in source.opened[1:])
    assert told <= len(_DATA) + len(source.opened) * _MIB
    assert path.read_bytes() == _DATA


def test_no_ranges(path: Path) -> None:
    """The first stream goes on alone, and nothing is fetched twice."""
    source = Source(gives_ranges=False)
    assert get(source, path) == len(_DATA)
    assert len(source.opened) > 1
    assert path.read_bytes() == _DATA


def test_no_ranges_when_the_first_stream_has_ended(path: Path) -> None:
    """The refusal may come late: when the first stream is through with what was left to it."""

    @dataclass
    class Late(Source):
        def refuse(self) -> None:
            assert self.ended.wait(10)
            super().refuse()

    source = Late(gives_ranges=False)
    get(source, path, lanes=2)
    restarted = [start for start, stop in source.opened if start and stop is None]
    assert len(restarted) == 1
    assert path.read_bytes() == _DATA


def test_a_helper_that_fails(path: Path) -> None:
    @dataclass
    class Failing(Source):
        def read(self, start: int, stop: int | None) -> Generator[bytes, None, None]:
            yield from super().read(start, stop)
            if stop is not None:
                raise ConnectionFailed("it broke")

    with pytest.raises(ConnectionFailed, match="it broke"):
        get(Failing(), path)


def test_a_helper_that_gets_too_little(path: Path) -> None:
    @dataclass
    class Short(Source):
        def read(self, start: int, stop: int | None) -> Generator[bytes, None, None]:
            yield from super().read(start, stop - 1 if stop is not None else None)

    with pytest.raises(IntegrityError, match="ends after"):
        get(Short(), path)


@pytest.mark.parametrize("size", [100, 24 * _MIB])
@pytest.mark.parametrize("change", ["other", "longer", "shorter", "nothing"])
def test_wrong_content(path: Path, size: int, change: str) -> None:
    """Small blobs take another way than large ones."""
    data = _DATA[:size]
    given = {"other": b"x" + data[1:], "longer": data + b"x", "shorter": data[:-1], "nothing": b""}[change]
    blob = Blob(Descriptor("x/y", Digest.of(data), size), Source(given, pause=0).read)
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        with pytest.raises(IntegrityError):
            receive(blob, file)
    finally:
        os.close(file)


@pytest.mark.parametrize("size", [0, 1, 8 * _MIB - 1, 8 * _MIB, 8 * _MIB + 1, 9 * _MIB + 4097])
def test_sizes(path: Path, size: int) -> None:
    data = _DATA[:size]
    blob = Blob(Descriptor("x/y", Digest.of(data), size), Source(data, pause=0).read)
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        receive(blob, file)
    finally:
        os.close(file)
    assert path.read_bytes() == data


def test_sha512(path: Path) -> None:
    data = _DATA[: 9 * _MIB]
    blob = Blob(Descriptor("x/y", Digest.of(data, "sha512"), len(data)), Source(data, pause=0).read)
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        receive(blob, file)
    finally:
        os.close(file)
    assert path.read_bytes() == data
