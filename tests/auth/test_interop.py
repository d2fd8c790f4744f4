"""Logins shared with other programs: skopeo's files, and docker's credential helpers."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.auth.conftest import Sonar
from tests.support import images
from tests.support.docker_registry import DockerRegistry
from tests.support.processes import require
from tests.support.push import push
from tests.support.skopeo import Skopeo

pytestmark = pytest.mark.real


@pytest.fixture
def secret(sonar: Sonar) -> str:
    return sonar.secret()


@pytest.fixture
def registry(docker_registry: Callable[..., DockerRegistry], secret: str) -> DockerRegistry:
    """A registry with the user alice, who has an image at `app:v1`."""
    started = docker_registry(htpasswd={"alice": secret})
    authorization = "Basic " + base64.b64encode(f"alice:{secret}".encode()).decode()
    push(started.url, "app", "v1", images.image(), authorization=authorization)
    return started


def login(sonar: Sonar, host: str, secret: str) -> subprocess.CompletedProcess[str]:
    return sonar("auth", "login", host, "-u", "alice", "--password-stdin", stdin=secret)


# ── skopeo ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_login_by_sonar_works_for_skopeo(registry: DockerRegistry, skopeo: Skopeo, sonar: Sonar, secret: str) -> None:
    name = f"{registry.host}/app:v1"
    assert skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}", check=False).returncode != 0
    login(sonar, registry.host, secret)
    named = ("--authfile", str(sonar.docker_config))
    assert skopeo.raw(name, *named) == images.image().manifest.data
    # The same file, where skopeo looks for it without being told.
    (skopeo.home / ".docker").symlink_to(sonar.docker_config.parent)
    who = ["skopeo", "login", "--get-login", registry.host]
    plain = {"PATH": os.environ["PATH"], "HOME": str(skopeo.home), "XDG_RUNTIME_DIR": str(skopeo.home)}
    done = subprocess.run(who, env=plain, capture_output=True, check=True)
    assert done.stdout.strip() == b"alice"


@pytest.mark.parametrize("place", ["REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "docker"])
def test_a_login_by_skopeo_works_for_sonar(
    registry: DockerRegistry, skopeo: Skopeo, sonar: Sonar, secret: str, place: str
) -> None:
    file = {
        "REGISTRY_AUTH_FILE": sonar.home / "named.json",
        "XDG_RUNTIME_DIR": sonar.home / "run" / "containers" / "auth.json",
        "docker": sonar.docker_config,
    }[place]
    file.parent.mkdir(parents=True, exist_ok=True)
    options = ("--authfile", str(file), "--tls-verify=false", "-u", "alice", "--password-stdin")
    skopeo("login", *options, registry.host, stdin=secret.encode())
    environment = {"REGISTRY_AUTH_FILE": str(file)} if place == "REGISTRY_AUTH_FILE" else {}
    assert sonar("tag", "ls", f"{registry.host}/app", environment=environment).stdout == "v1\n"
    shown = sonar("auth", "whoami", registry.host, environment=environment).stdout
    assert f"~/{file.relative_to(sonar.home)}" in shown


def test_logins_by_both_in_one_file_and_each_is_removed_alone(
    registry: DockerRegistry, skopeo: Skopeo, sonar: Sonar, secret: str
) -> None:
    login(sonar, registry.host, secret)
    by_sonar = json.loads(sonar.docker_config.read_text())["auths"][registry.host]
    named = ("--authfile", str(sonar.docker_config), "--tls-verify=false")
    skopeo("login", *named, "-u", "alice", "--password-stdin", f"{registry.host}/app", stdin=secret.encode())
    both = json.loads(sonar.docker_config.read_text())["auths"]
    assert both == {registry.host: by_sonar, f"{registry.host}/app": by_sonar}
    sonar("auth", "logout", registry.host)
    assert list(json.loads(sonar.docker_config.read_text())["auths"]) == [f"{registry.host}/app"]
    sonar("repo", "ls", registry.host, code=4)
    assert sonar("tag", "ls", f"{registry.host}/app").stdout == "v1\n"
    login(sonar, registry.host, secret)
    skopeo("logout", "--authfile", str(sonar.docker_config), f"{registry.host}/app")
    assert list(json.loads(sonar.docker_config.read_text())["auths"]) == [registry.host]
    assert sonar("repo", "ls", registry.host).stdout == "app\n"


# ── docker-credential-pass, with gpg ────────────────────────────────────────────────────────────────────


@pytest.fixture
def keychain(sonar: Sonar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`pass` with a key that has no passphrase, as the credential store of docker's config.json."""
    for program in ("docker-credential-pass", "gpg", "pass"):
        require(program)
    home = tmp_path_factory.mktemp("g")  # short: gpg-agent's socket lies in it
    home.chmod(0o700)
    sonar.environment |= {"GNUPGHOME": str(home), "PASSWORD_STORE_DIR": str(sonar.home / "store")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(sonar.home), **sonar.environment}

    def run(*command: str) -> None:
        subprocess.run(command, env=environment, check=True, capture_output=True)

    run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", "tester@example.com", "default", "default")
    run("pass", "init", "tester@example.com")
    sonar.logins({"r.example": "bob:b"}, credsStore="pass")
    yield
    run("gpgconf", "--kill", "all")


def test_a_real_credential_helper(registry: DockerRegistry, sonar: Sonar, secret: str, keychain: None) -> None:
    sonar("tag", "ls", f"{registry.host}/app", code=4)
    done = login(sonar, registry.host, secret)
    assert (done.stdout, done.stderr) == (
        f"logged in to {registry.host} as alice, kept in docker-credential-pass\n",
        "",
    )
    assert list(json.loads(sonar.docker_config.read_text())["auths"]) == ["r.example"]
    assert not [path for path in sonar.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert sonar("tag", "ls", f"{registry.host}/app").stdout == "v1\n"
    shown = json.loads(sonar("auth", "whoami", registry.host, "-o", "json").stdout)
    assert (shown["username"], shown["source"]) == (
        "alice",
        "docker-credential-pass (named by ~/.docker/config.json)",
    )
    # What the helper does not have is looked for in the file, as other clients that share it do.
    assert json.loads(sonar("auth", "whoami", "r.example", "-o", "json").stdout)["username"] == "bob"
    assert "docker-credential-pass" in sonar("auth", "logout", registry.host).stdout
    sonar("auth", "whoami", registry.host, code=4)
    assert list(json.loads(sonar.docker_config.read_text())["auths"]) == ["r.example"]


def test_a_keychain_that_cannot_be_opened_is_an_error(
    registry: DockerRegistry, sonar: Sonar, secret: str, keychain: None
) -> None:
    login(sonar, registry.host, secret)
    done = sonar("tag", "ls", f"{registry.host}/app", code=4, environment={"GNUPGHOME": str(sonar.home / "nowhere")})
    assert len(done.stderr.splitlines()) == 1
    assert "docker-credential-pass" in done.stderr
    assert "~/.docker/config.json" in done.stderr


# ── a helper of our own that speaks the protocol ────────────────────────────────────────────────────────

_HELPER = """#!/bin/sh
# docker-credential-helpers' protocol over one file for each server.
cd "$HOME/kept" || exit 1
case "$1" in
store) cat > incoming && mv incoming "$(sed 's/.*"ServerURL": *"\\([^"]*\\)".*/\\1/' incoming | tr / _)" ;;
get) read -r server; cat "$(echo "$server" | tr / _)" 2> /dev/null && exit
     echo "credentials not found in native keychain"; exit 1 ;;
erase) read -r server; rm -f "$(echo "$server" | tr / _)" ;;
esac
"""


@pytest.fixture
def helper(sonar: Sonar) -> Path:
    (sonar.home / "kept").mkdir()
    script = sonar.home / "bin" / "docker-credential-files"
    script.parent.mkdir()
    script.write_text(_HELPER)
    script.chmod(0o755)
    sonar.environment["PATH"] = f"{script.parent}:{os.environ['PATH']}"
    return sonar.home / "kept"


def test_a_helper_for_one_registry(registry: DockerRegistry, sonar: Sonar, secret: str, helper: Path) -> None:
    """`credHelpers` is for its registry alone, and an older plain-text login does not stay beside it."""
    sonar.logins({registry.host: "alice:old"}, credHelpers={registry.host: "files"})
    login(sonar, registry.host, secret)
    assert json.loads((helper / registry.host).read_text()) == {
        "ServerURL": registry.host,
        "Username": "alice",
        "Secret": secret,
    }
    assert json.loads(sonar.docker_config.read_text()) == {"auths": {}, "credHelpers": {registry.host: "files"}}
    assert sonar("tag", "ls", f"{registry.host}/app").stdout == "v1\n"
    sonar("auth", "logout", registry.host)
    assert list(helper.iterdir()) == []


def test_docker_hub_is_asked_for_by_its_old_address(sonar: Sonar, helper: Path) -> None:
    sonar.logins({}, credsStore="files")
    (helper / "https:__index.docker.io_v1_").write_text('{"Username": "<token>", "Secret": "hub-secret"}')
    sonar.secrets.append("hub-secret")
    shown = json.loads(sonar("auth", "whoami", "docker.io", "-o", "json").stdout)
    assert (shown["kind"], shown["source"]) == (
        "identity token",
        "docker-credential-files (named by ~/.docker/config.json)",
    )
