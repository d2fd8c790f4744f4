"""Exit codes, and one line on stderr that says what failed and where (issue 2, point 3; DESIGN, 4)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import Answer, Origin, error

if TYPE_CHECKING:
    from sonar_core.testing.program import Run, Sonar
    from tests.support.endpoints import Program

CHALLENGE = {"WWW-Authenticate": 'Basic realm="the registry"'}


def failed(run: Run, code: int, *words: str) -> None:
    """That exit code, nothing on stdout, and one line on stderr with all of these words."""
    assert run.code == code, run
    assert run.stdout == "", run
    lines = run.stderr.splitlines()
    assert len(lines) == 1, run
    assert lines[0].startswith("sonar: "), run
    for word in words:
        assert word in lines[0], run


COMMANDS = [("check", "{host}"), ("repo", "ls", "{host}"), ("tag", "ls", "{host}/a/b")]


def filled(command: tuple[str, ...], host: str) -> list[str]:
    return [word.format(host=host) for word in command]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_server_that_is_stopped(command: tuple[str, ...], output: str, sonar: Program) -> None:
    """1: the line names host and cause."""
    with Origin() as stopped:
        host = stopped.host
    failed(sonar(*filled(command, host), "-o", output), 1, host, "connection refused", "5 attempts")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_wants_credentials(command: tuple[str, ...], scripted: Origin, sonar: Program) -> None:
    """4: the line says where credentials could come from."""
    scripted.default = Answer(401, CHALLENGE, json={"errors": [{"code": "UNAUTHORIZED", "message": "who?"}]})
    run = sonar(*filled(command, scripted.host))
    failed(run, 4, scripted.host, "401", "UNAUTHORIZED: who?", "asks for Basic", f"sonar auth login {scripted.host}")


def test_a_server_that_forbids(scripted: Origin, sonar: Program) -> None:
    scripted.default = error(403, "DENIED", "not yours")
    failed(sonar("tag", "ls", f"{scripted.host}/a"), 4, "403", "DENIED: not yours")


def test_a_repository_that_is_not_there(scripted: Origin, sonar: Program) -> None:
    scripted.on("GET", "/v2/a/tags/list", error(404, "NAME_UNKNOWN", "repository name not known to registry"))
    failed(sonar("tag", "ls", f"{scripted.host}/a"), 3, "404", "NAME_UNKNOWN", f"{scripted.host}/v2/a/tags/list")


def test_a_server_that_is_no_registry(scripted: Origin, sonar: Program) -> None:
    scripted.default = Answer(404, body=b"<html>nothing here</html>")
    failed(sonar("check", scripted.host), 3, scripted.host, "does not speak the distribution API v2", "404")


@pytest.mark.parametrize("status", [400, 418, 500, 503])
def test_other_errors_of_the_server(status: int, scripted: Origin, sonar: Program) -> None:
    scripted.default = error(status, "UNKNOWN", "what a day")
    failed(sonar("check", scripted.host), 1, f"answered {status}", "UNKNOWN: what a day")


def test_a_rate_limit_says_how_long(scripted: Origin, sonar: Program) -> None:
    scripted.default = Answer(429, {"Retry-After": "3600"}, json={"errors": [{"code": "TOOMANYREQUESTS"}]})
    failed(sonar("check", scripted.host), 1, "429", "TOOMANYREQUESTS", "it asks to wait 3600 s")
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("check", "no host"),
        ("check", "{host}/path"),
        ("check", "http://{host}@evil"),
        ("repo", "ls", "{host}:99999"),
        ("tag", "ls", "{host}/Upper"),
        ("tag", "ls", "{host}/a//b"),
        ("tag", "ls", "{host}/../a"),
        ("tag", "ls", "{host}/a/b:tag:tag"),
        ("tag", "ls", ""),
        ("tag", "ls", "{host}/a", "--include", "("),
        ("tag", "ls", "{host}/a", "--format", "{{tag"),
        ("check", "{host}", "--timeout", "-1"),
        ("check", "{host}", "--timeout", "nan"),
        ("check", "{host}", "--key", "/dev/null", "--timeout", "0"),
        ("check", "{host}", "--config", "/nowhere/sonar.toml"),
        ("check", "{host}", "-o", "json", "--format", "{{host}}"),
    ],
)
def test_a_usage_error_sends_nothing(command: tuple[str, ...], scripted: Origin, sonar: Program) -> None:
    """2: and nothing was sent."""
    failed(sonar(*filled(command, scripted.host)), 2)
    assert scripted.connections == 0


@pytest.mark.parametrize(
    "command",
    [("nope",), ("tag", "nope"), ("tag", "ls"), ("check", "--timeout", "soon"), ("check", "a", "b"), ("check", "-x")],
)
def test_what_the_parser_refuses(command: tuple[str, ...], sonar: Program) -> None:
    """The command line's own errors show the usage, too."""
    run = sonar(*command)
    assert run.code == 2
    assert run.stdout == ""
    assert "Usage: sonar" in run.stderr
    assert "Error: " in run.stderr


def test_a_verb_without_its_noun_names_the_nouns(sonar: Program) -> None:
    assert "Did you mean 'image pull'?" in sonar("pull", "nginx").stderr
    assert "'repo ls' or 'tag ls'?" in sonar("ls").stderr


def test_a_list_that_breaks_is_never_shown_as_complete(scripted: Origin, sonar: Program) -> None:
    """stdout ends at the last whole line, or stays empty with -o json; the exit code is not 0."""
    page = Answer(200, {"Link": '</v2/a/tags/list?last=b>; rel="next"'}, json={"tags": ["a", "b"]})
    scripted.on("GET", "/v2/a/tags/list", page)
    scripted.on("GET", "/v2/a/tags/list?last=b", error(500, "UNKNOWN"))
    text = sonar("tag", "ls", f"{scripted.host}/a")
    assert (text.code, text.stdout) == (1, "a\nb\n")
    assert "answered 500" in text.stderr
    failed(sonar("tag", "ls", f"{scripted.host}/a", "-o", "json"), 1, "answered 500")


def test_a_traceback_only_when_asked_for(process: Sonar) -> None:
    """SONAR_DEBUG=1 shows it, before the line; nothing else does."""
    for value, shown in (("", False), ("0", False), ("1", True)):
        run = process("check", "localhost:1", SONAR_DEBUG=value, SONAR_ATTEMPTS="1")
        assert run.code == 1
        assert ("Traceback (most recent call last)" in run.stderr) is shown
        assert run.stderr.splitlines()[-1].startswith("sonar: GET http://localhost:1/v2/ failed: ")


def test_debug_shows_no_secret(scripted: Origin, process: Sonar) -> None:
    """No secret in a traceback or in --verbose (ROBUSTNESS)."""
    scripted.default = Answer(401, CHALLENGE)
    run = process(
        "check",
        scripted.host,
        "-v",
        SONAR_DEBUG="1",
        SONAR_USERNAME="alice",
        SONAR_PASSWORD="wonder-7f3a",
        SONAR_AUTH_REGISTRY=scripted.host,
    )
    assert run.code == 4, run
    for secret in ("wonder-7f3a", base64.b64encode(b"alice:wonder-7f3a").decode()):
        assert secret not in run.stderr
    assert any(call.header("Authorization") for call in scripted.requests)


def test_an_error_that_nobody_expected(monkeypatch: pytest.MonkeyPatch, sonar: Program) -> None:
    """A bug of ours, or of a plugin's command, is one line and exit code 1, too."""
    import sonar_plugins.check.endpoint

    def bug(self: object) -> None:
        raise ZeroDivisionError("a \x1b[31mbug")

    monkeypatch.setattr(sonar_plugins.check.endpoint.Check, "__call__", bug)
    failed(sonar("check", "localhost"), 1, "internal error: ZeroDivisionError: a \\x1b[31mbug; SONAR_DEBUG=1")
