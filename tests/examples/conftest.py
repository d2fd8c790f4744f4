"""A fresh virtual environment with sonar and the example plugins, installed as any user would install them."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/pyproject.toml"))


@dataclass(frozen=True)
class Fresh:
    """The environment; `run("sonar", …)` runs one of its programs."""

    directory: Path

    def run(self, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        home = {"HOME": str(self.directory), "PATH": "/usr/bin:/bin"}
        command = [str(self.directory / "bin" / program), *arguments]
        return subprocess.run(
            command, env={**home, **environment}, capture_output=True, text=True, timeout=120, cwd=self.directory
        )


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Everything that sonar depends on comes from the environment that runs the tests: no index is asked."""
    directory = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True, timeout=120)
    python = directory / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(directory), "platbase": str(directory)}))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--force-reinstall",
    ]
    done = subprocess.run([*install, ROOT, *EXAMPLES], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return Fresh(directory)
