"""Runs the program as a user does, and says what came out: the black box of the fault tests."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

HARD_LIMIT = 25.0  # seconds; no fault may hang the program longer
PROGRAM = Path(sys.executable).with_name("sonar")
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `peak` is the most memory that it held, in MiB."""

    arguments: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    peak: float

    @property
    def out(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def err(self) -> str:
        return self.stderr.decode(errors="replace")

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    def succeeded(self) -> Outcome:
        """Exit 0, and nothing that looks like a crash."""
        assert self.code == 0, self.shown()
        assert "Traceback" not in self.err, self.shown()
        return self

    def failed(self, *words: str, code: int = 1) -> Outcome:
        """That exit code, nothing on stdout, one short message on stderr that has all the words."""
        assert self.code == code, self.shown()
        assert self.stdout == b"", self.shown()
        return self.reported(*words)

    def reported(self, *words: str) -> Outcome:
        """One line on stderr that has all the words (without case), and no traceback."""
        assert "Traceback" not in self.err, self.shown()
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, self.shown()
        missing = [word for word in words if word.lower() not in lines[0].lower()]
        assert not missing, f"{missing} not in the message\n{self.shown()}"
        return self

    def shown(self) -> str:
        """Everything, for a failing assertion."""
        return (
            f"sonar {' '.join(self.arguments)}\nexit {self.code} after {self.seconds:.1f} s\n"
            f"stdout: {self.out[:1000]!r}\nstderr: {self.err[:2000]}"
        )


class Zygote:
    """The process that forks for each run (see `zygote.py`); one run at a time."""

    def __init__(self) -> None:
        request_end, self._requests = os.pipe()
        self._answers, answer_end = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote", str(request_end), str(answer_end)],
            pass_fds=(request_end, answer_end),
            stdin=subprocess.DEVNULL,
            cwd=_ROOT,
        )
        os.close(request_end)
        os.close(answer_end)
        self._lines = os.fdopen(self._answers, "rb", buffering=0)

    def start(self, request: Mapping[str, Any]) -> int:
        """Starts a run; returns its process id."""
        os.write(self._requests, json.dumps(request).encode() + b"\n")
        return int(self._line(HARD_LIMIT) or b"-1")

    def wait(self, limit: float) -> tuple[int, int] | None:
        """The exit code and the peak memory in KiB; None where it runs longer than `limit` seconds."""
        line = self._line(limit)
        return None if line is None else tuple(json.loads(line))

    def _line(self, limit: float) -> bytes | None:
        ready, _, _ = select.select([self._lines], [], [], limit)
        return self._lines.readline() if ready else None

    def close(self) -> None:
        os.close(self._requests)
        self._lines.close()
        self._process.wait(5)


@dataclass
class Program:
    """The program with a home of its own and quick retries. `environment` is added to that of each run."""

    home: Path
    zygote: Zygote
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.docker = self.home / ".docker"
        self._runs = 0

    def login(self, host: str, user: str = "alice", password: str = "wonderland-7f3a") -> None:  # noqa: S107
        """Puts credentials for `host` where docker keeps them."""
        entry = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
        self.docker_config({"auths": {host: entry}})

    def docker_config(self, content: Any) -> None:
        """Writes docker's `config.json`; text is written as it is."""
        self.docker.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (self.docker / "config.json").write_text(text)

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a run."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "DOCKER_CONFIG": str(self.docker),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "SONAR_BACKOFF": "0.01",
            "LANG": "C.UTF-8",
            **self.environment,
            **(more or {}),
        }

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Running:
        """Starts it without waiting."""
        self._runs += 1
        base = self.home / f"run-{self._runs}"
        for suffix in (".out", ".err"):
            base.with_suffix(suffix).touch()
        request = {
            "arguments": arguments,
            "environment": self.variables(environment),
            "cwd": str(cwd or self.home),
            "out": str(base.with_suffix(".out")),
            "err": str(base.with_suffix(".err")),
        }
        return Running(self.zygote, self.zygote.start(request), arguments, base, time.monotonic())

    def __call__(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Outcome:
        """Runs it to its end, or fails the test at the hard limit."""
        return self.start(*map(str, arguments), environment=environment, cwd=cwd).wait()

    def spawn(
        self, *arguments: str | Path, stdout: int = subprocess.PIPE, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts the installed program itself, for what a fork can't show: its start, and any stdout."""
        return subprocess.Popen(
            [str(PROGRAM), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=self.variables(environment),
            cwd=self.home,
        )


@dataclass
class Running:
    """A run under way."""

    zygote: Zygote
    pid: int
    arguments: tuple[str, ...]
    base: Path
    started: float

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        os.kill(self.pid, signal.SIGINT)

    def wait(self, limit: float = HARD_LIMIT) -> Outcome:
        """The outcome. Kills it, and fails the test, after `limit` seconds."""
        ended = self.zygote.wait(limit)
        if ended is None:
            os.kill(self.pid, signal.SIGKILL)
        code, peak = ended or self.zygote.wait(HARD_LIMIT) or (-signal.SIGKILL, 0)
        outcome = Outcome(
            self.arguments,
            code,
            self.base.with_suffix(".out").read_bytes(),
            self.base.with_suffix(".err").read_bytes(),
            time.monotonic() - self.started,
            peak / 1024,
        )
        assert ended, f"still running after {limit} s\n{outcome.shown()}"
        return outcome


def install_plugin(directory: Path, module: str, source: str) -> str:
    """A plugin as a package installer would leave it, in a folder for PYTHONPATH."""
    directory.mkdir(exist_ok=True)
    (directory / f"{module}.py").write_text(source)
    info = directory / f"{module}_dist-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}-dist\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[sonar]\n{module} = {module}\n")
    return str(directory)
