"""The program under test, as a fixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.program import Program, Zygote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """One process that forks for all runs of the session."""
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def sonar(tmp_path: Path, zygote: Zygote) -> Program:
    """Runs `sonar` with an empty home: `sonar("check", origin.host).failed("HTML")`."""
    return Program(tmp_path / "home", zygote)
