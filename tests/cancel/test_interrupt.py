"""Ctrl-C at a random moment: the program ends quickly, and leaves nothing half done behind.

ROBUSTNESS, "Moving blobs": Ctrl-C and errors cancel the other transfers, DELETE open sessions, leave no partial files,
exit 130 or 1 within two seconds.

On the embedded registry: docker-registry 2.8 answers 404 to a DELETE of a session whose request was cut short, for the
state in its Location no longer fits, so what it keeps then is beyond any client's reach until it purges it.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serve.program import Serving
from tests.support import images
from tests.support.proxy import Proxy
from tests.support.push import push

_LAYERS, _SIZE = 4, 3_000_000
_RATE = 4_000_000  # bytes a second for each connection: the transfers take about a second
_WITHIN = 2.0  # seconds, and what a busy machine takes on top
_SLACK = 3.0


@dataclass(frozen=True)
class Slow:
    """A registry that holds an image of some megabytes, behind a line that takes a while for it."""

    host: str
    root: Path
    proxy: Proxy
    layout: Path
    layer: str

    @property
    def source(self) -> str:
        return f"{self.proxy.host}/cancel/source:v1"

    def sessions(self) -> list[Path]:
        """The uploads that are open on the server."""
        return list((self.root / ".incoming").iterdir())


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slow]:
    directory = tmp_path_factory.mktemp("cancel")
    registry = Serving.start("--root", str(directory / "registry"))
    image = images.image(
        *(images.layer({"noise": images.noise(_SIZE, seed)}, compress=False) for seed in range(_LAYERS))
    )
    layout = images.write_layout(directory / "layout", {"v1": image})
    push(f"http://{registry.host}", "cancel/source", "v1", image)
    with closing(Proxy(registry.host, rate=_RATE, delay=0.02)) as proxy:
        yield Slow(registry.host, directory / "registry", proxy, layout, image.blobs[-1].digest)
    registry.end(signal.SIGINT)


def pull(slow: Slow, target: Path) -> list[str]:
    return ["image", "pull", slow.source, f"oci:{target}:v1"]


def archive(slow: Slow, target: Path) -> list[str]:
    return ["image", "pull", slow.source, f"oci-archive:{target}.tar:v1"]


def send(slow: Slow, target: Path) -> list[str]:
    return ["image", "push", f"oci:{slow.layout}:v1", f"{slow.proxy.host}/cancel/{target.name}:v1"]


def across(slow: Slow, target: Path) -> list[str]:
    return ["image", "copy", f"{slow.host}/cancel/source:v1", f"{slow.proxy.host}/cancel/{target.name}:v1"]


def blob(slow: Slow, target: Path) -> list[str]:
    return ["blob", "get", f"{slow.proxy.host}/cancel/source@{slow.layer}", "-O", str(target)]


def listing(slow: Slow, target: Path) -> list[str]:
    return ["tag", "ls", f"{slow.proxy.host}/cancel/source", "--digests"]


WORK = (pull, archive, send, across, blob, listing)


def interrupt(
    slow: Slow,
    work: Callable[[Slow, Path], list[str]],
    target: Path,
    after: float,
    how: signal.Signals = signal.SIGINT,
) -> None:
    """Run the work, press Ctrl-C (or send another signal) after so many seconds, and look at what is left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "sonar_core.cli", *work(slow, target), "--progress", "none"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(after)
        pressed = time.monotonic()
        process.send_signal(how)
        _, stderr = process.communicate(timeout=20)
        taken = time.monotonic() - pressed
    finally:
        process.kill()
        process.wait()
    what = f"{work.__name__}, interrupted after {after:.2f} s: exit {process.returncode} {taken:.2f} s later\n{stderr}"
    assert "Traceback" not in stderr, what
    # 0: it was done before; -2: it was pressed before the interpreter had come as far as to take notice.
    assert process.returncode in (128 + how, 0, -how), what
    assert taken < _WITHIN + _SLACK, what
    assert _settled(slow) == [], what
    _check_left(target, slow.layer, done=process.returncode == 0, what=what)


def _settled(slow: Slow) -> list[Path]:
    """The open sessions, when the server has taken notice of connections that were closed."""
    end = time.monotonic() + 5
    while (found := slow.sessions()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _check_left(target: Path, layer: str, *, done: bool, what: str) -> None:
    """What is in the folder: whole blobs under their digests, no file that was being written."""
    for path in (found for found in target.parent.rglob("*") if found.is_file()):
        if path.parent.name == "sha256":
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, what
        elif path.name == "index.json":
            assert isinstance(json.loads(path.read_text()), dict), what
        else:
            whole = path == target and f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" == layer
            assert path.name == "oci-layout" or whole or done, f"{path} is left\n{what}"


@pytest.mark.parametrize("work", WORK)
def test_ctrl_c_leaves_nothing_half_done(slow: Slow, tmp_path: Path, work: Callable[[Slow, Path], list[str]]) -> None:
    chance = random.Random(work.__name__)
    for number in range(2):
        # When it has started: CPython loses an interrupt that lands in a callback of its import locks.
        interrupt(slow, work, tmp_path / str(number) / f"{work.__name__}-{number}", chance.uniform(0.8, 1.8))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_cancelled_job_leaves_nothing_half_done(slow: Slow, tmp_path: Path, how: signal.Signals) -> None:
    for number, work in enumerate((pull, send)):
        interrupt(slow, work, tmp_path / str(number) / f"{work.__name__}-{how.name.lower()}", 1.0, how)


_DURING_THE_START = """
import os, sys, weakref
from sonar_core.cli import signals
signals.prepare()
class Module: pass
gone = weakref.ref(module := Module(), lambda _: os.kill(os.getpid(), int(sys.argv[1])))
del module  # CPython drops what is raised in here, as in the callbacks of its import locks
print("went on")
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_while_it_starts_is_not_lost(how: signal.Signals) -> None:
    """Nothing was begun, so there is nothing to take back: the program ends at once."""
    done = subprocess.run([sys.executable, "-c", _DURING_THE_START, str(int(how))], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (128 + how, "", "sonar: interrupted\n")


def test_what_the_program_ignores_stays_ignored() -> None:
    """As under `nohup`."""
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + _DURING_THE_START
    command = [sys.executable, "-c", ignoring, str(int(signal.SIGHUP))]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "went on\n"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_ctrl_c_at_fifty_moments(slow: Slow, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    work = WORK[seed % len(WORK)]
    interrupt(slow, work, tmp_path / "folder" / f"{work.__name__}-{seed}", chance.uniform(0.05, 2.0))
