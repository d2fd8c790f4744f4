"""ROBUSTNESS, Moving blobs: downloads that break, lie or never end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.errors import (
    ConnectionFailed,
    IntegrityError,
    NotFound,
    ProtocolError,
    SonarError,
    TimedOut,
    TransportError,
)
from sonar_core.settings import Settings
from sonar_core.testing.scripted import RESET, Answer, Origin, Request
from sonar_plugins.blobs.endpoint import Blobs
from tests.faults.registry import ranged, unauthorized
from tests.support.images import noise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = noise(300_000)
DIGEST = Digest.of(DATA)
PATH = f"/v2/a/blobs/{DIGEST}"


@pytest.fixture
def client(scripted: Origin) -> Iterator[Client]:
    with Client(scripted.host, settings=Settings(timeout=2, backoff=0.01)) as made:
        yield made


def download(client: Client, size: int | None = len(DATA)) -> bytes:
    """All that the stream gave, joined."""
    with Blobs(client).get("a", DIGEST, size=size) as stream:
        return b"".join(stream)


def partial(client: Client, size: int | None = len(DATA)) -> tuple[bytes, SonarError | None]:
    """What the stream gave before it failed, and how it failed."""
    received = bytearray()
    try:
        with Blobs(client).get("a", DIGEST, size=size) as stream:
            for block in stream:
                received += block
    except SonarError as error:
        return bytes(received), error
    return bytes(received), None


def ranges(origin: Origin) -> list[str | None]:
    return [request.header("Range") for request in origin.calls("GET", PATH)]


BREAKS = {
    "reset": Answer(200, body=DATA, cut=100_000, then="reset"),
    "closed": Answer(200, body=DATA, cut=100_000, then="close"),
    "closed, no length": Answer(200, body=DATA[:100_000], framing="close"),
    "chunked, reset": Answer(200, body=DATA, framing="chunked", cut=100_000, then="reset"),
    "stalled": Answer(200, body=DATA, cut=100_000, then="hang"),
    "one byte missing": Answer(200, body=DATA, cut=len(DATA) - 1, then="close"),
    "nothing": Answer(200, body=DATA, cut=0, then="reset"),
    "a short length": Answer(200, body=DATA[:100_000]),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_mended_by_range(client: Client, scripted: Origin, name: str) -> None:
    """B1: "short body or reset → Range from where it stopped"."""
    scripted.on("GET", PATH, BREAKS[name], ranged(DATA))
    assert download(client) == DATA
    first, second = ranges(scripted)
    assert first is None
    start = int((second or "bytes=0-").removeprefix("bytes=").partition("-")[0])
    assert start <= (len(DATA) - 1 if name == "one byte missing" else 100_000)


def test_many_breaks_each_with_progress(client: Client, scripted: Origin) -> None:
    """B1: "Range from where it stopped", as often as it breaks, while there is progress."""

    def piece(request: Request) -> Answer:
        start = int((request.header("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        headers = {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
        status = 206 if start else 200
        return Answer(status, headers if start else {}, DATA[start:], cut=30_000, then="reset")

    scripted.on("GET", PATH, piece)
    assert download(client) == DATA
    assert len(ranges(scripted)) == 10


def test_no_progress_ends(client: Client, scripted: Origin) -> None:
    """T3: "at most 5 attempts": a download that never gets on is given up."""
    scripted.on("GET", PATH, Answer(200, body=DATA, cut=0, then="reset"))
    with pytest.raises(ConnectionFailed):
        download(client)
    assert len(ranges(scripted)) <= 6


def test_a_200_to_a_range_is_skipped_up_to_the_offset(client: Client, scripted: Origin) -> None:
    """B1: "a 200 to that restarts or is skipped up to the offset, never appended"."""
    scripted.on("GET", PATH, BREAKS["reset"], Answer(200, body=DATA))
    assert download(client) == DATA


@pytest.mark.parametrize(
    "stated",
    [
        "bytes 0-299999/300000",
        "bytes 99999-299999/300000",
        "bytes 100001-299999/300000",
        "bytes */300000",
        "items 100000-299999/300000",
        "",
        "nonsense",
        "bytes 100000",
        "bytes " + "9" * 5000 + "-1/2",
    ],
)
def test_a_206_with_a_wrong_offset(client: Client, scripted: Origin, stated: str) -> None:
    """B1: "a 206 with a wrong offset is an error": its bytes are not appended."""
    scripted.on("GET", PATH, BREAKS["reset"], Answer(206, {"Content-Range": stated}, DATA[100_000:]))
    received, error = partial(client)
    assert isinstance(error, ProtocolError | IntegrityError | ConnectionFailed)
    assert DATA.startswith(received)
    assert received != DATA


def test_a_206_that_is_not_the_rest(client: Client, scripted: Origin) -> None:
    """B1/N2: a 206 at the right offset with other bytes: the whole is checked."""
    rest = b"!" * 200_000
    stated = {"Content-Range": "bytes 100000-299999/300000"}
    scripted.on("GET", PATH, BREAKS["reset"], Answer(206, stated, rest))
    received, error = partial(client)
    assert isinstance(error, IntegrityError)
    assert len(received) < len(DATA)


def test_a_206_of_less_than_the_rest(client: Client, scripted: Origin) -> None:
    """B1: a 206 that ends early is one more break (RFC 9110, section 14.4)."""
    part = Answer(206, {"Content-Range": "bytes 100000-149999/300000"}, DATA[100_000:150_000])
    scripted.on("GET", PATH, BREAKS["reset"], part, ranged(DATA))
    assert download(client) == DATA


def test_a_416_to_the_rest(client: Client, scripted: Origin) -> None:
    """B1: "short body … → Range from where it stopped": 416 says that there is no more: too short, an error."""
    scripted.on("GET", PATH, BREAKS["closed"], Answer(416, {"Content-Range": "bytes */100000"}))
    received, error = partial(client)
    assert isinstance(error, SonarError)
    assert len(received) < len(DATA)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_the_rest_is_refused(client: Client, scripted: Origin, status: int) -> None:
    """B1: a refusal half-way (a signed URL that ran out, a blob that was deleted) is an error."""
    scripted.on("GET", PATH, BREAKS["closed"], Answer(status))
    _, error = partial(client)
    assert isinstance(error, SonarError)


def test_a_signed_url_is_asked_for_again(client: Client, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """B1: "Range from where it stopped": at the registry, which signs a new URL, not at the old one."""
    storage = origins()
    numbers = iter(range(10))
    scripted.on("GET", PATH, lambda _: Answer(307, {"Location": f"{storage.url}/{next(numbers)}"}))
    storage.on("GET", "/0", BREAKS["reset"], Answer(403))
    storage.on("GET", "/1", ranged(DATA))
    assert download(client) == DATA
    assert storage.calls("GET", "/1")[0].header("Range") == "bytes=100000-"


def test_a_token_that_runs_out_in_the_middle(client: Client, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """A2: "refreshed before it runs out, also in the middle": a 401 to the rest is answered with a new token."""
    realm = origins()
    numbers = iter(range(10))
    realm.on("GET", "/token", lambda _: Answer(200, json={"token": f"t{next(numbers)}"}))
    challenge = unauthorized(f'Bearer realm="{realm.url}/token",service="s"')
    calls: list[str | None] = []

    def answer(request: Request) -> Answer:
        calls.append(request.header("Authorization"))
        if len(calls) == 2:
            return BREAKS["reset"]
        if calls[-1] == "Bearer t1":
            reply = ranged(DATA)
            return reply(request) if callable(reply) else reply
        return challenge

    scripted.on("GET", PATH, answer)
    assert download(client) == DATA
    assert calls == [None, "Bearer t0", "Bearer t0", "Bearer t1"]


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_body_that_is_longer(client: Client, scripted: Origin, framing: str) -> None:
    """B1: "a body longer than declared stops at size + 1"."""
    scripted.on("GET", PATH, Answer(200, body=DATA, times=1000, framing=framing))  # type: ignore[arg-type]
    received, error = partial(client)
    assert isinstance(error, IntegrityError)
    assert len(received) <= len(DATA)


def test_wrong_bytes_never_end_well(client: Client, scripted: Origin) -> None:
    """B1: "wrong bytes leave no file": the last block is held back until digest and size are right."""
    wrong = DATA[:-1] + bytes([DATA[-1] ^ 1])
    scripted.on("GET", PATH, Answer(200, {"Docker-Content-Digest": str(DIGEST)}, wrong))
    received, error = partial(client)
    assert isinstance(error, IntegrityError)
    assert len(received) < len(DATA)
    received, error = partial(client, size=None)
    assert isinstance(error, IntegrityError)
    assert len(received) < len(DATA)


def test_a_corrupt_bit_on_the_way_is_not_mended_into_it(client: Client, scripted: Origin) -> None:
    """N2: bytes that were wrong before the break stay wrong: the whole is hashed, not the rest alone."""
    wrong = b"\0" * 10 + DATA[10:]
    scripted.on("GET", PATH, Answer(200, body=wrong, cut=100_000, then="reset"), ranged(DATA))
    received, error = partial(client)
    assert received == DATA or isinstance(error, IntegrityError)


@pytest.mark.parametrize("length", ["-1", "abc", "1e5", "9" * 400, "300001", "1"])
def test_a_content_length_that_lies(client: Client, scripted: Origin, length: str) -> None:
    """B1/T7: a declared length is no promise: too short, too long, no number."""
    scripted.on("GET", PATH, Answer(200, {"Content-Length": length}, DATA, then="close"))
    received, error = partial(client)
    assert error is None or isinstance(error, SonarError)
    assert (received == DATA) == (error is None)


def test_a_blob_that_is_not_there(client: Client, scripted: Origin) -> None:
    """B1: a 404 is no break: asked for once."""
    with pytest.raises(NotFound):
        download(client)
    assert len(scripted.requests) == 1


def test_a_download_that_drips(scripted: Origin) -> None:
    """T2: "a stall limit for the body": a byte now and then is no progress worth waiting for."""
    scripted.on("GET", PATH, Answer(200, body=DATA, drip=(1, 0.1)))
    with Client(scripted.host, settings=Settings(timeout=0.4, backoff=0.01)) as client:
        _, error = partial(client)
    assert isinstance(error, TimedOut)


def test_a_registry_that_goes_away_for_a_while(client: Client, scripted: Origin) -> None:
    """T3: "Retried: connection failures, …": between the pieces of a download too."""
    scripted.on("GET", PATH, BREAKS["reset"], RESET, Answer(503), RESET, ranged(DATA))
    assert download(client) == DATA


def test_an_empty_blob(client: Client, scripted: Origin) -> None:
    """B1: no bytes are right bytes where the digest is that of none."""
    empty = Digest.of(b"")
    scripted.on("GET", f"/v2/a/blobs/{empty}", Answer(200, body=b""))
    with Blobs(client).get("a", empty, size=0) as stream:
        assert b"".join(stream) == b""


def test_closing_half_way_leaves_the_client_usable(client: Client, scripted: Origin) -> None:
    """B4: a download that is given up half-way does not block the next."""
    scripted.on("GET", PATH, Answer(200, body=DATA, times=1), Answer(200, body=DATA))
    with Blobs(client).get("a", DIGEST, size=len(DATA)) as stream:
        next(stream)
    assert download(client) == DATA


def test_a_close_from_another_thread_ends_a_download(client: Client, scripted: Origin) -> None:
    """B4: "Ctrl-C and errors cancel the other transfers": closing the client wakes who waits."""
    import threading

    scripted.on("GET", PATH, Answer(200, body=DATA, cut=10, then="hang"))
    failures: list[SonarError | None] = []
    thread = threading.Thread(target=lambda: failures.append(partial(client)[1]))
    thread.start()
    scripted.wait_for(1)
    client.close()
    thread.join(1.5)
    assert not thread.is_alive()
    assert isinstance(failures[0], TransportError)
