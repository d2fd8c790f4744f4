"""The plugin on scripted registries: real sockets, real commands, the real program."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sonar_auth_exec

from sonar_core import AuthError, Client, Credentials, Plugins, Registry, Settings, SettingsError, Unauthorized
from sonar_core.testing.program import Sonar
from sonar_core.testing.scripted import Answer, Origin, Request

SECRET = "s3cret-of-the-vault"
TAGS = Answer(200, json={"name": "app", "tags": ["v1"]})


def prints(*lines: str, status: int = 0) -> list[str]:
    """A command that prints these lines."""
    return [sys.executable, "-c", f"import sys; print(*{lines!r}, sep='\\n'); sys.exit({status})"]


def settings(host: str, **table: object) -> Settings:
    return Settings(timeout=5, plugins={"auth-exec": {host: table}})


@pytest.fixture
def plugins(sonar_plugin_set: Callable[..., Plugins]) -> Plugins:
    return sonar_plugin_set("basic", "bearer", "tags", auth_exec=sonar_auth_exec)


def asked(plugins: Plugins, host: str, chosen: Settings) -> Credentials | None:
    return plugins.credentials(Registry.parse(host), None, chosen)


# ── credentials ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_line_is_the_password_of_the_user(plugins: Plugins) -> None:
    found = asked(plugins, "r.example", settings("r.example", command=prints(SECRET, "url: x"), username="robot"))
    assert found is not None
    assert (found.username, found.password, found.token) == ("robot", SECRET, "")
    assert "auth-exec" in found.source
    assert SECRET not in repr(found)


def test_without_a_user_it_is_a_token(plugins: Plugins) -> None:
    found = asked(plugins, "r.example", settings("r.example", command=prints(SECRET)))
    assert found is not None
    assert (found.username, found.password, found.token) == ("", "", SECRET)


def test_a_command_is_for_its_registry_alone(plugins: Plugins, tmp_path: Path) -> None:
    touch = [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]
    assert asked(plugins, "other.example", settings("r.example", command=touch)) is None
    assert asked(plugins, "r.example:5000", settings("r.example", command=touch)) is None
    assert not (tmp_path / "ran").exists()


def test_the_command_knows_the_registry_and_needs_no_shell(plugins: Plugins) -> None:
    command = [
        sys.executable,
        "-c",
        "import os, sys; print(os.environ['SONAR_REGISTRY_HOST'] + sys.argv[1])",
        "; $HOME",
    ]
    found = asked(plugins, "r.example:5000", settings("r.example:5000", command=command))
    assert found is not None
    assert found.token == "r.example:5000; $HOME"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (prints(SECRET, status=3), "exit status 3"),
        (prints(""), "first line"),
        (prints("", SECRET), "first line"),
        (prints(f"{SECRET}\x1b[0m"), "first line"),
        (["/nowhere/at-all"], "can't be run"),
    ],
)
def test_a_command_that_fails_is_an_error_and_never_nobody(plugins: Plugins, command: list[str], words: str) -> None:
    with pytest.raises(AuthError, match=words) as caught:
        asked(plugins, "r.example", settings("r.example", command=command, username="robot"))
    assert SECRET not in str(caught.value)
    assert "r.example" in str(caught.value)


def test_a_command_that_hangs_is_stopped(plugins: Plugins) -> None:
    chosen = settings("r.example", command=[sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(AuthError, match=r"within 0\.5 s"):
        asked(plugins, "r.example", chosen.with_options(timeout=0.5))


@pytest.mark.parametrize("table", [{}, {"command": "pass show x"}, {"command": []}, {"command": ["x", 1]}, 7])
def test_settings_that_make_no_sense(plugins: Plugins, table: object) -> None:
    with pytest.raises(SettingsError, match=r'\[plugin\.auth-exec\."r\.example"\] needs `command`'):
        asked(plugins, "r.example", Settings(plugins={"auth-exec": {"r.example": table}}))


# ── the scheme ──────────────────────────────────────────────────────────────────────────────────────────


def keyed(header: str, challenge: str) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        return TAGS if request.header(header) == SECRET else Answer(401, {"WWW-Authenticate": challenge})

    return answer


@pytest.mark.parametrize("username", ["", "robot"])
def test_the_key_goes_into_the_header_that_the_registry_names(
    scripted: Origin, plugins: Plugins, username: str
) -> None:
    scripted.default = keyed("X-Registry-Key", 'ApiKey header="X-Registry-Key"')
    chosen = settings(scripted.host, command=prints(SECRET), username=username)
    with Client(scripted.host, settings=chosen, plugins=plugins) as client:
        assert list(client.tags.list("app")) == ["v1"]
        assert list(client.tags.list("app")) == ["v1"]
    assert [request.header("X-Registry-Key") for request in scripted.requests] == [None, SECRET, SECRET]
    assert all(request.header("Authorization") is None for request in scripted.requests)


def test_the_key_stays_at_its_origin(scripted: Origin, origins: Callable[..., Origin], plugins: Plugins) -> None:
    elsewhere = origins()
    elsewhere.default = TAGS
    moved = Answer(307, {"Location": f"{elsewhere.url}/tags"})
    scripted.default = lambda r: moved if r.header("X-Api-Key") else Answer(401, {"WWW-Authenticate": "ApiKey"})
    chosen = settings(scripted.host, command=prints(SECRET))
    with Client(scripted.host, settings=chosen, plugins=plugins) as client:
        assert list(client.tags.list("app")) == ["v1"]
    assert SECRET not in str(elsewhere.requests)
    assert len(elsewhere.requests) == 1


def test_a_registry_may_not_choose_any_header(scripted: Origin, plugins: Plugins) -> None:
    scripted.default = Answer(401, {"WWW-Authenticate": 'ApiKey header="Host"'})
    chosen = settings(scripted.host, command=prints(SECRET))
    with Client(scripted.host, settings=chosen, plugins=plugins) as client, pytest.raises(AuthError, match="X-"):
        list(client.tags.list("app"))


def test_nobody_has_no_key(scripted: Origin, plugins: Plugins) -> None:
    scripted.default = Answer(401, {"WWW-Authenticate": "ApiKey"})
    with (
        Client(scripted.host, settings=Settings(), plugins=plugins) as client,
        pytest.raises(Unauthorized, match="no credentials were found"),
    ):
        list(client.tags.list("app"))


# ── the program, where this package is installed ────────────────────────────────────────────────────────


def test_the_program_uses_it(scripted: Origin, sonar: Sonar) -> None:
    scripted.default = keyed("X-Api-Key", "ApiKey")
    config = sonar.home / ".config" / "sonar" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[plugin.auth-exec."{scripted.host}"]\ncommand = {json.dumps(prints(SECRET))}\n')
    done = sonar("tag", "ls", f"{scripted.host}/app", "-v")
    assert (done.code, done.stdout) == (0, "v1\n")
    shown = sonar("auth", "whoami", scripted.host)
    assert "auth-exec" in shown.stdout
    assert SECRET not in done.stderr + shown.stdout + shown.stderr
