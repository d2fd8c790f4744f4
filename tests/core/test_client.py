"""Client: one registry, spoken to. Pages, JSON, who is sent what, and what is closed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from sonar_core.auth import pull
from sonar_core.auth_types import Credentials
from sonar_core.client import Client
from sonar_core.errors import (
    ConnectionFailed,
    Forbidden,
    NotFound,
    PluginError,
    ProtocolError,
    RateLimited,
    ResponseError,
    Unauthorized,
    Unsupported,
    UsageError,
)
from sonar_core.hookspecs import hookimpl
from sonar_core.plugins import Plugins
from sonar_core.reference import Registry
from sonar_core.settings import Settings
from sonar_core.testing.scripted import CLOSE, Answer, Origin, Request, error

if TYPE_CHECKING:
    from collections.abc import Callable


def page(items: list[object], link: str | None = None) -> Answer:
    return Answer(200, {"Link": link} if link else {}, json={"tags": items})


# ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "link",
    [
        '</v2/a/tags/list?last=b>; rel="next"',
        "</v2/a/tags/list?last=b>; rel=next",
        '<{url}/v2/a/tags/list?last=b>; rel="next"',
        '<list?last=b>; rel="prev next"',
        '</elsewhere>; rel="prev", </v2/a/tags/list?last=b>; title="a, b"; rel="next"',
    ],
)
def test_pages_are_followed(link: str, scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/a/tags/list", page(["a", None, "b"], link.format(url=scripted.url)))
    scripted.on("GET", "/v2/a/tags/list?last=b", page(["c"]))
    assert list(clients(scripted.host).paginate("a/tags/list", "tags")) == ["a", "b", "c"]
    assert scripted.connections == 1


def test_a_page_is_asked_for_when_the_one_before_is_used_up(scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/a/tags/list", page(["a", "b"], "</v2/a/tags/list?last=b>; rel=next"))
    scripted.on("GET", "/v2/a/tags/list?last=b", page(["c"]))
    items = clients(scripted.host).paginate("a/tags/list", "tags")
    assert scripted.requests == []
    assert [next(items), next(items)] == ["a", "b"]
    assert len(scripted.requests) == 1
    assert next(items) == "c"


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("</v2/a/tags/list>; rel=next", "loops"),
        ("<http://127.0.0.1:1/v2/a/tags/list?x>; rel=next", "is at another origin"),
        ("<//evil.example/v2/>; rel=next", "is at another origin"),
        ("<https://{host}/v2/a/tags/list?x>; rel=next", "is at another origin"),
        ("<http://[::1>; rel=next", "malformed"),
        ("<javascript:alert(1)>; rel=next", "is not an http or https address"),
        ("<http://u:p@{host}/x>; rel=next", "user info"),
    ],
)
def test_a_link_that_is_not_followed(link: str, words: str, scripted: Origin, clients: Callable[..., Client]) -> None:
    """What came before it was given out; then the list fails, for it is not complete."""
    scripted.on("GET", "/v2/a/tags/list", page(["a"], link.format(host=scripted.host)))
    items = clients(scripted.host).paginate("a/tags/list", "tags")
    assert next(items) == "a"
    with pytest.raises(ProtocolError, match=words):
        next(items)
    assert len(scripted.requests) == 1


def test_pages_are_counted(scripted: Origin, clients: Callable[..., Client]) -> None:
    def endless(request: Request) -> Answer:
        number = int(request.query.get("last", ["0"])[0]) + 1
        return page([str(number)], f"</v2/a/tags/list?last={number}>; rel=next")

    scripted.on("GET", "/v2/a/tags/list", endless)
    with pytest.raises(ProtocolError, match="has more than 5 pages"):
        list(clients(scripted.host, pages=5).paginate("a/tags/list", "tags"))
    assert len(scripted.requests) == 5


@pytest.mark.parametrize("document", [{}, {"tags": "a"}, {"tags": {}}, {"tags": 0}, ["a"], "a", 5, None])
def test_a_list_that_is_none(document: object, scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json=document))
    with pytest.raises(ProtocolError, match="has no list 'tags'"):
        list(clients(scripted.host).paginate("a/tags/list", "tags"))


def test_null_is_an_empty_list(scripted: Origin, clients: Callable[..., Client]) -> None:
    """Nexus says null."""
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"tags": None}))
    assert list(clients(scripted.host).paginate("a/tags/list", "tags")) == []


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, {"Content-Type": "text/html"}, body=b"Log in"), "answered with a page of HTML where data belongs"),
        (Answer(200, body=b"  <!doctype html>"), "a proxy or a log-in page stands between"),
        (Answer(200, body=b'{"a": '), "not valid JSON"),
        (Answer(200, body=b""), "not valid JSON"),
        (Answer(200, body=b"[" * 100_000), "JSON"),
        (Answer(200, body=b'"' + b"x" * 2000 + b'"'), "longer than the 1000 bytes"),
    ],
)
def test_what_is_no_json(answer: Answer, words: str, scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/x", answer)
    limit = 1000 if b"xxx" in answer.body else 10**6
    with pytest.raises(ProtocolError, match=words):
        clients(scripted.host, answer_bytes=limit).get_json("x")


def test_a_body_that_breaks_off_is_asked_for_again(scripted: Origin, clients: Callable[..., Client]) -> None:
    whole = Answer(200, json={"a": "b" * 100})
    scripted.on("GET", "/v2/x", Answer(200, body=whole.content, cut=20, then="close"), CLOSE, whole)
    assert clients(scripted.host).get_json("x") == {"a": "b" * 100}
    assert len(scripted.requests) == 3


def test_a_body_that_always_breaks_off(scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/x", Answer(200, body=b"x" * 100, cut=20, then="close"))
    with pytest.raises(ConnectionFailed, match="the body broke off"):
        clients(scripted.host, attempts=3).fetch("x")
    assert len(scripted.requests) == 3


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(401, "UNAUTHORIZED"), Unauthorized),
        (error(403, "DENIED"), Forbidden),
        (error(404, "MANIFEST_UNKNOWN"), NotFound),
        (error(405, "UNSUPPORTED"), Unsupported),
        (error(400, "UNSUPPORTED"), Unsupported),
        (error(429, "TOOMANYREQUESTS"), RateLimited),
        (error(400, "NAME_INVALID"), ResponseError),
        (Answer(302), ResponseError),
        (Answer(206), ResponseError),
    ],
)
def test_errors_by_class(
    answer: Answer, kind: type[ResponseError], scripted: Origin, clients: Callable[..., Client]
) -> None:
    scripted.on("GET", "/v2/x?n=5&sig=secret", answer)
    with pytest.raises(ResponseError) as caught:
        clients(scripted.host, attempts=1).request("GET", "x?n=5&sig=secret")
    assert type(caught.value) is kind
    assert caught.value.status == answer.status
    assert caught.value.url == f"{scripted.url}/v2/x?n=5&sig=…"
    assert "secret" not in str(caught.value)


def test_other_statuses_may_be_expected(scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/x", Answer(404, json={}))
    with clients(scripted.host).request("GET", "x", expect=(200, 404)) as response:
        assert response.status == 404


def test_errors_give_their_connection_back(scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/x", error(404, "NAME_UNKNOWN"))
    scripted.on("HEAD", "/v2/x", Answer(404))
    client = clients(scripted.host)
    for method in ("GET", "HEAD") * 3:
        with pytest.raises(NotFound):
            client.request(method, "x")
    assert scripted.connections == 1


def test_a_tag_that_is_not_there_says_how_to_list_those_that_are(
    scripted: Origin, clients: Callable[..., Client]
) -> None:
    scripted.default = error(404, "MANIFEST_UNKNOWN")
    client = clients(scripted.host)
    with pytest.raises(NotFound) as caught:
        client.request("HEAD", "team/app/manifests/v9")
    assert caught.value.hint == f"sonar tag ls {scripted.host}/team/app shows which tags there are"
    for path in ("team/app/manifests/sha256:" + 64 * "a", "team/app/tags/list"):
        with pytest.raises(NotFound) as caught:
            client.request("GET", path)
        assert caught.value.hint is None


def test_an_error_in_telling_the_error_leaves_no_connection(scripted: Origin, clients: Callable[..., Client]) -> None:
    """Saying where the credentials came from may fail itself."""

    class Failing:
        @hookimpl
        def sonar_credentials(self) -> None:
            raise OSError

    plugins = Plugins()
    plugins.register(Failing(), "failing")
    scripted.on("GET", "/v2/x", error(403, "DENIED"))
    scripted.on("GET", "/v2/y", Answer(200, json=1))
    client = clients(scripted.host, plugins=plugins)
    with pytest.raises(PluginError):
        client.request("GET", "x")
    assert client.get_json("y") == 1


# ── who is sent what ────────────────────────────────────────────────────────────────────────────────────────


def test_given_credentials_are_used(scripted: Origin) -> None:
    def guarded(request: Request) -> Answer:
        expected = "Basic " + base64.b64encode(b"alice:wonder").decode()
        if request.header("Authorization") == expected:
            return Answer(200, json="in")
        return Answer(401, {"WWW-Authenticate": "Basic realm=x"})

    scripted.on("GET", "/v2/x", guarded)
    plugins = Plugins.discover(only=("basic",))
    credentials = Credentials("alice", "wonder", source="the test")
    with Client(scripted.host, settings=Settings(), plugins=plugins, credentials=credentials) as client:
        assert client.get_json("x", scopes=[pull("x")]) == "in"
        assert client.auth.credentials() is credentials
    assert scripted.connections == 1, "a refusal keeps its connection"


def test_another_origin_gets_nothing_of_ours(origins: Callable[..., Origin]) -> None:
    """An upload Location may lead to a blob store: it gets what it needs, and no credentials; its 401 is its own."""
    home, store = origins(), origins()
    home.on("*", "/v2/", Answer(401, {"WWW-Authenticate": "Basic realm=x"}), Answer(200, json=1))
    store.on("PUT", "/upload", Answer(401, {"WWW-Authenticate": "Basic realm=x"}))
    plugins = Plugins.discover(only=("basic",))
    with Client(home.host, settings=Settings(), plugins=plugins, credentials=Credentials("alice", "wonder")) as client:
        client.get_json()
        with pytest.raises(Unauthorized) as caught:
            client.request(
                "PUT",
                f"{store.url}/upload",
                headers={"Content-Type": "a/b", "Content-Range": "0-1", "X-Mine": "secret", "Authorization": "mine"},
                body=b"12",
            )
        assert "credentials" not in str(caught.value)
    sent = {name.lower() for name, _ in store.requests[0].headers}
    assert sent == {"host", "user-agent", "accept-encoding", "content-type", "content-range", "content-length"}


def test_a_callers_own_header_goes_first(scripted: Origin) -> None:
    scripted.on("GET", "/v2/", Answer(401, {"WWW-Authenticate": "Basic realm=x"}), Answer(200, json=1))
    plugins = Plugins.discover(only=("basic",))
    with Client(scripted.host, settings=Settings(), plugins=plugins, credentials=Credentials("a", "b")) as client:
        client.request("GET", headers={"authorization": "Mine"}).close()
    assert [call.all_headers("Authorization") for call in scripted.requests] == [["Mine"], ["Mine"]]


# ── the object ──────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_client_is_of() -> None:
    client = Client("ghcr.io", settings=Settings(), plugins=Plugins())
    assert client.base_url == "https://ghcr.io/v2/"
    assert repr(client) == "<Client https://ghcr.io/v2/>"
    assert (
        Client(Registry.parse("localhost"), settings=Settings(), plugins=Plugins()).base_url == "http://localhost/v2/"
    )
    plain = Client("ghcr.io", settings=Settings(plain_http=True), plugins=Plugins())
    assert plain.base_url == "http://ghcr.io/v2/"
    assert Client("docker.io", settings=Settings(), plugins=Plugins()).base_url == "https://registry-1.docker.io/v2/"


def test_settings_of_the_registry_are_in_force() -> None:
    settings = Settings(registries={"localhost:5000": {"timeout": 7}})
    assert Client("localhost:5000", settings=settings, plugins=Plugins()).settings.timeout == 7
    assert Client("localhost:5001", settings=settings, plugins=Plugins()).settings.timeout == 30


def test_unknown_endpoints_are_unknown_attributes() -> None:
    client = Client("localhost", settings=Settings(), plugins=Plugins())
    assert not hasattr(client, "nonsense")
    assert not hasattr(client, "_private")
    with pytest.raises(UsageError, match="no plugin provides the endpoint 'nonsense'; there are: none"):
        client.endpoint("nonsense")


def test_a_closed_client_sends_nothing(scripted: Origin, clients: Callable[..., Client]) -> None:
    client = clients(scripted.host)
    client.close()
    with pytest.raises(ConnectionFailed, match="closed"):
        client.request("GET")
    assert scripted.connections == 0
