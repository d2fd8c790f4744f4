"""ROBUSTNESS, Moving blobs: uploads to registries with habits of their own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.errors import IntegrityError, NotFound, ProtocolError, ResponseError, SonarError
from sonar_core.settings import Settings
from sonar_core.sources import BytesSource
from sonar_core.testing.scripted import RESET, Answer, Origin, Request, error
from sonar_plugins.blobs.endpoint import Blobs
from tests.faults.registry import Uploads, unauthorized
from tests.support.images import noise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonar_core.testing.certificates import Authority

DATA = noise(250_000)
DIGEST = Digest.of(DATA)
CHUNK = 100_000
POST = "/v2/a/blobs/uploads/"
WRONG = "sha256:" + "0" * 64


@pytest.fixture
def client(scripted: Origin) -> Iterator[Client]:
    with Client(scripted.host, settings=Settings(timeout=2, backoff=0.01)) as made:
        yield made


@pytest.fixture
def uploads(scripted: Origin) -> Uploads:
    return Uploads(scripted, "a")


def put(client: Client, *, chunk: int | None = None, mount_from: str | None = None, data: bytes = DATA) -> bool:
    return Blobs(client).put("a", Digest.of(data), BytesSource(data), len(data), chunk=chunk, mount_from=mount_from)


def methods(origin: Origin) -> list[str]:
    return [request.method for request in origin.requests]


@pytest.mark.parametrize(
    "location",
    [
        "{path}/{n}",
        "{path}/{n}?_state=a%2Fb%2B%3D&x=y",
        "{url}{path}/{n}",
        "{url}{path}/{n}?_state=a%2Fb%2B%3D",
        "{n}",
        "./{n}?_state=x",
        "//{host}{path}/{n}",
    ],
)
@pytest.mark.parametrize("chunk", [None, CHUNK])
def test_locations_of_every_shape(
    client: Client, scripted: Origin, uploads: Uploads, location: str, chunk: int | None
) -> None:
    """B2: "Location relative or absolute, query kept, digest appended"."""
    base = "/v2/a/blobs/uploads"

    def begin(request: Request) -> Answer:
        uploads.begin(request)
        where = location.format(path=base, n=1, url=scripted.url, host=scripted.host)
        return Answer(202, {"Location": where})

    scripted.on("POST", POST, begin)
    put(client, chunk=chunk)
    assert uploads.stored[str(DIGEST)] == DATA
    last = scripted.calls("PUT")[-1]
    assert last.query["digest"] == [str(DIGEST)]
    if "_state=a%2Fb" in location:
        assert "_state=a%2Fb%2B%3D" in last.target


@pytest.mark.parametrize("headers", [{}, {"Location": ""}])
def test_no_location(client: Client, scripted: Origin, uploads: Uploads, headers: dict[str, str]) -> None:
    """B2: "missing → error"."""
    scripted.on("POST", POST, Answer(202, headers))
    with pytest.raises(ProtocolError, match="Location"):
        put(client)
    assert uploads.stored == {}


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://x/", "http://[::1", "http://u:p@127.0.0.1/", "data:,"]
)
def test_a_location_that_can_not_be_used(client: Client, scripted: Origin, uploads: Uploads, location: str) -> None:
    """B2: "Location relative or absolute": where it leads is judged first."""
    del uploads
    scripted.on("POST", POST, Answer(202, {"Location": location}))
    with pytest.raises(SonarError):
        put(client)
    assert set(methods(scripted)) <= {"POST", "GET"}


def test_a_location_from_https_to_http(scripted_tls: Origin, scripted: Origin, authority: Authority) -> None:
    """T5: "never from https to http": an upload's Location too."""
    Uploads(scripted_tls, "a")
    scripted_tls.on("POST", POST, Answer(202, {"Location": f"{scripted.url}/x"}))
    settings = Settings(timeout=2, backoff=0.01, ca_file=authority.cert)
    with Client(f"https://{scripted_tls.host}", settings=settings) as client, pytest.raises(ProtocolError):
        put(client)
    assert scripted.connections == 0


def test_another_origin_gets_no_credentials(
    client: Client, scripted: Origin, uploads: Uploads, origins: Callable[..., Origin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B2: "another origin → no credentials" (GHSA-vh4v-2xq2-g5cg)."""
    other = origins()
    other.on("PUT", "/elsewhere", Answer(201, {"Docker-Content-Digest": str(DIGEST)}))
    monkeypatch.setenv("SONAR_USERNAME", "alice")
    monkeypatch.setenv("SONAR_PASSWORD", "wonderland-7f3a")
    monkeypatch.setenv("SONAR_AUTH_REGISTRY", scripted.host)
    del uploads

    def begin(request: Request) -> Answer:
        if request.header("Authorization") is None:
            return unauthorized('Basic realm="r"')
        return Answer(202, {"Location": f"{other.url}/elsewhere?sig=1"})

    scripted.on("POST", POST, begin)
    put(client)
    assert [request.header("Authorization") is None for request in scripted.calls("POST")] == [True, False]
    (sent,) = other.requests
    assert sent.header("Authorization") is None
    assert sent.body == DATA


def test_a_401_from_another_origin_is_not_answered(
    client: Client, scripted: Origin, uploads: Uploads, origins: Callable[..., Origin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B2: "another origin → no credentials", also where it asks for them."""
    other = origins()
    other.default = unauthorized('Basic realm="give me"')
    monkeypatch.setenv("SONAR_USERNAME", "alice")
    monkeypatch.setenv("SONAR_PASSWORD", "wonderland-7f3a")
    monkeypatch.setenv("SONAR_AUTH_REGISTRY", scripted.host)
    del uploads
    scripted.on("POST", POST, Answer(202, {"Location": f"{other.url}/x"}))
    with pytest.raises(ResponseError):
        put(client)
    assert all(request.header("Authorization") is None for request in other.requests)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("fault", ["reset", "reset in the body", "500", "502", "503"])
def test_a_break_is_mended(client: Client, scripted: Origin, uploads: Uploads, method: str, fault: str) -> None:
    """B2/T3: a break in an upload: ask where it stands and go on."""
    answer = {
        "reset": RESET,
        "reset in the body": Answer(raw=b"", read=50_000, then="reset"),
        "500": Answer(500),
        "502": Answer(502),
        "503": Answer(503),
    }[fault]
    handler = uploads.patch if method == "PATCH" else uploads.put
    scripted.on(method, uploads.sessions, answer, handler)
    put(client, chunk=CHUNK if method == "PATCH" else None)
    assert uploads.stored[str(DIGEST)] == DATA


def test_a_chunk_that_was_taken_though_the_answer_was_lost(client: Client, scripted: Origin, uploads: Uploads) -> None:
    """B2: "ask where it stands and go on": the chunk is not sent twice."""
    count = iter(range(100))

    def lost(request: Request) -> Answer:
        answer = uploads.patch(request)
        return RESET if next(count) == 0 else answer

    scripted.on("PATCH", uploads.sessions, lost)
    put(client, chunk=CHUNK)
    assert uploads.stored[str(DIGEST)] == DATA


def test_the_closing_put_was_taken_though_the_answer_was_lost(
    client: Client, scripted: Origin, uploads: Uploads
) -> None:
    """B2: "session 404": because it was closed: the blob is there, and that is success."""
    count = iter(range(100))

    def lost(request: Request) -> Answer:
        answer = uploads.put(request)
        return RESET if next(count) == 0 else answer

    scripted.on("PUT", uploads.sessions, lost)
    put(client)
    assert uploads.stored[str(DIGEST)] == DATA


@pytest.mark.parametrize("status", [416, 202])
def test_a_short_range_is_gone_on_from(client: Client, scripted: Origin, uploads: Uploads, status: int) -> None:
    """B2: "416 or a short Range → ask where it stands and go on"."""
    count = iter(range(100))

    def half(request: Request) -> Answer:
        if next(count) != 0:
            return uploads.patch(request)
        held = uploads.open["1"]
        held += request.body[:60_000]
        return Answer(status, {"Location": request.target, "Range": "0-59999"})

    scripted.on("PATCH", uploads.sessions, half)
    put(client, chunk=CHUNK)
    assert uploads.stored[str(DIGEST)] == DATA


def test_a_416_for_ever_ends(client: Client, scripted: Origin, uploads: Uploads) -> None:
    """B2: "416 … → ask where it stands and go on", not for ever."""
    scripted.on("PATCH", uploads.sessions, Answer(416, {"Range": "0-0"}))
    with pytest.raises(ResponseError):
        put(client, chunk=CHUNK)
    assert len(scripted.requests) < 40


def test_ecr(client: Client, scripted: Origin, uploads: Uploads) -> None:
    """B2: "ECR's 201 to PATCH and Range that does not move are survived" (aws/containers-roadmap#2831)."""

    def stuck(request: Request) -> Answer:
        uploads.patch(request)
        return Answer(201, {"Location": request.target, "Range": f"0-{CHUNK - 1}"})

    scripted.on("PATCH", uploads.sessions, stuck)
    put(client, chunk=CHUNK)
    assert uploads.stored[str(DIGEST)] == DATA


@pytest.mark.parametrize("stated", ["0-0", "bytes=0-99999", "nonsense", "", "0-" + "9" * 300, "0--5", "5-3"])
def test_any_range(client: Client, scripted: Origin, uploads: Uploads, stated: str) -> None:
    """B2: "Range that does not move" or means nothing: what is stored in the end is right, or it is an error."""

    def odd(request: Request) -> Answer:
        answer = uploads.patch(request)
        return Answer(answer.status, {"Location": request.target, "Range": stated})

    scripted.on("PATCH", uploads.sessions, odd)
    with contextlib.suppress(SonarError):
        put(client, chunk=CHUNK)
    assert uploads.stored.get(str(DIGEST), DATA) == DATA
    assert len(scripted.requests) < 60


@pytest.mark.parametrize(("minimum", "chunks"), [("120000", 3), ("1000", 3), ("nonsense", 3), ("-1", 3), ("300000", 1)])
def test_the_smallest_chunk(client: Client, scripted: Origin, uploads: Uploads, minimum: str, chunks: int) -> None:
    """B2: "`OCI-Chunk-Min-Length` honoured within a cap"."""

    def begin(request: Request) -> Answer:
        headers = dict(uploads.begin(request).headers)
        return Answer(202, {**headers, "OCI-Chunk-Min-Length": minimum})

    scripted.on("POST", POST, begin)
    put(client, chunk=CHUNK)
    assert uploads.stored[str(DIGEST)] == DATA
    sent = [len(request.body) for request in scripted.calls("PATCH")]
    assert len(sent) == chunks
    if minimum == "120000":
        assert all(size >= 120_000 for size in sent[:-1])


def test_an_absurd_smallest_chunk(client: Client, scripted: Origin, uploads: Uploads) -> None:
    """B2: "within a cap": a registry can't make the client hold a petabyte."""

    def begin(request: Request) -> Answer:
        return Answer(202, {**dict(uploads.begin(request).headers), "OCI-Chunk-Min-Length": "9" * 15})

    scripted.on("POST", POST, begin)
    put(client, chunk=CHUNK)
    assert uploads.stored[str(DIGEST)] == DATA


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_session_that_vanished(client: Client, scripted: Origin, uploads: Uploads, method: str) -> None:
    """B2: "session 404 → start again once"."""
    handler = uploads.patch if method == "PATCH" else uploads.put
    scripted.on(method, uploads.sessions, error(404, "BLOB_UPLOAD_UNKNOWN"), handler)
    put(client, chunk=CHUNK if method == "PATCH" else None)
    assert uploads.stored[str(DIGEST)] == DATA
    assert len(scripted.calls("POST")) == 2


def test_sessions_that_always_vanish(client: Client, scripted: Origin, uploads: Uploads) -> None:
    """B2: "start again once", not for ever."""
    scripted.on("PUT", uploads.sessions, error(404, "BLOB_UPLOAD_UNKNOWN"))
    with pytest.raises(NotFound):
        put(client)
    assert len(scripted.calls("POST")) == 2


@pytest.mark.parametrize("chunk", [None, CHUNK])
def test_a_401_before_the_closing_put(
    client: Client, scripted: Origin, uploads: Uploads, origins: Callable[..., Origin], chunk: int | None
) -> None:
    """B2: "401 before the closing PUT → new token, go on"; A2: "also in the middle of an upload (GitLab's tokens last
    5 minutes)"."""
    realm = origins()
    numbers = iter(range(10))
    realm.on("GET", "/token", lambda _: Answer(200, json={"token": f"t{next(numbers)}"}))
    challenge = unauthorized(f'Bearer realm="{realm.url}/token",service="s"')

    def guarded(request: Request) -> Answer:
        wanted = "Bearer t1" if request.method == "PUT" else "Bearer t0"
        if request.header("Authorization") != wanted:
            return challenge
        return {"POST": uploads.begin, "PATCH": uploads.patch, "PUT": uploads.put}[request.method](request)

    scripted.on("POST", POST, guarded)
    scripted.on("PATCH|PUT", uploads.sessions, guarded)
    put(client, chunk=chunk)
    assert uploads.stored[str(DIGEST)] == DATA
    assert len(realm.requests) == 2


def test_an_upload_answered_with_another_digest(client: Client, scripted: Origin, uploads: Uploads) -> None:
    """B3: "A PUT answered with another digest → error"."""
    scripted.on("PUT", uploads.sessions, Answer(201, {"Docker-Content-Digest": WRONG}))
    with pytest.raises(IntegrityError):
        put(client)


@pytest.mark.parametrize("status", [202, 401, 403, 404, 405])
def test_a_refused_mount_becomes_an_upload(client: Client, scripted: Origin, uploads: Uploads, status: int) -> None:
    """B3: "Mount refused in any way (202, 401, 403, 404, 405) → plain upload"."""

    def begin(request: Request) -> Answer:
        if "mount" in request.query and status != 202:
            return Answer(status)
        return uploads.begin(request)

    scripted.on("POST", POST, begin)
    assert put(client, mount_from="b") is False
    assert uploads.stored[str(DIGEST)] == DATA
    if status == 202:
        assert len(scripted.calls("POST")) == 1


def test_a_mount_that_is_made(client: Client, scripted: Origin, uploads: Uploads) -> None:
    """B3: a 201 is a mount: one request."""
    scripted.on("POST", POST, Answer(201, {"Docker-Content-Digest": str(DIGEST)}))
    assert put(client, mount_from="b") is True
    assert uploads.stored == {}
    assert methods(scripted) == ["POST"]
    assert scripted.requests[0].query == {"mount": [str(DIGEST)], "from": ["b"]}


def test_a_mount_of_something_else(client: Client, scripted: Origin, uploads: Uploads) -> None:
    """B3: "another digest → error": of a mount too."""
    del uploads
    scripted.on("POST", POST, Answer(201, {"Docker-Content-Digest": WRONG}))
    with pytest.raises(IntegrityError):
        put(client, mount_from="b")


@pytest.mark.parametrize("status", [400, 403, 413, 507])
def test_a_failed_upload_deletes_its_session(client: Client, scripted: Origin, uploads: Uploads, status: int) -> None:
    """B4: "errors … DELETE open sessions"."""
    scripted.on("PUT", uploads.sessions, Answer(status, {"Connection": "close"}, read=0))
    with pytest.raises(SonarError):
        put(client)
    assert uploads.open == {}
    assert len(scripted.calls("DELETE")) == 1


def test_a_refusal_before_the_body_was_sent(client: Client, scripted: Origin, uploads: Uploads) -> None:
    """B2: an answer that comes while the body is still on its way is heard, not lost in a broken pipe."""
    big = noise(8_000_000)
    scripted.on("PUT", uploads.sessions, Answer(413, json={"errors": [{"code": "SIZE_INVALID"}]}, read=0))
    with pytest.raises(ResponseError, match="413"):
        put(client, data=big)


def test_a_source_that_lies_about_its_size(client: Client, scripted: Origin, uploads: Uploads) -> None:
    """B2/N2: content that is shorter or longer than it should be is not stored, and its session is deleted."""
    for size in (len(DATA) - 1, len(DATA) + 1):
        with pytest.raises(IntegrityError):
            Blobs(client).put("a", DIGEST, BytesSource(DATA), size)
    assert uploads.stored == {}
    assert uploads.open == {}
    assert scripted.calls("DELETE")


def test_a_slow_reader_of_an_upload(scripted: Origin, uploads: Uploads) -> None:
    """T2: a registry that takes nothing in is not waited for for ever."""
    big = noise(30_000_000)
    scripted.on("PUT", uploads.sessions, Answer(raw=b"", read=1000, delay=3600, then="close"))
    settings = Settings(timeout=0.5, backoff=0.01, attempts=2)
    with Client(scripted.host, settings=settings) as client, pytest.raises(SonarError):
        put(client, data=big)


@pytest.mark.parametrize("status", [200, 201])
def test_a_page_of_html_is_no_stored_blob(client: Client, scripted: Origin, uploads: Uploads, status: int) -> None:
    """T8: "An HTML page with status 200 where JSON belongs": a log-in page in answer to a PUT stored nothing."""
    page = Answer(status, {"Content-Type": "text/html"}, b"<html><title>Sign in</title></html>")
    scripted.on("PUT", uploads.sessions, page)
    with pytest.raises(SonarError):
        put(client)
