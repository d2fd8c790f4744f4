"""Every command that speaks to a registry, against every way in which one may misbehave as a whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import CLOSE, RESET, Answer, Origin, error
from tests.support import images

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.program import Program

DIGEST = "sha256:" + "a" * 64
COMMANDS = {
    "check": ("check", "HOST"),
    "repo ls": ("repo", "ls", "HOST"),
    "tag ls": ("tag", "ls", "HOST/a"),
    "tag ls --digests": ("tag", "ls", "HOST/a", "--digests"),
    "tag add": ("tag", "add", "HOST/a:v1", "v2"),
    "tag rm": ("tag", "rm", "HOST/a:v1"),
    "manifest get": ("manifest", "get", "HOST/a:v1"),
    "manifest head": ("manifest", "head", "HOST/a:v1"),
    "manifest put": ("manifest", "put", "HOST/a:v1", "FILE"),
    "manifest rm": ("manifest", "rm", f"HOST/a@{DIGEST}"),
    "blob get": ("blob", "get", f"HOST/a@{DIGEST}"),
    "blob head": ("blob", "head", f"HOST/a@{DIGEST}"),
    "blob put": ("blob", "put", "HOST/a", "FILE"),
    "blob rm": ("blob", "rm", f"HOST/a@{DIGEST}"),
    "blob mount": ("blob", "mount", f"HOST/a@{DIGEST}", "--from", "HOST/b"),
    "referrer ls": ("referrer", "ls", f"HOST/a@{DIGEST}"),
    "image inspect": ("image", "inspect", "HOST/a:v1"),
    "image pull": ("image", "pull", "HOST/a:v1", "oci:OUT:v1"),
    "image push": ("image", "push", "oci:LAYOUT:v1", "HOST/a:v1"),
    "image copy": ("image", "copy", "HOST/a:v1", "HOST/b:v1"),
    "image rm": ("image", "rm", f"HOST/a@{DIGEST}"),
    "auth token": ("auth", "token", "HOST/a"),
}
FAULTS = {
    "html": Answer(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html></html>"),
    "empty": Answer(200),
    "null": Answer(200, json=None),
    "a list": Answer(200, json=[]),
    "another document": Answer(200, json={"hello": ["world"]}),
    "not JSON": Answer(200, {"Content-Type": "application/json"}, b"\xff\xfe\x00{"),
    "deep": Answer(200, {"Content-Type": "application/json"}, b"[" * 50_000),
    "204": Answer(204),
    "400": error(400, "UNSUPPORTED", "\x1b[31mred"),
    "401": Answer(401),
    "403": Answer(403),
    "404": Answer(404, body=b"page not found"),
    "405": error(405, "UNSUPPORTED"),
    "429": Answer(429, {"Retry-After": "99999"}),
    "500": Answer(500, body=b"oops"),
    "redirect": Answer(302, {"Location": "/again"}),
    "307": Answer(307, {"Location": "/again"}),
    "reset": RESET,
    "close": CLOSE,
    "garbage": Answer(raw=b"\x15\x03\x01\x00\x02\x02\x46", then="close"),
    "short": Answer(200, {"Content-Type": "application/json"}, b'{"tags": ["' + b"x" * 500, cut=100, then="close"),
}
# The status is all that these want, so that what is in the body is not looked at, unless it is a page of HTML.
_WANTS_NO_BODY = {"check", "tag rm", "manifest rm", "manifest put", "blob rm", "image rm", "blob head"}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images.write_layout(tmp_path_factory.mktemp("commands") / "layout", {"v1": images.image()})


# A third of all pairs, each command and each fault among them, in every run; all of them in the slow one.
PAIRS = [
    pytest.param(command, fault, marks=[] if (x + y) % 3 == 0 else [pytest.mark.slow])
    for x, command in enumerate(COMMANDS)
    for y, fault in enumerate(FAULTS)
]


@pytest.mark.parametrize(("command", "fault"), PAIRS)
def test_a_command_and_a_fault(sonar: Program, scripted: Origin, layout: Path, command: str, fault: str) -> None:
    """T3/T8/N3/P1: whatever a registry answers, a command ends soon, with one line and the exit code of its kind;
    never with a traceback, an internal error, or a success that is none."""
    scripted.default = FAULTS[fault]
    file = sonar.home / "file"
    file.write_bytes(images.image().manifest.data)
    words = {"HOST": scripted.host, "FILE": str(file), "OUT": str(sonar.home / "out"), "LAYOUT": str(layout)}
    arguments = [re.sub("HOST|FILE|OUT|LAYOUT", lambda m: words[m[0]], word) for word in COMMANDS[command]]
    outcome = sonar(*arguments, "--timeout", "2", environment={"SONAR_ATTEMPTS": "2"})

    assert "Traceback" not in outcome.err, outcome.shown()
    assert "internal error" not in outcome.err, outcome.shown()
    assert outcome.code in (0, 1, 3, 4, 5), outcome.shown()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", outcome.err), outcome.shown()
    assert len(outcome.err) < 4000, outcome.shown()
    if outcome.code:
        outcome.reported()
        assert not outcome.out or outcome.out.endswith("\n"), outcome.shown()
    failing = {"html", "reset", "close", "garbage", "500", "429", "401", "403", "redirect"}
    failing |= set() if command in _WANTS_NO_BODY else {"not JSON", "deep"}
    # A HEAD brings no page, and the label alone says nothing: Quay's framework puts it on empty answers.
    if (command, fault) != ("blob head", "html"):
        assert outcome.code != 0 or fault not in failing, outcome.shown()
    expected = {"401": 4, "403": 4}.get(fault)
    if expected is not None:
        assert outcome.code == expected, outcome.shown()
    assert len(scripted.requests) < 60
