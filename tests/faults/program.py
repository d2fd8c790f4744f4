"""Runs the program as a user does, and says what came out: the black box of the fault tests."""

from __future__ import annotations

import json
import os
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
_PROGRAM = Path(sys.executable).with_name("sonar")


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


@dataclass
class Program:
    """The program with a home of its own and quick retries. `environment` is added to that of each run."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.docker = self.home / ".docker"
        self._runs = 0

    def login(self, host: str, user: str = "alice", password: str = "wonderland-7f3a") -> None:  # noqa: S107
        """Puts credentials for `host` where docker keeps them."""
        import base64

        entry = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
        self.docker_config({"auths": {host: entry}})

    def docker_config(self, content: Any) -> None:
        """Writes docker's `config.json`; text is written as it is."""
        self.docker.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (self.docker / "config.json").write_text(text)

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Running:
        """Starts it without waiting."""
        self._runs += 1
        base = self.home / f"run-{self._runs}"
        given = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "DOCKER_CONFIG": str(self.docker),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "SONAR_BACKOFF": "0.01",
            "LANG": "C.UTF-8",
            **self.environment,
            **(environment or {}),
        }
        with base.with_suffix(".out").open("wb") as out, base.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                [str(_PROGRAM), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=given,
                cwd=cwd or self.home,
            )
        return Running(process, arguments, base, time.monotonic())

    def __call__(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Outcome:
        """Runs it to its end, or fails the test at the hard limit."""
        return self.start(*map(str, arguments), environment=environment, cwd=cwd).wait()


@dataclass
class Running:
    """A run under way."""

    process: subprocess.Popen[bytes]
    arguments: tuple[str, ...]
    base: Path
    started: float

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def wait(self, limit: float = HARD_LIMIT) -> Outcome:
        """The outcome. Kills it, and fails the test, after `limit` seconds."""
        pid, deadline = self.process.pid, time.monotonic() + limit
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        while not ended and time.monotonic() < deadline:
            time.sleep(0.005)
            ended, status, usage = os.wait4(pid, os.WNOHANG)
        if not ended:
            self.process.kill()
            _, status, usage = os.wait4(pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        outcome = Outcome(
            self.arguments,
            self.process.returncode,
            self.base.with_suffix(".out").read_bytes(),
            self.base.with_suffix(".err").read_bytes(),
            time.monotonic() - self.started,
            usage.ru_maxrss / 1024,
        )
        assert ended, f"still running after {limit} s\n{outcome.shown()}"
        return outcome
