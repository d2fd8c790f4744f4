"""`sonar auth login`, `logout`, `whoami` and `token`: what they send, keep, remove and show."""

from __future__ import annotations

import base64
import json
import os
import pty
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sonar_core.testing.scripted import Answer, Origin, Request
from tests.auth.conftest import Sonar
from tests.support.docker_registry import DockerRegistry
from tests.support.tokens import TokenServer


@pytest.fixture
def secret(sonar: Sonar) -> str:
    return sonar.secret()


@pytest.fixture
def registry(scripted: Origin, secret: str) -> Origin:
    """A registry with the user alice."""
    good = "Basic " + base64.b64encode(f"alice:{secret}".encode()).decode()

    def answer(request: Request) -> Answer:
        if request.header("Authorization") == good:
            return Answer(200, json={})
        return Answer(401, {"WWW-Authenticate": 'Basic realm="r"'})

    scripted.on("GET", "/v2/", answer)
    return scripted


def login(sonar: Sonar, host: str, password: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return sonar("auth", "login", host, "-u", "alice", "--password-stdin", stdin=f"{password}\n", **options)


def document(sonar: Sonar) -> dict[str, Any]:
    loaded = json.loads(sonar.docker_config.read_text())
    assert isinstance(loaded, dict)
    return loaded


def entry(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


# ── login ───────────────────────────────────────────────────────────────────────────────────────────────


def test_login_checks_then_keeps_and_says_that_it_is_plain_text(registry: Origin, sonar: Sonar, secret: str) -> None:
    done = login(sonar, registry.host, secret)
    assert done.stdout == f"logged in to {registry.host} as alice, kept in ~/.docker/config.json\n"
    assert "plain text" in done.stderr
    assert document(sonar) == {"auths": {registry.host: entry(f"alice:{secret}")}}
    assert stat.S_IMODE(sonar.docker_config.stat().st_mode) == 0o600
    assert stat.S_IMODE(sonar.docker_config.parent.stat().st_mode) == 0o700
    assert [request.path for request in registry.requests] == ["/v2/", "/v2/"]
    assert "Basic" in sonar("check", registry.host).stdout


def test_a_wrong_password_is_not_kept(registry: Origin, sonar: Sonar) -> None:
    done = login(sonar, registry.host, sonar.secret(), code=4)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert not sonar.docker_config.exists()


def test_an_unreachable_registry_keeps_nothing(origins: Callable[..., Origin], sonar: Sonar) -> None:
    gone = origins()
    gone.close()
    login(sonar, gone.host, sonar.secret(), code=1)
    assert not sonar.docker_config.exists()


def test_a_registry_that_does_not_ask_is_remarked_on(scripted: Origin, sonar: Sonar, secret: str) -> None:
    scripted.default = Answer(200, json={})
    assert "could not be checked" in login(sonar, scripted.host, secret).stderr


def test_everything_else_in_the_file_stays(registry: Origin, sonar: Sonar, secret: str) -> None:
    other = {"HttpHeaders": {"X-Meta": "ü"}, "psFormat": "table", "auths": {"r.example": entry("bob:b"), "x": {}}}
    sonar.docker_config.parent.mkdir()
    sonar.docker_config.write_text(json.dumps(other))
    sonar.docker_config.chmod(0o644)
    login(sonar, registry.host, secret)
    auths = {**other["auths"], registry.host: entry(f"alice:{secret}")}  # type: ignore[dict-item]
    assert document(sonar) == {**other, "auths": auths}
    assert list(document(sonar)) == list(other)
    assert stat.S_IMODE(sonar.docker_config.stat().st_mode) == 0o600
    assert [path.name for path in sonar.docker_config.parent.iterdir()] == ["config.json"]
    sonar("auth", "logout", registry.host)
    assert document(sonar) == other


def test_a_link_stays_a_link(registry: Origin, sonar: Sonar, secret: str) -> None:
    """People keep their config files elsewhere and link to them."""
    target = sonar.home / "dotfiles" / "docker.json"
    target.parent.mkdir()
    target.write_text('{"auths": {}}')
    sonar.docker_config.parent.mkdir()
    sonar.docker_config.symlink_to(target)
    login(sonar, registry.host, secret)
    assert sonar.docker_config.is_symlink()
    assert registry.host in json.loads(target.read_text())["auths"]


def test_a_damaged_file_is_left_alone(registry: Origin, sonar: Sonar, secret: str) -> None:
    sonar.docker_config.parent.mkdir()
    sonar.docker_config.write_text("{damaged")
    assert "~/.docker/config.json" in login(sonar, registry.host, secret, code=4).stderr
    assert sonar.docker_config.read_text() == "{damaged"


def test_a_directory_that_cannot_be_written_to(registry: Origin, sonar: Sonar, secret: str) -> None:
    (sonar.home / "file").write_text("")
    done = login(sonar, registry.host, secret, code=4, environment={"DOCKER_CONFIG": str(sonar.home / "file")})
    assert "cannot write ~/file/config.json" in done.stderr


def test_logins_at_once_lose_nothing(registry: Origin, sonar: Sonar, secret: str) -> None:
    """The file is read, changed and replaced under a lock."""
    script = (
        "import sys; from sonar_core.auth_types import Credentials; from sonar_core.reference import Registry; "
        "from sonar_plugins.auth.logins import keep\n"
        "for n in range(25): keep(Registry.parse(f'{sys.argv[1]}-{n}.example'), Credentials('a', 'b'), seconds=9)"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(sonar.home)}
    writers = [subprocess.Popen([sys.executable, "-c", script, f"w{n}"], env=environment) for n in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len(document(sonar)["auths"]) == 100


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (("--password-stdin",), "x\n", "--username"),
        (("--password-stdin", "-u", "alice"), "\n", "the password is empty"),
        (("--password-stdin", "-u", ""), "x\n", "--username"),
        (("--password-stdin", "-u", "a:b"), "x\n", "colon"),
        (("-u", "alice"), "", "--password-stdin"),
    ],
)
def test_what_login_needs(registry: Origin, sonar: Sonar, arguments: tuple[str, ...], stdin: str, words: str) -> None:
    assert words in sonar("auth", "login", registry.host, *arguments, stdin=stdin, code=2).stderr
    assert registry.requests == []


def test_the_default_registry(registry: Origin, sonar: Sonar, secret: str) -> None:
    environment = {"SONAR_REGISTRY": registry.host}
    sonar("auth", "login", "-u", "alice", "--password-stdin", stdin=secret, environment=environment)
    assert registry.host in document(sonar)["auths"]
    assert sonar("auth", "whoami", "--format", "{username}", environment=environment).stdout == "alice\n"


def test_a_source_that_comes_first_is_remarked_on(registry: Origin, sonar: Sonar, secret: str) -> None:
    variables = {"SONAR_USERNAME": "bob", "SONAR_PASSWORD": "b", "SONAR_AUTH_REGISTRY": registry.host}
    assert "the environment" in login(sonar, registry.host, secret, environment=variables).stderr


def test_bad_credentials_of_the_environment_are_not_mended_by_a_login(registry: Origin, sonar: Sonar) -> None:
    """The environment is asked before what a login keeps."""
    variables = {"SONAR_USERNAME": "bob", "SONAR_PASSWORD": "b", "SONAR_AUTH_REGISTRY": registry.host}
    said = sonar("check", registry.host, environment=variables, code=4).stderr
    assert "to replace them: set these variables anew, or unset them" in said
    assert "auth login" not in said


def on_a_terminal(sonar: Sonar, host: str, *answers: tuple[bytes, bytes]) -> tuple[int, bytes]:
    """Runs `sonar auth login` on a terminal of its own: for each prompt, what is typed. Its exit code and output."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(sonar.home), "TERM": "dumb"}
    program = str(Path(sys.executable).with_name("sonar"))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(program, [program, "auth", "login", host], environment)  # noqa: S606
    output = b""
    for prompt, answer in answers:
        output += _read_until(terminal, prompt)
        time.sleep(0.2)  # the echo goes off after the prompt was written
        os.write(terminal, answer)
    output += _read_until(terminal, None)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    sonar.check(output)
    return os.waitstatus_to_exitcode(status), output


def test_a_terminal_is_asked_without_an_echo(registry: Origin, sonar: Sonar, secret: str) -> None:
    """`getpass` turns the echo off: what is typed does not come back from the terminal."""
    code, output = on_a_terminal(
        sonar, registry.host, (b"User at", b"alice\n"), (b"Password of alice", f"{secret}\n".encode())
    )
    assert (code, b"logged in" in output) == (0, True)
    assert document(sonar)["auths"][registry.host] == entry(f"alice:{secret}")


@pytest.mark.parametrize(
    ("typed", "code", "words"), [(b"\x03", 130, b"interrupted"), (b"\x04", 2, b"is empty"), (b"\n", 2, b"is empty")]
)
@pytest.mark.parametrize("at", ["user", "password"])
def test_a_terminal_that_is_left(
    registry: Origin, sonar: Sonar, at: str, typed: bytes, code: int, words: bytes
) -> None:
    before = [(b"User at", b"alice\n"), (b"Password of", typed)] if at == "password" else [(b"User at", typed)]
    done, output = on_a_terminal(sonar, registry.host, *before)
    assert (done, words in output) == (code, True)
    assert b"internal error" not in output
    assert registry.requests == []


def _read_until(terminal: int, words: bytes | None) -> bytes:
    """What the terminal shows up to `words`, or to its end."""
    output = b""
    while words is None or words not in output:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # what Linux says at the end
            piece = b""
        if not piece:
            return output
        output += piece
    return output


# ── logout ──────────────────────────────────────────────────────────────────────────────────────────────


def test_logout_removes_every_spelling_of_the_registry_and_nothing_else(registry: Origin, sonar: Sonar) -> None:
    host = registry.host
    mine = dict.fromkeys((host, f"https://{host}", f"http://{host}/v1/"), "a:b")
    sonar.logins({**mine, f"{host}/team": "c:d", "r.example": "e:f", f"x{host}": "g:h"})
    done = sonar("auth", "logout", host)
    assert done.stdout == f"logged out of {host}, removed from ~/.docker/config.json\n"
    assert list(document(sonar)["auths"]) == [f"{host}/team", "r.example", f"x{host}"]
    assert registry.requests == []
    before = sonar.docker_config.stat()
    assert sonar("auth", "logout", host).stdout == f"there was no login for {host}\n"
    assert sonar.docker_config.stat().st_ino == before.st_ino


def test_logout_without_any_file(sonar: Sonar) -> None:
    assert sonar("auth", "logout", "r.example").stdout == "there was no login for r.example\n"
    assert not sonar.docker_config.exists()


def test_logout_says_who_still_answers(sonar: Sonar) -> None:
    sonar.logins({"r.example": "a:b"})
    (sonar.home / ".netrc").write_text("machine r.example login c password d")
    done = sonar("auth", "logout", "r.example")
    assert "~/.netrc still has credentials for r.example" in done.stderr


def test_docker_hub_is_kept_where_docker_keeps_it(sonar: Sonar) -> None:
    sonar.logins({"https://index.docker.io/v1/": "a:b", "r.example": "c:d"})
    assert sonar("auth", "whoami", "docker.io", "--format", "{username}").stdout == "a\n"
    sonar("auth", "logout", "docker.io")
    assert list(document(sonar)["auths"]) == ["r.example"]


# ── whoami ──────────────────────────────────────────────────────────────────────────────────────────────


def test_whoami_says_who_and_where_from(sonar: Sonar, secret: str) -> None:
    token = sonar.secret()
    sonar.logins(
        {
            "r.example": f"alice:{secret}",
            "r.example/team": {**entry("robot:"), "identitytoken": token},
            "t.example": {"registrytoken": token},
        }
    )
    shown = {
        name: json.loads(sonar("auth", "whoami", name, "-o", "json").stdout)
        for name in ("r.example", "r.example/other", "r.example/team/app", "https://t.example/v2/")
    }
    source = "~/.docker/config.json"
    alice = {"registry": "r.example", "username": "alice", "kind": "password", "source": source}
    assert shown == {
        "r.example": alice,
        "r.example/other": alice,
        "r.example/team/app": {**alice, "username": "robot", "kind": "identity token"},
        "https://t.example/v2/": {"registry": "t.example", "username": "", "kind": "token", "source": source},
    }
    assert sonar("auth", "whoami", "r.example").stdout.splitlines()[-1].split() == ["source:", source]


def test_whoami_is_nobody(sonar: Sonar) -> None:
    done = sonar("auth", "whoami", "r.example", code=4)
    assert (done.stdout, done.stderr) == ("", "sonar: no credentials for r.example; sonar auth login r.example\n")
    sonar("auth", "whoami", "r.example/UPPER", code=2)


# ── token ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.real
def test_token_prints_one_that_the_registry_takes(
    docker_registry: Callable[..., DockerRegistry],
    token_server: Callable[..., TokenServer],
    sonar: Sonar,
    secret: str,
) -> None:
    import urllib.request

    tokens = token_server(users={"alice": secret})
    registry = docker_registry(token=tokens)
    sonar.logins({registry.host: f"alice:{secret}"})
    done = sonar("auth", "token", f"{registry.host}/a/b", "--scope", "pull,push", shows_token=True)
    token = done.stdout.strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Length": "0"}
    request = urllib.request.Request(f"{registry.url}/v2/a/b/blobs/uploads/", b"", headers, method="POST")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 202
    scopes = ("--scope", "registry:catalog:*", "--scope", "delete")
    shown = sonar("auth", "token", f"{registry.host}/a/b", *scopes, "-o", "json", shows_token=True).stdout
    assert json.loads(shown)["expiresIn"] == 300
    assert [request.query["scope"] for request in tokens.origin.requests] == [
        ["repository:a/b:pull,push"],
        ["registry:catalog:*", "repository:a/b:delete"],
    ]


def test_token_of_a_registry_without_tokens(registry: Origin, sonar: Sonar, secret: str) -> None:
    sonar.logins({registry.host: f"alice:{secret}"})
    done = sonar("auth", "token", f"{registry.host}/a", code=4)
    assert (done.stdout, "bearer tokens" in done.stderr) == ("", True)
    registry.on("GET", "/v2/", Answer(200, json={}))
    done = sonar("auth", "token", f"{registry.host}/a", code=4)
    assert "asks for no authentication" in done.stderr
