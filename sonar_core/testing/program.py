"""The program, run as a user runs it: a process of its own, with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Run:
    """How a run ended: its exit code, and what it wrote, as text."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What `-o json` wrote. Raises ValueError where that is no JSON."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Sonar:
    """Runs `sonar` with nothing of the user's own: no config file, no credentials, no `SONAR_*` variables."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, stdin: str = "", seconds: float = 60, **environment: str) -> Run:
        """Run `sonar ARGUMENTS`, with further environment variables as keywords. Raises TimeoutExpired."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SONAR_", "XDG_", "DOCKER_"))}
        done = subprocess.run(  # noqa: S603 (our own program, no shell)
            [sys.executable, "-m", "sonar_core.cli", *arguments],
            env={**kept, "HOME": str(self.home), **self.environment, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)
