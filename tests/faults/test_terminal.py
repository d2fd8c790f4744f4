"""ROBUSTNESS, Terminal and processes."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import Answer, Origin, Request
from tests.faults.program import HARD_LIMIT, install_plugin
from tests.faults.registry import serve
from tests.support import images

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.program import Program

EVIL = "v1\x1b[2J\x1b]0;owned\x07\r\u202egpj\u2066\x9b31m\x00"
DANGEROUS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_text_of_a_registry_is_escaped(sonar: Program, scripted: Origin) -> None:
    """P1: "Text from a registry is escaped before it reaches a terminal": repository names and tags
    (CVE-2021-42574 for the bidi marks)."""
    scripted.on("GET", "/v2/_catalog", Answer(200, json={"repositories": ["good", EVIL]}))
    outcome = sonar("repo", "ls", scripted.host)
    assert outcome.code in (0, 1), outcome.shown()
    assert not DANGEROUS.search(outcome.out + outcome.err)
    assert "good" in outcome.out


def test_json_stays_valid_and_exact(sonar: Program, scripted: Origin) -> None:
    """P1: "JSON stays valid whatever the text is"."""
    scripted.on("GET", "/v2/_catalog", Answer(200, json={"repositories": ["good", EVIL, '"quoted"']}))
    outcome = sonar("repo", "ls", scripted.host, "-o", "json").succeeded()
    assert json.loads(outcome.out)[:2] == ["good", EVIL]
    assert not DANGEROUS.search(outcome.out)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            Answer(400, json={"errors": [{"code": EVIL, "message": EVIL, "detail": {EVIL: EVIL}}]}), id="error"
        ),
        pytest.param(Answer(400, reason="\x1b[31mred"), id="reason"),
        pytest.param(Answer(302, {"Location": "http://127.0.0.1:1/\x1b[31m"}), id="location"),
        pytest.param(Answer(401, {"WWW-Authenticate": '\x1b[31m realm="\x1b[2J"'}), id="challenge"),
        pytest.param(Answer(429, {"Retry-After": "\x1b[31m9999"}), id="retry-after"),
        pytest.param(Answer(200, {"Content-Type": "\x1b[31m/html"}, b"\x1b[2J"), id="content-type"),
        pytest.param(Answer(raw=b"\x1b[31mHTTP/1.1 200\r\n\r\n", then="close"), id="status line"),
    ],
)
@pytest.mark.parametrize("verbose", [False, True])
def test_text_in_errors_is_escaped(sonar: Program, scripted: Origin, answer: Answer, verbose: bool) -> None:
    """P1: "Text from a registry is escaped before it reaches a terminal": in errors, and with `--verbose`."""
    scripted.default = answer
    outcome = sonar(
        "tag", "ls", f"{scripted.host}/a", *(["-v"] if verbose else []), environment={"SONAR_ATTEMPTS": "1"}
    )
    assert outcome.code not in (0, 2), outcome.shown()
    assert not DANGEROUS.search(outcome.err), outcome.shown()
    assert outcome.out == ""


def test_an_error_is_short(sonar: Program, scripted: Origin) -> None:
    """P1: a registry cannot pour a megabyte over the terminal."""
    long = "x" * 60_000
    scripted.default = Answer(400, json={"errors": [{"code": long, "message": long, "detail": long}] * 3})
    assert len(sonar("tag", "ls", f"{scripted.host}/a").failed("400").err) < 10_000


def test_labels_and_annotations_are_escaped(sonar: Program, scripted: Origin) -> None:
    """P1: "Text from a registry is escaped": what an image says of itself."""
    serve(scripted, "a", images.image(labels={"k": EVIL, EVIL: "v"}))
    outcome = sonar("image", "inspect", f"{scripted.host}/a:v1").succeeded()
    assert not DANGEROUS.search(outcome.out)
    shown = sonar("image", "inspect", f"{scripted.host}/a:v1", "-o", "json").succeeded()
    assert EVIL in json.dumps(json.loads(shown.out), ensure_ascii=False).encode().decode() or json.loads(shown.out)


def test_a_manifest_with_escapes_is_shown_safely(sonar: Program, scripted: Origin) -> None:
    """P1: "Text from a registry is escaped": a manifest, unless its exact bytes are asked for."""
    what = serve(scripted, "a", images.image(annotations={"k": "\u202e\x9b\x7f"}))
    assert not DANGEROUS.search(sonar("manifest", "get", f"{scripted.host}/a:v1").succeeded().out)
    assert sonar("manifest", "get", "--raw", f"{scripted.host}/a:v1").succeeded().stdout == what.manifest.data


def test_a_closed_pipe_ends_quietly(sonar: Program, scripted: Origin) -> None:
    """P1: "A closed stdout ends quietly"."""

    def endless(request: Request) -> Answer:
        number = int(request.query.get("p", ["0"])[0])
        link = {"Link": f'</v2/a/tags/list?p={number + 1}>; rel="next"'}
        return Answer(200, link, json={"tags": [f"t{number}-{n}" for n in range(500)]})

    scripted.on("GET", re.compile("/v2/a/tags/list.*"), endless)
    reader, writer = os.pipe()
    running = sonar.spawn("tag", "ls", f"{scripted.host}/a", stdout=writer)
    os.close(writer)
    assert os.read(reader, 10).startswith(b"t0-0")
    os.close(reader)
    _, err = running.communicate(timeout=HARD_LIMIT)
    assert err == b""
    assert running.returncode in (0, -13, 141)


def test_a_closed_stdout_from_the_start(sonar: Program, scripted: Origin) -> None:
    """P1: "A closed stdout ends quietly": `sonar … | true`."""
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"tags": ["v1"]}))
    reader, writer = os.pipe()
    os.close(reader)
    running = sonar.spawn("tag", "ls", f"{scripted.host}/a", "-o", "json", stdout=writer)
    os.close(writer)
    _, err = running.communicate(timeout=HARD_LIMIT)
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err


def test_a_full_disk_is_told(sonar: Program, scripted: Origin) -> None:
    """P1: what could not be written is no success."""
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"tags": ["v1"] * 5000}))
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        running = sonar.spawn("tag", "ls", f"{scripted.host}/a", stdout=full.fileno())
        _, err = running.communicate(timeout=HARD_LIMIT)
    assert running.returncode == 1
    assert b"Traceback" not in err
    assert b"space" in err.lower()


def test_an_interrupt_ends_with_130(sonar: Program, scripted: Origin) -> None:
    """B4: "Ctrl-C … exit 130 … within two seconds", here while a registry keeps silent."""
    from sonar_core.testing.scripted import HANG

    scripted.default = HANG
    running = sonar.start("tag", "ls", f"{scripted.host}/a")
    scripted.wait_for(1)
    running.interrupt()
    outcome = running.wait(2)
    assert outcome.code == 130, outcome.shown()
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


BROKEN = """
import sys
from sonar_core import hookimpl
@hookimpl
def sonar_exchange(exchange):
    raise RuntimeError("boom")
"""


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("import no_such_module_anywhere\n", id="import"),
        pytest.param("raise SystemExit(3)\n", id="exit"),
        pytest.param("def oops(:\n", id="syntax"),
        pytest.param(
            "from sonar_core import hookimpl\n@hookimpl\ndef sonar_commands(): raise RuntimeError('x')\n", id="hook"
        ),
        pytest.param("from sonar_core import hookimpl\n@hookimpl\ndef sonar_commands(): return 7\n", id="return"),
        pytest.param(BROKEN, id="exchange"),
    ],
)
def test_a_broken_plugin_is_named_and_the_rest_works(
    sonar: Program, scripted: Origin, tmp_path: Path, source: str
) -> None:
    """P1: "A broken plugin is named and the rest works"."""
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"tags": ["v1"]}))
    path = install_plugin(tmp_path / "plugins", "brokenplug", source)
    outcome = sonar("tag", "ls", f"{scripted.host}/a", environment={"PYTHONPATH": path})
    assert (outcome.code, outcome.out) == (0, "v1\n"), outcome.shown()
    assert "brokenplug-dist" in outcome.err, outcome.shown()
    assert "Traceback" not in outcome.err


def test_a_credential_source_that_raises_stops_the_work(sonar: Program, scripted: Origin, tmp_path: Path) -> None:
    """P1: "A broken plugin is named": one that was needed never turns silently into anonymous (DESIGN, section 3)."""
    source = (
        "from sonar_core import hookimpl\n@hookimpl\ndef sonar_credentials(registry): raise RuntimeError('s3cret-q')\n"
    )
    path = install_plugin(tmp_path / "plugins", "vaultplug", source)
    scripted.default = Answer(401, {"WWW-Authenticate": 'Basic realm="r"'})
    outcome = sonar("tag", "ls", f"{scripted.host}/a", environment={"PYTHONPATH": path})
    assert outcome.code in (1, 4), outcome.shown()
    assert "vaultplug-dist" in outcome.err
    assert "Traceback" not in outcome.err
    assert len(scripted.requests) == 1
