"""Passwords that run out, as clouds and vaults give them: the source is asked again, once each has been good."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import pytest

from sonar_core.auth_types import Credentials
from sonar_core.client import Client
from sonar_core.errors import AuthError, SonarError, Unauthorized
from sonar_core.hookspecs import hookimpl
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.testing.scripted import Answer, Origin, Request

TAGS = Answer(200, json={"tags": ["v1"]})


class Vault:
    """A source that makes up a new password each time it is asked, until it has no more."""

    def __init__(self, *passwords: str) -> None:
        self.left = list(passwords)
        self.asked = 0

    @hookimpl
    def sonar_credentials(self) -> Credentials:
        self.asked += 1
        return Credentials("robot", self.left.pop(0) if len(self.left) > 1 else self.left[0], source="the vault")


@pytest.fixture
def connect() -> Iterator[Callable[[str, Vault], Client]]:
    opened: list[Client] = []

    def make(host: str, vault: Vault) -> Client:
        plugins = Plugins.discover(only=("basic", "bearer", "tags"))
        plugins.register(vault, "vault")
        opened.append(Client(host, settings=Settings(), plugins=plugins))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


def proof(password: str) -> str:
    return "Basic " + base64.b64encode(f"robot:{password}".encode()).decode()


def by_password(origin: Origin, good: Callable[[], str]) -> None:
    """The registry takes the password that is good at the moment."""

    def answer(request: Request) -> Answer:
        if request.header("Authorization") == proof(good()):
            return TAGS
        return Answer(401, {"WWW-Authenticate": 'Basic realm="r"'})

    origin.default = answer


def test_a_password_that_ran_out_is_asked_for_again(scripted: Origin, connect: Callable[..., Client]) -> None:
    """ECR's passwords live for 12 hours, those of gcloud for one."""
    good = ["p1"]
    by_password(scripted, lambda: good[-1])
    vault = Vault("p1", "p2")
    client = connect(scripted.host, vault)
    assert list(client.tags.list("a")) == ["v1"]
    good.append("p2")
    assert list(client.tags.list("a")) == ["v1"]
    assert list(client.tags.list("a")) == ["v1"]
    assert vault.asked == 2
    sent = [request.header("Authorization") for request in scripted.requests]
    assert sent == [None, proof("p1"), proof("p1"), proof("p2"), proof("p2")]


def test_a_password_that_never_was_good_is_not(scripted: Origin, connect: Callable[..., Client]) -> None:
    by_password(scripted, lambda: "other")
    vault = Vault("p1", "p2")
    client = connect(scripted.host, vault)
    for _ in range(2):
        with pytest.raises(Unauthorized, match="the vault"):
            list(client.tags.list("a"))
    assert vault.asked == 1


def test_a_source_that_says_the_same_again_is_believed(scripted: Origin, connect: Callable[..., Client]) -> None:
    good = ["p1"]
    by_password(scripted, lambda: good[-1])
    vault = Vault("p1")
    client = connect(scripted.host, vault)
    assert list(client.tags.list("a")) == ["v1"]
    good.append("p2")
    for _ in range(3):
        with pytest.raises(Unauthorized):
            list(client.tags.list("a"))
    assert vault.asked == 2
    assert [request.header("Authorization") for request in scripted.requests].count(proof("p1")) == 4


def test_a_token_server_that_no_longer_takes_the_password(
    origins: Callable[..., Origin], connect: Callable[..., Client]
) -> None:
    registry, realm = origins(), origins()
    good = ["p1"]
    given: list[str] = []

    def give(request: Request) -> Answer:
        if request.header("Authorization") != proof(good[-1]):
            return Answer(401)
        given.append(f"t{len(given)}")
        return Answer(200, json={"token": given[-1], "expires_in": 300})

    def answer(request: Request) -> Answer:
        if given and request.header("Authorization") == f"Bearer {given[-1]}":
            return TAGS
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm.url}/token",service="s"'})

    realm.default = give
    registry.default = answer
    vault = Vault("p1", "p2", "p3")
    client = connect(registry.host, vault)
    assert list(client.tags.list("a")) == ["v1"]
    good.append("p2")
    given.append("revoked")
    assert list(client.tags.list("a")) == ["v1"]
    assert (vault.asked, len(realm.requests)) == (2, 3)
    good.append("none")
    given.append("revoked")
    with pytest.raises(AuthError, match="the vault"):
        list(client.tags.list("a"))
    with pytest.raises(SonarError):
        list(client.tags.list("a"))
    assert vault.asked == 3
