"""A program of a user's: `import sonar_core` prints nothing, keeps nothing, and types (issue 2, point 10)."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import sonar_core
from sonar_core.testing.scripted import Answer, Origin

PROGRAM = """
from sonar_core import Client, NotFound, Settings, SonarError
from sonar_plugins.tags.endpoint import Tags


def newest(host: str, path: str) -> str | None:
    with Client(host, settings=Settings(timeout=5)) as client:
        try:
            return max(Tags(client).list(path), default=None)
        except NotFound:
            return None


if __name__ == "__main__":
    import sys

    print(newest(sys.argv[1], "app"), newest(sys.argv[1], "none"))
"""


def test_a_program_of_a_few_lines(scripted: Origin, tmp_path: Path) -> None:
    scripted.on("GET", "/v2/app/tags/list", Answer(200, json={"tags": ["v1", "v3", "v2"]}))
    (tmp_path / "program.py").write_text(PROGRAM)
    run = subprocess.run(
        [sys.executable, "-W", "error", "program.py", scripted.host],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.stdout, run.stderr, run.returncode) == ("v3 None\n", "", 0)


def test_it_types_strictly(tmp_path: Path) -> None:
    """`mypy --strict` on the program passes, and sees through the lazy names: both packages have py.typed."""
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text("from sonar_core import Client\nreveal_type(Client('x').base_url)\nClient(5)\n")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        "/dev/null",
        "--cache-dir",
        str(tmp_path / "c"),
    ]
    right = subprocess.run([*command, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert right.returncode == 0, right.stdout
    wrong = subprocess.run([*command, "wrong.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert 'Revealed type is "builtins.str"' in wrong.stdout or 'Revealed type is "str"' in wrong.stdout, wrong.stdout
    assert 'has incompatible type "int"; expected "Registry | str"' in wrong.stdout


def test_importing_has_no_effects() -> None:
    """No output, no logging set up, no signal handler, no thread, no warning filter."""
    probe = (
        "import logging, signal, sys, threading, warnings, locale, socket\n"
        "def state(): return (list(logging.root.handlers), signal.getsignal(signal.SIGINT), "
        "signal.getsignal(signal.SIGPIPE), threading.active_count(), list(warnings.filters), "
        "locale.setlocale(locale.LC_ALL), socket.getdefaulttimeout(), sys.excepthook, sys.stdout, sys.stderr)\n"
        "before = state()\n"
        "import sonar_core\n"
        "for name in dir(sonar_core): getattr(sonar_core, name)\n"
        "sonar_core.Client('localhost', settings=sonar_core.Settings()).tags\n"
        "assert state() == before, (before, state())\n"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", probe], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_public_names() -> None:
    """Each is there, at its home; a name that is not is an AttributeError as of any module."""
    for name in dir(sonar_core):
        assert getattr(sonar_core, name) is not None
    assert not hasattr(sonar_core, "Nonsense")
    assert sonar_core.__version__ == version("sonar-registry")
    for package in (Path(sonar_core.__file__).parent, Path(sonar_core.__file__).parents[1] / "sonar_plugins"):
        assert (package / "py.typed").exists()
