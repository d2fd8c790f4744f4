"""Debian's docker-registry, with passwords (htpasswd, bcrypt) and with signed tokens that it verifies."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from sonar_core.auth import push as push_scope
from sonar_core.auth_types import Credentials
from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.errors import AuthError, Unauthorized
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from tests.auth.conftest import Sonar
from tests.support import images
from tests.support.docker_registry import DockerRegistry
from tests.support.push import push
from tests.support.tokens import TokenServer

pytestmark = pytest.mark.real


# ── Basic ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Guarded:
    """A registry with the user alice, who has pushed an image to `app:v1`."""

    host: str
    password: str
    image: images.Image


@pytest.fixture
def guarded(docker_registry: Callable[..., DockerRegistry], sonar: Sonar) -> Guarded:
    password = sonar.secret()
    registry = docker_registry(htpasswd={"alice": password})
    sonar.logins({registry.host: f"alice:{password}"})
    done = Guarded(registry.host, password, images.image())
    for blob in done.image.blobs:
        (sonar.home / "blob").write_bytes(blob.data)
        assert sonar("blob", "put", f"{done.host}/app", "blob").stdout.strip() == blob.digest
    (sonar.home / "manifest").write_bytes(done.image.manifest.data)
    sonar("manifest", "put", f"{done.host}/app:v1", "manifest")
    return done


def test_basic_lists_pulls_and_pushes(guarded: Guarded, sonar: Sonar) -> None:
    blob = guarded.image.blobs[-1]
    assert sonar("repo", "ls", guarded.host).stdout == "app\n"
    assert sonar("tag", "ls", f"{guarded.host}/app").stdout == "v1\n"
    sonar("blob", "get", f"{guarded.host}/app@{blob.digest}", "-O", "pulled")
    assert (sonar.home / "pulled").read_bytes() == blob.data
    assert "Basic" in sonar("check", guarded.host).stdout


def test_a_wrong_password_names_where_it_came_from(guarded: Guarded, sonar: Sonar) -> None:
    sonar.logins({guarded.host: f"alice:{sonar.secret()}"})
    for command in (("tag", "ls", f"{guarded.host}/app"), ("check", guarded.host), ("repo", "ls", guarded.host)):
        done = sonar(*command, code=4)
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert "401" in done.stderr
        assert "~/.docker/config.json" in done.stderr


def test_no_credentials_say_how_to_log_in(guarded: Guarded, sonar: Sonar) -> None:
    sonar.docker_config.unlink()
    done = sonar("tag", "ls", f"{guarded.host}/app", code=4)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"sonar auth login {guarded.host}" in done.stderr


def test_every_source_opens_it(guarded: Guarded, sonar: Sonar) -> None:
    sonar.docker_config.unlink()
    command = ("tag", "ls", f"{guarded.host}/app")
    variables = {"SONAR_USERNAME": "alice", "SONAR_PASSWORD": guarded.password, "SONAR_AUTH_REGISTRY": guarded.host}
    assert sonar(*command, environment=variables).stdout == "v1\n"
    (sonar.home / ".netrc").write_text(f"machine 127.0.0.1 login alice password {guarded.password}\n")
    assert sonar(*command).stdout == "v1\n"
    sonar(*command, environment={"SONAR_DISABLE_PLUGINS": "credentials-netrc"}, code=4)


# ── Bearer ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Town:
    """A registry, its token server with the user alice, and an image of hers in `team/app:v1`."""

    registry: DockerRegistry
    tokens: TokenServer
    password: str
    image: images.Image

    @property
    def host(self) -> str:
        return self.registry.host

    def scopes(self) -> list[list[str]]:
        """What was asked of the token server, request by request."""
        return [request.query.get("scope", []) for request in self.tokens.origin.requests]


@pytest.fixture
def town(
    docker_registry: Callable[..., DockerRegistry], token_server: Callable[..., TokenServer], sonar: Sonar
) -> Town:
    password = sonar.secret()
    tokens = token_server(users={"alice": password})
    made = Town(docker_registry(token=tokens), tokens, password, images.image())
    everything = tokens.token(["repository:team/app:pull,push"], "alice")
    push(made.registry.url, "team/app", "v1", made.image, authorization=f"Bearer {everything}")
    return made


@pytest.fixture
def logged_in(town: Town, sonar: Sonar) -> Town:
    sonar.logins({town.host: f"alice:{town.password}"})
    return town


def test_anonymous_pull(town: Town, sonar: Sonar) -> None:
    blob = town.image.blobs[-1]
    assert sonar("tag", "ls", f"{town.host}/team/app").stdout == "v1\n"
    sonar("blob", "get", f"{town.host}/team/app@{blob.digest}", "-O", "pulled")
    assert (sonar.home / "pulled").read_bytes() == blob.data
    assert town.scopes() == [["repository:team/app:pull"]] * 2
    assert all(request.header("Authorization") is None for request in town.tokens.origin.requests)


def test_anonymous_push_is_refused(town: Town, sonar: Sonar) -> None:
    (sonar.home / "blob").write_bytes(b"content")
    done = sonar("blob", "put", f"{town.host}/team/app", "blob", code=4)
    assert f"sonar auth login {town.host}" in done.stderr
    assert len(town.scopes()) <= 2


def test_a_user_pulls_pushes_and_deletes(logged_in: Town, sonar: Sonar) -> None:
    name = f"{logged_in.host}/team/app"
    assert sonar("tag", "ls", name).stdout == "v1\n"
    (sonar.home / "blob").write_bytes(b"content")
    digest = sonar("blob", "put", name, "blob").stdout.strip()
    sonar("blob", "head", f"{name}@{digest}")
    sonar("blob", "rm", f"{name}@{digest}")
    sonar("blob", "head", f"{name}@{digest}", code=3)
    pull, push, delete = (f"repository:team/app:{actions}" for actions in ("pull", "pull,push", "pull,delete"))
    assert [scope for (scope,) in logged_in.scopes()] == [pull, push, pull, delete, pull]
    asked = logged_in.tokens.origin.requests
    assert {(r.query["account"][0], r.query["service"][0], r.query["client_id"][0]) for r in asked} == {
        ("alice", logged_in.tokens.service, "sonar")
    }


def test_the_catalog_has_a_scope_of_its_own(logged_in: Town, sonar: Sonar) -> None:
    assert sonar("repo", "ls", logged_in.host).stdout == "team/app\n"
    assert logged_in.scopes() == [["registry:catalog:*"]]
    sonar.docker_config.unlink()
    assert "sonar auth login" in sonar("repo", "ls", logged_in.host, code=4).stderr


def test_a_mount_asks_for_both_repositories_at_once(logged_in: Town, sonar: Sonar) -> None:
    blob = logged_in.image.blobs[-1]
    target = f"{logged_in.host}/other/place"
    sonar("blob", "mount", f"{target}@{blob.digest}", "--from", f"{logged_in.host}/team/app")
    assert logged_in.scopes()[0] == ["repository:other/place:pull,push", "repository:team/app:pull"]
    sonar("blob", "get", f"{target}@{blob.digest}", "-O", "pulled")
    assert (sonar.home / "pulled").read_bytes() == blob.data


def test_a_wrong_password_at_the_token_server(town: Town, sonar: Sonar) -> None:
    sonar.logins({town.host: f"alice:{sonar.secret()}"})
    done = sonar("tag", "ls", f"{town.host}/team/app", code=4)
    assert "~/.docker/config.json" in done.stderr
    assert len(town.scopes()) == 1


def test_an_identity_token_opens_it(town: Town, sonar: Sonar) -> None:
    identity = town.tokens.refresh_token("alice")
    sonar.secrets.append(identity)
    sonar.logins({town.host: {"identitytoken": identity}})
    (sonar.home / "blob").write_bytes(b"content")
    sonar("blob", "put", f"{town.host}/team/app", "blob")
    assert {request.method for request in town.tokens.origin.requests} == {"POST"}
    (form,) = {tuple(request.form["scope"]) for request in town.tokens.origin.requests}
    assert form == ("repository:team/app:pull,push",)


@pytest.mark.parametrize("fields", [("token",), ("access_token",)])
def test_either_name_of_the_token(
    docker_registry: Callable[..., DockerRegistry],
    token_server: Callable[..., TokenServer],
    sonar: Sonar,
    fields: tuple[str, ...],
) -> None:
    tokens = token_server(fields=fields, expires_in=None)
    registry = docker_registry(token=tokens, storage="inmemory")
    sonar("tag", "ls", f"{registry.host}/nothing", code=3)
    assert len(tokens.origin.requests) == 1


def test_an_upload_that_outlives_many_tokens(
    docker_registry: Callable[..., DockerRegistry], token_server: Callable[..., TokenServer]
) -> None:
    """A token lives 3 seconds and the upload takes 5: it gets new ones as it goes."""
    tokens = token_server(users={"alice": "pw"}, life=3)
    registry = docker_registry(token=tokens)
    content, pieces, pause = images.noise(2_000_000), 10, 0.5
    size = len(content) // pieces

    class Slow:
        def open(self, offset: int) -> Iterator[bytes]:
            for start in range(offset, len(content), size):
                time.sleep(pause)
                yield content[start : start + size]

    with Client(
        registry.host,
        settings=Settings(),
        plugins=Plugins.discover(only=("basic", "bearer", "blobs")),
        credentials=Credentials("alice", "pw"),
    ) as client:
        digest = Digest.of(content)
        client.blobs.put("slow/upload", digest, Slow(), len(content), chunk=2 * size)
        with client.blobs.get("slow/upload", digest) as stream:
            assert b"".join(stream) == content
    assert len(re.findall(r'"PATCH /v2/slow/upload/\S+ HTTP/1.1" 202', registry.log)) == 5
    assert len(tokens.origin.requests) >= 3  # to push, to push on, to pull


def test_a_token_that_the_registry_drops_early_is_replaced_in_the_middle(
    docker_registry: Callable[..., DockerRegistry], token_server: Callable[..., TokenServer]
) -> None:
    """The answer says 300 s, and the registry refuses the token after 2: the 401 before the next piece is answered."""
    tokens = token_server(users={"alice": "pw"}, life=2, expires_in=300)
    registry = docker_registry(token=tokens)
    content = images.noise(400_000)

    class Slow:
        def open(self, offset: int) -> Iterator[bytes]:
            for start in range(offset, len(content), 100_000):
                time.sleep(1.2)
                yield content[start : start + 100_000]

    plugins = Plugins.discover(only=("basic", "bearer", "blobs"))
    with Client(registry.host, settings=Settings(), plugins=plugins, credentials=Credentials("alice", "pw")) as client:
        digest = Digest.of(content)
        client.blobs.put("slow/upload", digest, Slow(), len(content), chunk=100_000)
        assert client.blobs.head("slow/upload", digest).size == len(content)
    assert len(re.findall(r'"(?:PATCH|PUT) /v2/slow/upload/\S+ HTTP/1.1" 401', registry.log)) >= 1


def test_a_client_that_keeps_failing_asks_for_two_tokens(
    docker_registry: Callable[..., DockerRegistry], token_server: Callable[..., TokenServer]
) -> None:
    """ROBUSTNESS: "A client that keeps failing asks for at most two tokens", however often it is used."""
    tokens = token_server(life=-1, expires_in=300)
    registry = docker_registry(token=tokens, storage="inmemory")
    plugins = Plugins.discover(only=("bearer", "tags"))
    with Client(registry.host, settings=Settings(), plugins=plugins) as client:
        for _ in range(5):
            with pytest.raises(Unauthorized, match="it asks for Bearer"):
                list(client.tags.list("some/where"))
    assert len(tokens.origin.requests) == 2


def test_scopes_that_are_not_given_are_learned_from_the_challenge(
    docker_registry: Callable[..., DockerRegistry], token_server: Callable[..., TokenServer]
) -> None:
    """Not from the first one: GHCR's for `/v2/` names a repository that does not exist."""
    tokens = token_server(users={"alice": "pw"})
    registry = docker_registry(token=tokens)
    push(
        registry.url,
        "a/b",
        "v1",
        images.image(),
        authorization=f"Bearer {tokens.token(['repository:a/b:pull,push'], 'alice')}",
    )
    with Client(registry.host, settings=Settings(), plugins=Plugins.discover(only=("bearer",))) as client:
        assert client.get_json("a/b/tags/list")["tags"] == ["v1"]
    assert [request.query.get("scope") for request in tokens.origin.requests] == [None, ["repository:a/b:pull"]]


def test_without_its_scheme_the_error_says_which_is_missing(
    docker_registry: Callable[..., DockerRegistry], token_server: Callable[..., TokenServer]
) -> None:
    registry = docker_registry(token=token_server(), storage="inmemory")
    with (
        Client(registry.host, settings=Settings(), plugins=Plugins.discover(only=("basic",))) as client,
        pytest.raises(AuthError, match=r"bearer.*sonar plugin ls"),
    ):
        client.request("GET", "a/blobs/uploads/", scopes=[push_scope("a")])
