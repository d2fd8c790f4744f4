"""Lists stream, signals and pipes end it quietly (issue 2, points 4 and 9)."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import HANG, Answer, Origin, Request
from tests.plugin.packages import Packages

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Started


def page(first: int, count: int, following: str | None) -> Answer:
    headers = {"Link": f'<{following}>; rel="next"'} if following else {}
    return Answer(200, headers, json={"tags": [f"v{number:04}" for number in range(first, first + count)]})


def test_the_first_page_is_shown_before_the_last_is_asked_for(scripted: Origin, started: Started) -> None:
    """3,000 tags: the last page is held back until the test has read the first line from the pipe."""
    read = threading.Event()
    held: list[bool] = []

    def last(request: Request) -> Answer:
        held.append(read.wait(20))
        return page(2000, 1000, None)

    scripted.on("GET", "/v2/a/tags/list", page(0, 1000, "/v2/a/tags/list?n=1000&last=v0999"))
    scripted.on("GET", "/v2/a/tags/list?n=1000&last=v0999", page(1000, 1000, "/v2/a/tags/list?n=1000&last=v1999"))
    scripted.on("GET", "/v2/a/tags/list?n=1000&last=v1999", last)

    process = started("tag", "ls", f"{scripted.host}/a")
    assert process.stdout is not None
    assert process.stdout.readline() == b"v0000\n"
    read.set()
    rest = process.stdout.read()  # from the same buffer as the line
    assert process.wait(30) == 0
    assert rest.decode().split() == [f"v{number:04}" for number in range(1, 3000)]
    assert held == [True]


def test_a_limit_asks_for_no_page_more(scripted: Origin, started: Started) -> None:
    scripted.on("GET", "/v2/a/tags/list", page(0, 10, "/v2/a/tags/list?last=v0009"))
    process = started("tag", "ls", f"{scripted.host}/a", "--limit", "10")
    out, _ = process.communicate(timeout=30)
    assert out.decode().split() == [f"v{number:04}" for number in range(10)]
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("command", [("check", "{}"), ("tag", "ls", "{}/a"), ("repo", "ls", "{}")])
def test_ctrl_c_while_an_answer_is_held_back(command: tuple[str, ...], scripted: Origin, started: Started) -> None:
    """130, no traceback, and no wait for the registry."""
    scripted.default = HANG
    process = started(*(word.format(scripted.host) for word in command), "--timeout", "60")
    scripted.wait_for(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, b"", b"sonar: interrupted\n")


def test_ctrl_c_in_the_middle_of_parallel_work(scripted: Origin, started: Started) -> None:
    """Six HEADs hang in threads; closing the client wakes them."""
    scripted.on("GET", "/v2/a/tags/list", page(0, 100, None))
    scripted.on("HEAD", "/v2/a/manifests/v0000", HANG)
    scripted.default = HANG
    process = started("tag", "ls", f"{scripted.host}/a", "--digests", "--timeout", "60")
    scripted.wait_for(5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, b"", b"sonar: interrupted\n")


def test_ctrl_c_while_it_starts(started: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While plugins are imported, for instance. Before `main` is entered the signal is Python's affair."""
    mark = tmp_path / "importing"
    Packages(tmp_path / "p").install("slow", f"import time\nopen({str(mark)!r}, 'w').close()\ntime.sleep(30)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "p"))
    process = started("plugin", "ls")
    deadline = time.monotonic() + 20
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, b"", b"sonar: interrupted\n")


def test_a_closed_pipe_ends_quietly(scripted: Origin, started: Started) -> None:
    """`sonar tag ls … | head -1`: nothing more is asked for, nothing is said."""
    # More than the pipe holds, so that the program has not written all of it when the pipe is closed.
    scripted.on("GET", "/v2/a/tags/list", page(0, 40_000, "/v2/a/tags/list?last=x"))
    process = started("tag", "ls", f"{scripted.host}/a")
    head = subprocess.run(["head", "-1"], stdin=process.stdout, capture_output=True, check=True, timeout=30)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.wait(30)
    assert head.stdout == b"v0000\n"
    assert process.returncode == 0
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("argument", ["--help", "--version", "plugin"])
def test_a_pipe_that_is_closed_before_it_begins(argument: str, started: Started) -> None:
    process = started(argument)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.wait(30)
