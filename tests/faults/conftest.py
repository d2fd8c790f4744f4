"""The program under test, as a fixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.program import Program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def sonar(tmp_path: Path) -> Program:
    """Runs `sonar` with an empty home: `sonar("check", origin.host).failed("HTML")`."""
    return Program(tmp_path / "home")
