"""Real programs for tests: found or loudly missed, started on a free port, ended by their pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_PORT_TRIES = 5
_START_SECONDS = 20.0


def require(program: str) -> str:
    """The program's path. Without it the test is skipped, or fails where SONAR_TEST_REAL=required."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found:
        return found
    reason = f"{program.upper()} IS NOT INSTALLED: this test needs the real {program} (apt-get install {program})"
    if os.environ.get("SONAR_TEST_REAL") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Server:
    """A running server. `log` is what it wrote."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Ends it, first politely. May be called again."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        self.process.kill()
        self.process.wait(5)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def start(command: Callable[[int], Sequence[str]], log: Path, *, port: int | None = None, ready: bytes = b"") -> Server:
    """Starts `command(port)` and waits until it accepts connections on that port.

    Another process may take a free port before the server does, so a server that ends at once is started
    again on another. With `ready`, it counts as up when its log has these bytes. Fails the test with the
    log.
    """
    for _ in range(_PORT_TRIES if port is None else 1):
        chosen = free_port() if port is None else port
        with log.open("wb") as output:
            process = subprocess.Popen(command(chosen), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        server = Server(process, chosen, log)
        if _comes_up(server, ready):
            return server
        server.stop()
    pytest.fail(f"{command(0)[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _comes_up(server: Server, ready: bytes) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=1):
            if ready in server.log.read_bytes() and server.process.poll() is None:
                return True
        time.sleep(0.02)
    return False
