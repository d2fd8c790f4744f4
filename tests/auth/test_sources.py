"""Where credentials are found, through the plugin manager as a Client asks it, with real files and variables."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from sonar_core.auth_types import Credentials
from sonar_core.errors import AuthError, SettingsError
from sonar_core.plugins import Plugins
from sonar_core.reference import Registry, Repository
from sonar_core.settings import Settings
from sonar_plugins.credentials.podman import auth_files

ORDER = ("environment", "docker", "podman", "netrc")
SOURCES = tuple(f"credentials-{name}" for name in ORDER)
VARIABLES = (
    "DOCKER_CONFIG",
    "NETRC",
    "REGISTRY_AUTH_FILE",
    "SONAR_AUTH_REGISTRY",
    "SONAR_DISABLE_PLUGINS",
    "SONAR_PASSWORD",
    "SONAR_TOKEN",
    "SONAR_USERNAME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def entry(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def logins(path: Path, **pairs: str) -> Path:
    return write(path, {"auths": {key: entry(pair) for key, pair in pairs.items()}})


def find(name: str, *, disabled: tuple[str, ...] = ()) -> Credentials | None:
    """Who one is at a registry, or at a repository if `name` has a path."""
    repository = Repository.parse(name) if "/" in name.rpartition("://")[2] else None
    registry = repository.registry if repository else Registry.parse(name)
    plugins = Plugins.discover(only=SOURCES, disabled=disabled)
    assert len(plugins) == len(SOURCES)
    return plugins.credentials(registry, repository, Settings())


def who(name: str, **options: Any) -> str | None:
    found = find(name, **options)
    return None if found is None else f"{found.username}:{found.password}"


# ── docker's config.json, and what it shares with podman's ──────────────────────────────────────────────


@pytest.mark.parametrize(
    "key",
    ["https://index.docker.io/v1/", "https://index.docker.io/v1", "index.docker.io", "docker.io", "https://docker.io",
     "registry-1.docker.io", "https://registry-1.docker.io/v2/", "docker.io/v1/"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "docker.io/library/nginx", "nginx"])
def test_docker_hub_has_many_names(home: Path, key: str, name: str) -> None:
    write(home / ".docker/config.json", {"auths": {key: entry("a:b")}})
    assert who("docker.io/library/nginx" if name == "nginx" else name) == "a:b"


@pytest.mark.parametrize(
    "key",
    ["r.example:5000", "https://r.example:5000", "http://r.example:5000/", "https://r.example:5000/v1/",
     "https://r.example:5000/v2/", "r.example:5000/", "R.Example:5000", "https://r.example:5000/team/app"],
)  # fmt: skip
def test_a_key_may_be_an_address(home: Path, key: str) -> None:
    write(home / ".docker/config.json", {"auths": {key: entry("a:b")}})
    assert who("r.example:5000") == "a:b"
    assert who("r.example:5000/team/app") == "a:b"
    assert who("r.example") is None
    assert who("r.example:5001") is None
    assert who("xr.example:5000") is None


def test_the_most_specific_key_counts(home: Path) -> None:
    """containers-auth.json(5): `host/team/app`, then `host/team`, then `host`."""
    auths = {"r.example": "host", "r.example/team": "team", "r.example/team/app": "app", "r.example/v2/x": "odd"}
    write(home / ".docker/config.json", {"auths": {key: entry(f"{name}:p") for key, name in auths.items()}})
    expected = {
        "r.example": "host",
        "r.example/team": "team",
        "r.example/team/app": "app",
        "r.example/team/app/sub": "app",
        "r.example/team/application": "team",
        "r.example/teams": "host",
        "r.example/other/team/app": "host",
        "r.example/v2/x": "odd",
    }
    assert {name: who(name) for name in expected} == {name: f"{user}:p" for name, user in expected.items()}


def test_the_key_that_docker_writes_counts_before_other_spellings(home: Path) -> None:
    auths = {"http://r.example/v1/": entry("old:p"), "r.example": entry("new:p")}
    write(home / ".docker/config.json", {"auths": auths})
    assert who("r.example") == "new:p"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"auth": base64.b64encode(b"a:b:c").decode()}, ("a", "b:c", "", "")),
        ({"auth": base64.b64encode(b"a:b\0\0").decode()}, ("a", "b", "", "")),
        ({"username": "a", "password": "b"}, ("a", "b", "", "")),
        ({**entry("a:"), "identitytoken": "i"}, ("a", "", "i", "")),
        ({"identitytoken": "i"}, ("", "", "i", "")),
        ({"registrytoken": "t"}, ("", "", "", "t")),
    ],
)
def test_the_kinds_of_entries(home: Path, fields: dict[str, str], expected: tuple[str, ...]) -> None:
    write(home / ".docker/config.json", {"auths": {"r.example": fields}})
    found = find("r.example")
    assert found is not None
    assert (found.username, found.password, found.identity_token, found.token) == expected
    assert found.source == "~/.docker/config.json"


@pytest.mark.parametrize("fields", [{}, {"auth": ""}, {"email": "a@b"}, {"auth": None}])
def test_an_empty_entry_is_none(home: Path, fields: dict[str, Any]) -> None:
    """docker writes `{}` where a helper has the secret."""
    write(home / ".docker/config.json", {"auths": {"r.example/a": fields, "r.example": entry("a:b")}})
    assert who("r.example/a") == "a:b"
    write(home / ".docker/config.json", {"auths": {"r.example": fields}})
    assert who("r.example") is None


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "7", '"x"', '{"auths": []}', '{"auths": {"r.example": "s3cret"}}', '{"credHelpers": ["s3cret"]}',
     '{"auths": {"r.example": {"auth": "s3cret"}}}', '{"auths": {"r.example": {"password": ["s3cret"]}}}',
     '{"auths": {"r.example": {"auth": "czNjcmV0"}}}', '{"credsStore": {"s3cret": 1}}', '{"a": s3cret}'],
)  # fmt: skip
def test_a_damaged_file_is_an_error_that_names_it_and_quotes_nothing(home: Path, text: str) -> None:
    write(home / ".docker/config.json", text)
    with pytest.raises(AuthError, match=r"~/\.docker/config\.json") as caught:
        find("r.example")
    assert "s3cret" not in str(caught.value)
    assert "czNj" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", '{"auths": null}', '{"auths": {"other.example": {"auth": "damaged"}}}'])
def test_a_file_with_nothing_for_the_registry_is_nobody(home: Path, text: str) -> None:
    write(home / ".docker/config.json", text)
    assert find("r.example") is None


def test_docker_config_names_the_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logins(home / ".docker/config.json", **{"r.example": "home:p"})
    logins(home / "elsewhere/config.json", **{"r.example": "elsewhere:p"})
    assert who("r.example") == "home:p"
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "elsewhere"))
    assert who("r.example") == "elsewhere:p"


# ── podman's auth.json ──────────────────────────────────────────────────────────────────────────────────


def test_podmans_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """containers-auth.json(5): the run-time directory, then the config directory; or the one that is named."""
    logins(home / ".config/containers/auth.json", **{"r.example": "config:p", "both.example": "config:p"})
    runtime = logins(home / "run/containers/auth.json", **{"both.example": "runtime:p"})
    assert (who("r.example"), who("both.example")) == ("config:p", "runtime:p")
    logins(home / "xdg/containers/auth.json", **{"r.example": "xdg:p"})
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert who("r.example") == "xdg:p"
    named = logins(home / "named.json", **{"r.example": "named:p"})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(named))
    assert (who("r.example"), who("both.example")) == ("named:p", None)
    found = find("r.example")
    assert found is not None
    assert found.source == "~/named.json"
    assert runtime.exists()


def test_podman_without_a_run_time_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert auth_files()[0] == Path(f"/run/containers/{os.getuid()}/auth.json")


# ── the environment ─────────────────────────────────────────────────────────────────────────────────────


def test_the_environment_is_for_one_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONAR_USERNAME", "job")
    monkeypatch.setenv("SONAR_PASSWORD", "p")
    monkeypatch.setenv("SONAR_AUTH_REGISTRY", "R.example:5000")
    found = find("r.example:5000")
    assert found is not None
    assert (found.username, found.password, found.source) == (
        "job",
        "p",
        "the environment (SONAR_USERNAME and SONAR_PASSWORD)",
    )
    assert who("r.example:5000/team/app") == "job:p"
    assert who("r.example") is None
    assert who("docker.io") is None


def test_a_token_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONAR_TOKEN", "t")
    monkeypatch.setenv("SONAR_AUTH_REGISTRY", "index.docker.io")
    found = find("docker.io")
    assert found is not None
    assert (found.username, found.password, found.token) == ("", "", "t")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SONAR_USERNAME": "u", "SONAR_PASSWORD": "s3cret"}, "SONAR_AUTH_REGISTRY"),
        ({"SONAR_TOKEN": "s3cret"}, "SONAR_AUTH_REGISTRY"),
        ({"SONAR_USERNAME": "u", "SONAR_AUTH_REGISTRY": "r.example"}, "SONAR_PASSWORD is not set"),
        ({"SONAR_PASSWORD": "s3cret", "SONAR_AUTH_REGISTRY": "r.example"}, "SONAR_USERNAME is not set"),
        ({"SONAR_TOKEN": "s3cret", "SONAR_USERNAME": "u", "SONAR_AUTH_REGISTRY": "r.example"}, "SONAR_PASSWORD"),
    ],
)
def test_half_of_the_environment_is_an_error(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words) as caught:
        find("r.example")
    assert "s3cret" not in str(caught.value)


# ── .netrc ──────────────────────────────────────────────────────────────────────────────────────────────


def test_netrc_is_for_the_hosts_that_it_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not its `default`: that would send a password to whoever asks."""
    text = (
        "machine r.example login a password b\nmachine o.example:5000 login c password d\ndefault login x password y\n"
    )
    write(home / ".netrc", text)
    assert (who("r.example"), who("r.example:5000"), who("o.example:5000")) == ("a:b", "a:b", "c:d")
    assert who("o.example") is None
    assert who("registry.example") is None
    monkeypatch.setenv("NETRC", str(write(home / "other", "machine registry-1.docker.io login h password i")))
    assert (who("docker.io"), who("r.example")) == ("h:i", None)


def test_a_damaged_netrc_is_named_by_line_and_not_quoted(home: Path) -> None:
    write(home / ".netrc", "machine r.example\nlogin a\npassword b c-s3cret\n")
    with pytest.raises(AuthError, match=r"~/\.netrc is malformed at line \d") as caught:
        find("r.example")
    assert "s3cret" not in str(caught.value)


# ── the order ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_order_and_leaving_sources_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONAR_USERNAME", "environment")
    monkeypatch.setenv("SONAR_PASSWORD", "p")
    monkeypatch.setenv("SONAR_AUTH_REGISTRY", "r.example")
    logins(home / ".docker/config.json", **{"r.example": "docker:p"})
    logins(home / "run/containers/auth.json", **{"r.example": "podman:p"})
    write(home / ".netrc", "machine r.example login netrc password p")
    for count in range(len(ORDER)):
        disabled = tuple(f"credentials-{name}" for name in ORDER[:count])
        assert who("r.example", disabled=disabled) == f"{ORDER[count]}:p"
    monkeypatch.setenv("SONAR_DISABLE_PLUGINS", ",".join(f"credentials-{name}" for name in ORDER[:3]))
    assert who("r.example") == "netrc:p"
    monkeypatch.setenv("SONAR_DISABLE_PLUGINS", ",".join(SOURCES))
    assert who("r.example") is None


def test_a_third_party_comes_before_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from sonar_core.hookspecs import hookimpl

    class Vault:
        @hookimpl(trylast=True)
        def sonar_credentials(self, registry: Registry) -> Credentials | None:
            return Credentials("vault", "p") if registry.host == "r.example" else None

    monkeypatch.setenv("SONAR_USERNAME", "environment")
    monkeypatch.setenv("SONAR_PASSWORD", "p")
    monkeypatch.setenv("SONAR_AUTH_REGISTRY", "r.example")
    plugins = Plugins.discover(only=SOURCES)
    plugins.register(Vault(), "vault")
    found = plugins.credentials(Registry.parse("r.example"), None, Settings())
    assert found is not None
    assert found.username == "vault"
