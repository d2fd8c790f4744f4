"""Bytes verified on their way, read in one go or in several."""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import IntegrityError, Unsupported
from sonar_plugins.images.checked import Checked


def reader(data: bytes, size: int) -> Generator[bytes, None, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def checked(data: bytes, size: int, given: bytes | None = None) -> Checked:
    """A Checked for `data`, whose source gives `given` in blocks of `size`."""
    source = data if given is None else given
    blob = Descriptor("x/y", Digest.of(data), len(data))
    return Checked(blob, lambda start, stop: reader(source[start:stop], size))


@given(
    st.binary(max_size=300), st.integers(1, 50), st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40)), max_size=4)
)
def test_read_in_several_goes(data: bytes, size: int, goes: list[tuple[int, int]]) -> None:
    """As an upload does that breaks: it goes on at a place that it has sent before, in blocks of another size."""
    source = checked(data, size)
    sent = b""
    for blocks, cut in goes:
        start = max(0, len(sent) - cut)
        sent = sent[:start] + b"".join(islice(source(start, None), blocks))
    start = max(0, len(sent) - 1)
    assert sent[:start] + b"".join(source(start, None)) == data


@given(st.binary(min_size=1, max_size=300), st.integers(1, 50), st.data())
def test_the_last_block_is_held_until_all_is_right(data: bytes, size: int, drawn: st.DataObject) -> None:
    position = drawn.draw(st.integers(0, len(data) - 1))
    changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
    for wrong in (changed, data[:-1], data + b"x"):
        sent: list[bytes] = []
        with pytest.raises(IntegrityError):
            sent.extend(checked(data, size, wrong)(0, None))
        assert sum(map(len, sent)) < len(data)


def test_no_parts() -> None:
    """A part from the middle can't be verified."""
    with pytest.raises(Unsupported):
        next(checked(b"data", 2)(0, 2))
