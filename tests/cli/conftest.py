"""The program in this process (`sonar`), and as one of its own (`process`, `started`)."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import pytest

from sonar_core.testing.program import Sonar
from tests.support.endpoints import sonar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["sonar"]


@pytest.fixture
def process(tmp_path: Path) -> Sonar:
    """The program as a process of its own, with an empty home."""
    home = tmp_path / "process"
    home.mkdir()
    return Sonar(home, {"SONAR_BACKOFF": "0.01"})


@dataclass
class Started:
    """Starts the program without waiting, and ends what is left of it."""

    home: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __call__(self, *arguments: str, stdout: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SONAR_")}
        started: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-m", "sonar_core.cli", *arguments],
            env={**environment, "HOME": str(self.home), "SONAR_BACKOFF": "0.01"},
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
        )
        self.running.append(started)
        return started


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    made = Started(tmp_path)
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
        process.communicate()
