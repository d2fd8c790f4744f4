"""Token requests, counted on the wire: one token for all that it covers, and one request for all that wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sonar_core.auth_types import Credentials
from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.testing.scripted import Answer, Origin, Request
from tests.support import images
from tests.support.docker_registry import DockerRegistry
from tests.support.push import push
from tests.support.tokens import TokenServer

THREADS = 8
ALICE = Credentials("alice", "pw")


@pytest.fixture
def connect() -> Iterator[Callable[[str], Client]]:
    plugins = Plugins.discover(only=("bearer", "blobs", "manifests", "tags"))
    opened: list[Client] = []

    def open_client(host: str) -> Client:
        opened.append(Client(host, settings=Settings(), plugins=plugins, credentials=ALICE))
        return opened[-1]

    yield open_client
    for client in opened:
        client.close()


def guard(origin: Origin, realm: Origin, good: Callable[[Request], Answer], tokens: list[str]) -> None:
    """`good` for the last of `tokens`, which the token server makes one after the other, with some delay."""

    def give(_: Request) -> Answer:
        tokens.append(f"t{len(tokens)}")
        return Answer(200, json={"token": tokens[-1], "expires_in": 300}, delay=0.2)

    def answer(request: Request) -> Answer:
        if tokens and request.header("Authorization") == f"Bearer {tokens[-1]}":
            return good(request)
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm.url}/token",service="s"'})

    realm.on("GET", "/token", give)
    origin.default = answer


def test_a_thousand_pages_are_a_thousand_and_two_requests(
    origins: Callable[..., Origin], connect: Callable[[str], Client]
) -> None:
    registry, realm = origins(), origins()

    def page(request: Request) -> Answer:
        number = int(request.query.get("last", ["0"])[0])
        link = {"Link": f'</v2/a/tags/list?last={number + 1}>; rel="next"'} if number < 999 else {}
        return Answer(200, link, json={"tags": [f"v{number}"]})

    guard(registry, realm, page, [])
    assert list(connect(registry.host).tags.list("a")) == [f"v{number}" for number in range(1000)]
    assert (len(registry.requests), len(realm.requests)) == (1001, 1)
    assert registry.connections <= 2


def at_once(work: Callable[[int], object]) -> list[object]:
    """What `work` returns in each of the threads, which start together."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> object:
        start.wait(10)
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_threads_wait_for_one_token_and_then_for_its_successor(
    origins: Callable[..., Origin], connect: Callable[[str], Client]
) -> None:
    registry, realm = origins(), origins()
    tokens: list[str] = []
    guard(registry, realm, lambda _: Answer(200, json={"tags": ["v1"]}), tokens)
    client = connect(registry.host)

    def work(_: int) -> object:
        return list(client.tags.list("a"))

    assert at_once(work) == [["v1"]] * THREADS
    assert tokens == ["t0"]
    tokens.append("revoked")  # the registry now refuses what it gave
    assert at_once(work) == [["v1"]] * THREADS
    assert tokens == ["t0", "revoked", "t2"]
    assert len(realm.requests) == 2


def test_a_wider_token_serves_narrower_requests(
    origins: Callable[..., Origin], connect: Callable[[str], Client]
) -> None:
    """A token is reused by every request that it covers: `pull,push` opens `pull`, of one repository."""
    registry, realm = origins(), origins()
    guard(registry, realm, lambda _: Answer(200, json={}), [])
    client = connect(registry.host)
    for path, actions in (("a", "pull,push"), ("a", "pull"), ("a", "push,pull"), ("b", "pull"), ("a", "delete")):
        client.request("GET", f"{path}/x", scopes=[f"repository:{path}:{actions}"]).close()
    scopes = [request.query["scope"] for request in realm.requests]
    assert scopes == [["repository:a:pull,push"], ["repository:b:pull"], ["repository:a:delete"]]


@pytest.mark.real
def test_threads_pulling_from_a_real_registry_cause_one_token_request(
    docker_registry: Callable[..., DockerRegistry],
    token_server: Callable[..., TokenServer],
    connect: Callable[[str], Client],
) -> None:
    tokens = token_server(users={"alice": "pw"})
    registry = docker_registry(token=tokens)
    layers = [images.layer({"f": images.noise(100_000, seed)}) for seed in range(THREADS)]
    image = images.image(*layers)
    everything = tokens.token(["repository:a/b:pull,push"], "alice")
    push(registry.url, "a/b", "v1", image, authorization=f"Bearer {everything}")
    client = connect(registry.host)

    def pull(number: int) -> object:
        blob = layers[number].content
        with client.blobs.get("a/b", Digest.parse(blob.digest)) as stream:
            return b"".join(stream) == blob.data

    assert at_once(pull) == [True] * THREADS
    assert len(tokens.origin.requests) == 1
