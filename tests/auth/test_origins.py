"""Two origins, recorded on the wire: what opens the first never reaches the second.

ROBUSTNESS, Transport: "credentials and every plugin's header go to the exact origin (scheme, host, port) they were
made for and to no other".
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from sonar_core.auth_types import AuthContext, AuthFlow, Credentials, Grant
from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.errors import SonarError
from sonar_core.hookspecs import AuthScheme, hookimpl
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.testing.scripted import Answer, Origin, Request

SECRETS = {"password": "wonderland-1", "token": "token-2", "key": "api-key-3", "identity": "identity-4"}
BASIC = "Basic " + base64.b64encode(f"alice:{SECRETS['password']}".encode()).decode()
BEARER = f"Bearer {SECRETS['token']}"
CONTENT = b"content of a blob"
DIGEST = Digest.of(CONTENT)


class Blob:
    """CONTENT as the source of an upload."""

    def open(self, offset: int) -> Iterable[bytes]:
        yield CONTENT[offset:]


# All that a stranger may see.
HARMLESS = {
    "accept",
    "accept-encoding",
    "content-length",
    "content-range",
    "content-type",
    "host",
    "range",
    "transfer-encoding",
    "user-agent",
}


class PrivateHeader:
    """A plugin with a scheme of its own, whose proof is a header of its own."""

    @hookimpl
    def sonar_auth_schemes(self) -> Iterable[AuthScheme]:
        def flow(context: AuthContext) -> AuthFlow:
            return Grant({"X-Api-Key": SECRETS["key"]}, expires_in=300)
            yield

        return [AuthScheme("Acme", flow, priority=99)]


@dataclass
class Pair:
    """A registry that lets in who has the right header, with its token server, and a stranger."""

    kind: str
    registry: Origin
    realm: Origin
    stranger: Origin
    client: Client

    def guard(self, method: str, path: str, good: Answer) -> None:
        """`good` for who is let in, the challenge for all others."""
        name, value, challenge = {
            "basic": ("Authorization", BASIC, 'Basic realm="r"'),
            "bearer": ("Authorization", BEARER, f'Bearer realm="{self.realm.url}/token",service="s"'),
            "header": ("X-Api-Key", SECRETS["key"], "Acme"),
        }[self.kind]

        def answer(request: Request) -> Answer:
            return good if request.header(name) == value else Answer(401, {"WWW-Authenticate": challenge})

        self.registry.on(method, path, answer)

    def leads_away(self, method: str, path: str, status: int, target: str = "/elsewhere?x=1") -> None:
        """The registry sends who is let in to the stranger."""
        self.guard(method, path, Answer(status, {"Location": self.stranger.url + target}))

    def check(self) -> None:
        """The stranger got nothing that could be a secret, and nothing that it has no need of."""
        for request in self.stranger.requests:
            names = {name.lower() for name, _ in request.headers}
            assert names <= HARMLESS
            seen = f"{request.target} {request.headers} {request.body!r}"
            assert not [secret for secret in (*SECRETS.values(), BASIC.split()[1]) if secret in seen]


@pytest.fixture(params=["basic", "bearer", "header"])
def pair(request: pytest.FixtureRequest, origins: Callable[..., Origin]) -> Iterable[Pair]:
    registry, realm, stranger = origins(), origins(), origins()
    realm.on("GET", "/token", Answer(200, json={"token": SECRETS["token"]}))
    plugins = Plugins.discover(only=("basic", "bearer", "blobs", "manifests", "tags"))
    if request.param == "header":
        plugins.register(PrivateHeader(), "private-header")
    credentials = Credentials("alice", SECRETS["password"])
    with Client(registry.host, settings=Settings(attempts=1), plugins=plugins, credentials=credentials) as client:
        yield Pair(request.param, registry, realm, stranger, client)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirected_get(pair: Pair, status: int) -> None:
    pair.leads_away("GET", f"/v2/a/blobs/{DIGEST}", status)
    pair.stranger.on("GET", "/elsewhere", Answer(200, body=CONTENT))
    with pair.client.blobs.get("a", DIGEST) as stream:
        assert b"".join(stream) == CONTENT
    assert len(pair.stranger.requests) == 1
    pair.check()


def test_a_stranger_that_asks_for_more_gets_nothing_more(pair: Pair) -> None:
    """A 401 of a redirect's target is not answered with what is meant for the registry."""
    pair.leads_away("GET", f"/v2/a/blobs/{DIGEST}", 307)
    for challenge in ('Basic realm="r"', f'Bearer realm="{pair.stranger.url}/token",service="s"', "Acme"):
        pair.stranger.default = Answer(401, {"WWW-Authenticate": challenge})
        with pytest.raises(SonarError):
            b"".join(pair.client.blobs.get("a", DIGEST))
    assert {request.path for request in pair.stranger.requests} == {"/elsewhere"}
    pair.check()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_a_redirected_write_is_not_followed(pair: Pair, method: str, status: int) -> None:
    pair.leads_away(method, "/v2/a/manifests/v1", status)
    with pytest.raises(SonarError):
        pair.client.request(method, "a/manifests/v1", body=b'{"secret": 1}', headers={"X-Mine": SECRETS["key"]})
    assert pair.stranger.requests == []


def test_an_upload_that_is_taken_elsewhere(pair: Pair) -> None:
    """A `Location` of another origin gets the blob, and no proof of who sends it."""
    pair.leads_away("POST", "/v2/a/blobs/uploads/", 202, "/session?_state=abc")
    created = Answer(201, {"Location": f"/v2/a/blobs/{DIGEST}", "Docker-Content-Digest": str(DIGEST)})
    pair.stranger.on("PUT", "/session", created)
    pair.client.blobs.put("a", DIGEST, Blob(), len(CONTENT))
    (put,) = pair.stranger.requests
    assert (put.body, put.query["_state"]) == (CONTENT, ["abc"])
    pair.check()


def test_an_upload_in_pieces_that_is_taken_elsewhere(pair: Pair) -> None:
    pair.leads_away("POST", "/v2/a/blobs/uploads/", 202, "/session")
    accepted = [Answer(202, {"Location": "/session", "Range": f"0-{end}"}) for end in (7, 15)]
    pair.stranger.on("PATCH", "/session", *accepted)
    pair.stranger.on("PUT", "/session", Answer(201, {"Location": f"/v2/a/blobs/{DIGEST}"}))
    pair.client.blobs.put("a", DIGEST, Blob(), len(CONTENT), chunk=8)
    assert [request.method for request in pair.stranger.requests][:2] == ["PATCH", "PATCH"]
    assert b"".join(request.body for request in pair.stranger.requests) == CONTENT
    pair.check()


def test_a_header_of_a_caller_goes_to_the_registry_alone(pair: Pair) -> None:
    """An endpoint may send a header of its own, as `PRIVATE-TOKEN`: for another origin it is left out."""
    pair.guard("GET", "/v2/a/x", Answer(200, json={}))
    pair.stranger.default = Answer(200, json={})
    mine = {"PRIVATE-TOKEN": SECRETS["key"], "Accept": "application/json"}
    pair.client.request("GET", "a/x", headers=mine).close()
    pair.client.request("GET", f"{pair.stranger.url}/a/x", headers=mine).close()
    assert pair.registry.requests[-1].header("PRIVATE-TOKEN") == SECRETS["key"]
    assert pair.stranger.requests[0].header("Accept") == "application/json"
    pair.check()


def test_a_link_to_another_origin(pair: Pair) -> None:
    page = Answer(200, {"Link": f'<{pair.stranger.url}/v2/a/tags/list?last=b>; rel="next"'}, json={"tags": ["b"]})
    pair.guard("GET", "/v2/a/tags/list", page)
    with pytest.raises(SonarError, match="another origin"):
        list(pair.client.tags.list("a"))
    assert pair.stranger.requests == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_token_server_that_redirects(origins: Callable[..., Origin], status: int) -> None:
    registry, realm, stranger = origins(), origins(), origins()
    challenge = f'Bearer realm="{realm.url}/token",service="s"'
    registry.default = Answer(401, {"WWW-Authenticate": challenge})
    realm.on("GET|POST", "/token", Answer(status, {"Location": f"{stranger.url}/elsewhere"}))
    stranger.default = Answer(200, json={"token": "worthless"})
    for who in (
        Credentials("alice", SECRETS["password"]),
        Credentials("<token>", identity_token=SECRETS["identity"]),
    ):
        plugins = Plugins.discover(only=("bearer",))
        with (
            Client(registry.host, settings=Settings(attempts=1), plugins=plugins, credentials=who) as client,
            pytest.raises(SonarError),
        ):
            client.get_json("a/tags/list")
    assert [request.method for request in realm.requests] == ["GET", "GET", "POST"]
    assert {request.method for request in stranger.requests} == {"GET"}  # the identity token's POST ended there
    Pair("bearer", registry, realm, stranger, client).check()


def test_another_port_and_another_scheme_are_other_origins(pair: Pair, scripted_tls: Origin) -> None:
    """The same host is not enough (GHSA-vh4v-2xq2-g5cg)."""
    for target in (pair.stranger, scripted_tls):
        pair.guard("GET", "/v2/a/x", Answer(307, {"Location": f"{target.url}/elsewhere"}))
        target.default = Answer(200, json={})
        with Client(
            pair.registry.host,
            settings=Settings(insecure=True),
            plugins=pair.client.plugins,
            credentials=Credentials("alice", SECRETS["password"]),
        ) as client:
            client.request("GET", "a/x").close()
        assert [name for name, _ in target.requests[0].headers if name.lower() not in HARMLESS] == []
