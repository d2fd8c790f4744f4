"""Content that can be read again from any place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.sources import BytesSource, FileSource
from sonar_core.transport import BLOCK
from tests.support.images import noise


@given(st.binary(max_size=100), st.integers(0, 120))
def test_bytes_from_anywhere(data: bytes, offset: int) -> None:
    assert b"".join(BytesSource(data).open(offset)) == data[offset:]


@pytest.mark.parametrize("offset", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5, 2 * BLOCK + 6])
def test_a_file_from_anywhere(tmp_path: Path, offset: int) -> None:
    data = noise(2 * BLOCK + 5)
    (tmp_path / "file").write_bytes(data)
    blocks = list(FileSource(tmp_path / "file").open(offset))
    assert b"".join(blocks) == data[offset:]
    assert all(0 < len(block) <= BLOCK for block in blocks)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(FileSource(tmp_path / "missing").open(0))
