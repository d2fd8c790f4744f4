"""What goes to stdout and how: a full disk, a file, closed streams, narrow terminals, no colours."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import Answer, Origin

if TYPE_CHECKING:
    from sonar_core.testing.program import Sonar
    from tests.cli.conftest import Started
    from tests.support.endpoints import Program

TAGS = ["v1", "v2", "né\x1b[2J\u202e"]


@pytest.fixture
def registry(scripted: Origin) -> Origin:
    scripted.on("GET", "/v2/", Answer(200, {"Docker-Distribution-API-Version": "registry/2.0"}, json={}))
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"tags": TAGS}))
    return scripted


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command",
    [("tag", "ls", "{}/a"), ("tag", "ls", "{}/a", "-o", "json"), ("check", "{}"), ("--help",), ("--version",)],
)
def test_a_full_disk_is_said_once(
    command: tuple[str, ...], unbuffered: str, registry: Origin, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("wb") as full:
        process = started(*(word.format(registry.host) for word in command), stdout=full)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == b"sonar: cannot write the result: no space left on device\n"


def test_stdout_to_a_file(registry: Origin, started: Started, tmp_path: Path) -> None:
    with (tmp_path / "tags").open("wb") as file:
        process = started("tag", "ls", f"{registry.host}/a", stdout=file)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert (tmp_path / "tags").read_text() == "v1\nv2\nné\\x1b[2J\\u202e\n"


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("<&-", 0)])
def test_closed_streams_do_no_harm(closed: str, code: int, registry: Origin, process: Sonar) -> None:
    """A descriptor that is closed would be given to the next socket, and what is printed sent to the registry."""
    command = f"{sys.executable} -m sonar_core.cli tag ls {registry.host}/a {closed}"
    run = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)
    assert run.returncode == code, run
    assert run.stderr == ""
    assert len(registry.requests) == 1
    assert registry.requests[0].target == "/v2/a/tags/list?n=1000"


def test_errors_never_go_to_stdout_instead(process: Sonar) -> None:
    command = f"{sys.executable} -m sonar_core.cli check localhost:1 2>&-"
    run = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, env={"SONAR_ATTEMPTS": "1"})
    assert (run.returncode, run.stdout) == (1, "")


def test_what_a_registry_says_drives_no_terminal(registry: Origin, sonar: Program) -> None:
    """Control characters, escapes and bidi marks are shown escaped; JSON stays JSON."""
    text = sonar("tag", "ls", f"{registry.host}/a")
    assert text.stdout.splitlines() == ["v1", "v2", "né\\x1b[2J\\u202e"]
    as_json = sonar("tag", "ls", f"{registry.host}/a", "-o", "json")
    assert json.loads(as_json.stdout) == TAGS
    assert "\x1b" not in as_json.stdout
    assert "\u202e" not in as_json.stdout
    template = sonar("tag", "ls", f"{registry.host}/a", "--format", "{tag}\\t|")
    assert template.stdout.splitlines() == ["v1\t|", "v2\t|", "né\\x1b[2J\\u202e\t|"]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_any_text_in_any_locale(locale: str, registry: Origin, process: Sonar) -> None:
    run = process("tag", "ls", f"{registry.host}/a", LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert run.code == 0, run
    assert run.stdout.splitlines()[2] in ("né\\x1b[2J\\u202e", "n\\xe9\\x1b[2J\\u202e")


def test_forty_columns_and_no_color(registry: Origin, process: Sonar) -> None:
    """No escape sequences without a terminal; help fits; results are not folded."""
    plain = replace(process, environment={"NO_COLOR": "1"})
    narrow = replace(process, environment={"COLUMNS": "40", "FORCE_COLOR": "1"})
    for sonar in (plain, narrow):
        help_text = sonar("tag", "--help")
        assert help_text.code == 0
        assert "\x1b" not in help_text.stdout
        run = sonar("check", registry.host)
        assert run.stdout == f"{registry.host}: ok, registry/2.0, no authentication asked for\n"
    for command in ((), ("tag",), ("tag", "ls")):
        assert max(map(len, narrow(*command, "--help").stdout.splitlines())) <= 40


def test_quiet_and_verbose(registry: Origin, sonar: Program) -> None:
    """One redacted line for each exchange, on stderr; the result stays what it was."""
    verbose = sonar("tag", "ls", f"{registry.host}/a", "-v")
    assert verbose.stdout == sonar("tag", "ls", f"{registry.host}/a", "-q").stdout
    lines = verbose.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"GET http://{registry.host}/v2/a/tags/list?n=1000 200 (")


def test_verbose_tells_of_failures(sonar: Program) -> None:
    run = sonar("check", "localhost:1", "-v")
    assert [line.split(" (")[0] for line in run.stderr.splitlines()][:5] == [
        "GET http://localhost:1/v2/ failed: connection refused"
    ] * 5


def test_verbose_beside_a_plugin_of_that_name(registry: Origin, process: Sonar, tmp_path: Path) -> None:
    from tests.plugin.packages import Packages

    source = "from sonar_core import hookimpl\n@hookimpl\ndef sonar_exchange(exchange): pass\n"
    Packages(tmp_path / "p").install("verbose", source)
    run = process("check", registry.host, "-v", PYTHONPATH=str(tmp_path / "p"))
    assert run.code == 0, run
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{registry}", "HOST"),
        ("{registry} {auth}", "HOST null"),
        ("{{{status:>5}}}", "{  200}"),
        ("a\\tb\\nc", "a\tb\nc"),
        ("{apiVersion!r}", "'registry/2.0'"),
    ],
)
def test_templates(template: str, shown: str, registry: Origin, sonar: Program) -> None:
    run = sonar("check", registry.host, "--format", template)
    assert run.stdout == shown.replace("HOST", registry.host) + "\n"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{nothing}", "there is no field 'nothing'; there are: registry, url, status, auth, apiVersion"),
        ("{registry.__class__}", "there is no field"),
        ("{0}", "there is no field '0'"),
        ("{status:%%%}", "--format: "),
    ],
)
def test_templates_that_do_not_fit(template: str, words: str, registry: Origin, sonar: Program) -> None:
    """Fields are read from plain data and nothing else: no attribute of an object can be reached."""
    run = sonar("check", registry.host, "--format", template)
    assert (run.code, run.stdout) == (2, "")
    assert words in run.stderr


def test_on_a_terminal_of_forty_columns(registry: Origin, tmp_path: Path) -> None:
    """A real one: results are not cut or folded, and no colour is asked for with NO_COLOR."""
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 40, 0, 0))
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "TERM": "xterm-256color", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "sonar_core.cli"]
    for arguments in (["check", registry.host], ["tag", "ls", f"{registry.host}/a"], ["check", "localhost:1"]):
        subprocess.run(
            [*command, *arguments],
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            env={**environment, "SONAR_ATTEMPTS": "1"},
            timeout=30,
            check=False,
        )
    os.close(secondary)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
        while data := os.read(primary, 65536):
            shown += data
    os.close(primary)
    assert shown.decode().split("\r\n") == [
        f"{registry.host}: ok, registry/2.0, no authentication asked for",
        "v1",
        "v2",
        "né\\x1b[2J\\u202e",
        "sonar: GET http://localhost:1/v2/ failed: connection refused; is it running, and is this its port?",
        "",
    ]
