"""A source read in pieces: what is sent, how often the source is opened, and what it may not do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.errors import IntegrityError
from sonar_plugins.blobs.feed import Feed


@dataclass
class Counted:
    """A source in blocks of `step` bytes that remembers where it was opened."""

    data: bytes
    step: int
    opened: list[int] = field(default_factory=list)

    def open(self, offset: int) -> Iterator[bytes]:
        self.opened.append(offset)
        for start in range(offset, len(self.data), self.step):
            yield self.data[start : start + self.step]


PIECES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


@given(st.binary(max_size=60), st.integers(1, 20), PIECES)
def test_every_piece_is_what_stands_there(data: bytes, step: int, pieces: list[tuple[int, int]]) -> None:
    feed = Feed(Counted(data, step), len(data))
    for offset, length in pieces:
        start = min(offset, len(data))
        length = min(length, len(data) - start)
        assert b"".join(feed.piece(start, length)()) == data[start : start + length]


@given(st.binary(min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_pieces_in_order_open_the_source_once(data: bytes, step: int, length: int) -> None:
    source = Counted(data, step)
    feed = Feed(source, len(data))
    pieces = [feed.piece(at, min(length, len(data) - at))() for at in range(0, len(data), length)]
    assert b"".join(b"".join(piece) for piece in pieces) == data
    assert source.opened == [0]


def test_a_piece_that_is_asked_for_again_is_read_again() -> None:
    """A 401, or a 503, before the registry took it."""
    source = Counted(b"0123456789", 3)
    feed = Feed(source, 10)
    piece = feed.piece(2, 5)
    assert [b"".join(piece()), b"".join(piece())] == [b"23456", b"23456"]
    assert source.opened == [2, 2]


def test_a_piece_that_was_left_half_way_is_read_again() -> None:
    source = Counted(b"0123456789", 3)
    feed = Feed(source, 10)
    broken = feed.piece(0, 10)()
    next(broken)
    broken.close()  # type: ignore[attr-defined]
    assert b"".join(feed.piece(6, 4)()) == b"6789"
    assert source.opened == [0, 6]
    assert feed.failure is None


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 40))
def test_a_size_that_is_wrong_is_found_before_the_last_byte_leaves(actual: int, stated: int, step: int) -> None:
    """A registry must not be able to complete what the source does not stand for."""
    if actual == stated or not stated:
        return
    feed = Feed(Counted(b"x" * actual, step), stated)
    left: list[bytes] = []
    with pytest.raises(IntegrityError):
        left.extend(feed.piece(0, stated)())
    assert len(b"".join(left)) < min(actual, stated) or not actual
    assert isinstance(feed.failure, IntegrityError)


def test_a_source_that_fails_at_its_end_is_heard_before_the_last_bytes_leave() -> None:
    """A stream that verifies raises at its end."""

    class Lying:
        def open(self, offset: int) -> Iterator[bytes]:
            yield b"01234"
            yield b"56789"
            raise IntegrityError("not what it should be")

    blocks = Feed(Lying(), 10).piece(0, 10)()
    assert next(blocks) == b"01234"
    with pytest.raises(IntegrityError, match="not what it should be"):
        next(blocks)


def test_the_source_is_closed() -> None:
    closed = []

    class Held:
        def open(self, offset: int) -> Iterator[bytes]:
            try:
                yield b"0123456789"
            finally:
                closed.append(offset)

    feed = Feed(Held(), 10)
    assert b"".join(feed.piece(0, 4)()) == b"0123"
    assert closed == []
    feed.close()
    assert closed == [0]


def test_a_piece_that_was_given_up_does_not_close_the_next() -> None:
    """The garbage collector ends the first when it comes by, which may be while the second is sent."""
    feed = Feed(Counted(b"0123456789", 2), 10)
    first = iter(feed.piece(0, 10)())
    assert next(first) == b"01"
    second = iter(feed.piece(0, 10)())
    assert next(second) == b"01"
    first.close()  # type: ignore[attr-defined]
    assert b"".join(second) == b"23456789"
