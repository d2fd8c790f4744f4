"""Content checked on its way: nothing is complete before it is right."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.content import Digest
from sonar_core.errors import IntegrityError
from sonar_core.hashing import BackgroundHash, verified

BLOCKS = st.lists(st.binary(max_size=50), max_size=12)


@given(BLOCKS, st.sampled_from(["sha256", "sha512"]))
def test_a_hash_over_blocks_is_that_of_the_whole(blocks: list[bytes], algorithm: str) -> None:
    with BackgroundHash(algorithm) as found:
        for block in blocks:
            found.update(block)
        digest = found.digest()
    assert digest.hex == hashlib.new(algorithm, b"".join(blocks)).hexdigest()
    assert digest.algorithm == algorithm


@given(BLOCKS)
def test_right_content_passes_unchanged(blocks: list[bytes]) -> None:
    whole = b"".join(blocks)
    assert b"".join(verified(blocks, Digest.of(whole), len(whole))) == whole
    assert b"".join(verified(blocks, Digest.of(whole))) == whole


@given(BLOCKS, BLOCKS)
def test_wrong_content_never_passes_whole(blocks: list[bytes], others: list[bytes]) -> None:
    """Whoever got everything has the right content: the last block is held back until then."""
    came, wanted = b"".join(others), b"".join(blocks)
    if came == wanted:
        return
    passed: list[bytes] = []
    with pytest.raises(IntegrityError):
        passed.extend(verified(others, Digest.of(wanted)))
    assert len(b"".join(passed)) < len(came) or not came


@given(BLOCKS, st.integers(0, 700))
def test_a_wrong_size_never_passes(blocks: list[bytes], size: int) -> None:
    whole = b"".join(blocks)
    if size == len(whole):
        return
    with pytest.raises(IntegrityError):
        list(verified(blocks, Digest.of(whole), size))


def test_what_is_too_long_is_not_read_to_its_end() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 10

    with pytest.raises(IntegrityError, match="longer"):
        list(verified(endless(), Digest.of(b""), 100))


def test_the_error_says_what_came() -> None:
    with pytest.raises(IntegrityError) as caught:
        list(verified([b"other"], Digest.of(b"one"), what="layer"))
    assert str(Digest.of(b"one")) in str(caught.value)
    assert str(Digest.of(b"other")) in str(caught.value)
    assert str(caught.value).startswith("layer")


def hashing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "hash"]


def test_the_thread_ends_however_it_ends() -> None:
    blocks = [b"x" * 1000] * 5
    stream = verified(blocks, Digest.of(b"other"))
    next(stream)
    assert hashing_threads()
    stream.close()
    assert hashing_threads() == []
    with pytest.raises(IntegrityError):
        list(verified(blocks, Digest.of(b"other")))
    assert hashing_threads() == []

    def failing() -> Iterator[bytes]:
        yield from blocks
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(verified(failing(), Digest.of(b"other")))
    assert hashing_threads() == []


def test_one_block_costs_no_thread() -> None:
    with BackgroundHash() as found:
        found.update(b"small")
        assert hashing_threads() == []
        assert found.digest() == Digest.of(b"small")


def test_blocks_that_are_no_bytes_are_an_error_and_no_deadlock() -> None:
    with BackgroundHash() as found:
        for _ in range(20):
            found.update("text")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            found.digest()
