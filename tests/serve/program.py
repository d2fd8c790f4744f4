"""`sonar serve` as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass

_SECONDS = 20


@dataclass(frozen=True)
class Serving:
    """A running `sonar serve`; `host` is where it listens."""

    process: subprocess.Popen[str]
    host: str

    @classmethod
    def start(cls, *options: str) -> Serving:
        """On a free port, with these options."""
        process = subprocess.Popen(
            [*command(), "--address", "127.0.0.1:0", "--format", "{host}", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        return cls(process, process.stdout.readline().strip())

    def end(self, how: signal.Signals) -> tuple[int, str]:
        """The exit code, and what it wrote on stderr."""
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=_SECONDS)
        return self.process.returncode, errors

    def kill(self) -> None:
        """As a crash does."""
        self.end(signal.SIGKILL)


def command() -> list[str]:
    """The program and the command, to put options after."""
    return [sys.executable, "-m", "sonar_core.cli", "serve"]
