"""Packages that the program finds as if they were installed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.plugin.packages import Packages

if TYPE_CHECKING:
    from pathlib import Path

    from sonar_core.testing.program import Sonar


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    """Where a test installs packages; those of the test run itself stay installed."""
    return Packages(tmp_path / "packages")


@pytest.fixture
def with_packages(sonar: Sonar, packages: Packages) -> Sonar:
    """The program, with `packages` on its path."""
    return replace(sonar, environment={"PYTHONPATH": str(packages.directory)})
