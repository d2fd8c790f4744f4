"""Reading ahead: what comes through, and what is left when nobody wants more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from sonar_plugins.layers.ahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import Generator


def counted(taken: list[int], closed: threading.Event, count: int = 1000) -> Generator[bytes]:
    try:
        for index in range(count):
            taken.append(index)
            yield b"%d" % index
    finally:
        closed.set()


def test_all_comes_through_in_order_and_the_source_is_closed() -> None:
    closed = threading.Event()
    with read_ahead(counted([], closed)) as pieces:
        assert list(pieces) == [b"%d" % index for index in range(1000)]
    assert closed.is_set()


def test_only_a_few_pieces_are_taken_ahead() -> None:
    taken: list[int] = []
    closed = threading.Event()
    with read_ahead(counted(taken, closed)) as pieces:
        next(pieces)
    assert closed.wait(10)
    assert len(taken) < 20


def test_an_error_comes_through_after_what_came_before_it() -> None:
    def failing() -> Generator[bytes]:
        yield b"one"
        raise ValueError("broken")

    with read_ahead(failing()) as pieces:
        assert next(pieces) == b"one"
        with pytest.raises(ValueError, match="broken"):
            next(pieces)


def test_an_error_of_the_reader_ends_the_thread() -> None:
    closed = threading.Event()
    with pytest.raises(KeyError), read_ahead(counted([], closed)):
        raise KeyError
    assert closed.wait(10)


def test_leaving_does_not_wait_for_a_source_that_hangs() -> None:
    """ROBUSTNESS: Ctrl-C and errors end within two seconds, whatever the network does."""
    released, closed = threading.Event(), threading.Event()

    def hanging() -> Generator[bytes]:
        try:
            yield b"one"
            released.wait(60)
            yield b"two"
        finally:
            closed.set()

    with read_ahead(hanging()) as pieces:
        assert next(pieces) == b"one"
    assert not closed.is_set()
    released.set()
    assert closed.wait(10)
