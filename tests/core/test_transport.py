"""One request, one usable answer: what is tried again, what is followed, what is kept and what is let go."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.errors import ConnectionFailed, ProtocolError, SonarError, TimedOut, UsageError
from sonar_core.testing.scripted import CLOSE, HANG, RESET, Answer, Origin
from sonar_core.transport import Origin as At
from sonar_core.transport import Request, join_url, split_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.exchange import Exchange
    from sonar_core.testing.certificates import Authority
    from sonar_core.transport import Transport


def sending(transport: Transport, request: Request) -> tuple[threading.Thread, list[Any]]:
    """A thread that sends, and where it puts the body or the error: the thread that closes things is the test's."""
    found: list[Any] = []

    def run() -> None:
        try:
            with transport.send(request) as response:
                found.append(response.read(1000))
        except SonarError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


# ── connections are kept ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", Answer(200, {"Content-Length": "5"})),
        ("HEAD", Answer(200, {"Content-Length": str(10**12)})),
        ("GET", Answer(204)),
        ("GET", Answer(200)),
        ("GET", Answer(200, body=b"short")),
        ("GET", Answer(200, body=b"short", framing="chunked")),
        ("GET", Answer(404, json={"errors": []})),
    ],
)
def test_an_answer_nobody_wants_keeps_the_connection(
    method: str, answer: Answer, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    scripted.on("*", "/x", answer)
    transport = transports(scripted.url)
    for _ in range(4):
        transport.send(Request(method, f"{scripted.url}/x")).discard()
    assert len(scripted.calls("*", "/x")) == 4
    assert scripted.connections == 1


def test_a_body_that_was_read_keeps_the_connection(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(200, body=b"12345"))
    transport = transports(scripted.url)
    for read in (lambda r: r.read(5), lambda r: b"".join(r.blocks(2)), lambda r: r.read_block() + r.read_block()):
        with transport.send(Request("GET", f"{scripted.url}/x")) as response:
            assert read(response) == b"12345"
    assert scripted.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, body=b"x" * 100_000),
        Answer(200, body=b"short", framing="close"),
        Answer(200, {"Content-Length": "100"}, body=b"short", then="hang"),
        Answer(200, body=b"x" * 100_000, framing="chunked"),
    ],
    ids=["long", "until the end", "stalled", "chunked and long"],
)
def test_a_long_or_stalled_body_nobody_wants_costs_the_connection(
    answer: Answer, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    """Reading on could take for ever: the connection is dropped, and the next request gets its own answer."""
    scripted.on("GET", "/x", answer)
    scripted.on("GET", "/y", Answer(200, body=b"mine"))
    transport = transports(scripted.url, timeout=1.0)
    transport.send(Request("GET", f"{scripted.url}/x")).discard()
    assert transport.send(Request("GET", f"{scripted.url}/y")).read(10) == b"mine"
    assert scripted.connections == 2


def test_close_with_a_body_left_drops_the_connection(scripted: Origin, transports: Callable[..., Transport]) -> None:
    """What is left of one answer must never be taken for the next."""
    scripted.on("GET", "/x", Answer(200, body=b"abcdef"), Answer(200, body=b"second"))
    transport = transports(scripted.url)
    with transport.send(Request("GET", f"{scripted.url}/x")) as response:
        assert response.read_block(3) == b"abc"
    assert transport.send(Request("GET", f"{scripted.url}/x")).read(10) == b"second"
    assert scripted.connections == 2


def test_many_threads_share_a_transport(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(200, body=b"x" * 1000))
    transport = transports(scripted.url, connections=4)
    wrong: list[object] = []

    def work() -> None:
        for _ in range(10):
            body = transport.send(Request("GET", f"{scripted.url}/x")).read(1000)
            if body != b"x" * 1000:
                wrong.append(body)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(scripted.requests) == 40
    assert scripted.connections <= 8


def open_sockets() -> set[str]:
    """The sockets of this process that lead to somewhere."""
    links = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that reads the directory is gone
            links.add(str(entry.readlink()))
    return {link for link in links if link.startswith("socket:")}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_no_socket_is_left_behind(authority: Authority, transports: Callable[..., Transport]) -> None:
    """After every kind of failure, closing the client leaves no descriptor open; nobody waits for the collector."""
    import gc

    quiet = socket.create_server(("127.0.0.1", 0))
    before = open_sockets()
    gc.disable()
    try:
        with Origin() as origin:
            origin.on("*", "/reset", RESET)
            origin.on("*", "/close", CLOSE)
            origin.on("*", "/hang", HANG)
            origin.on("*", "/garbage", Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n", then="close"))
            origin.on("*", "/busy", Answer(503, body=b"x" * 50_000))
            origin.on("*", "/loop", Answer(307, {"Location": "/loop"}, body=b"x" * 50_000))
            origin.on("*", "/cut", Answer(200, body=b"x" * 1000, cut=10, then="close"))
            origin.on("*", "/stall", Answer(200, body=b"x" * 1000, cut=10, then="hang"))
            origin.on("*", "/long", Answer(200, body=b"x" * 100_000))
            origin.on("*", "/refused", Answer(307, {"Location": "http://169.254.169.254/"}))
            transport = transports(origin.url, timeout=0.2, attempts=2)
            for path in ("reset", "close", "hang", "garbage", "busy", "loop", "cut", "stall", "long", "refused"):
                try:
                    transport.send(Request("GET", f"{origin.url}/{path}")).read(500)
                except SonarError:
                    continue
            secure = transports(f"https://127.0.0.1:{quiet.getsockname()[1]}", timeout=0.2, attempts=1)
            with pytest.raises(TimedOut):
                secure.send(Request("GET", f"https://127.0.0.1:{quiet.getsockname()[1]}/"))
            transport.close()
            secure.close()
            del transport, secure
        assert open_sockets() <= before
    finally:
        gc.enable()
        quiet.close()


# ── what is tried again ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("failure", [RESET, CLOSE, Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Le", then="close")])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_repeatable_request_is_sent_again(
    method: str, failure: Answer, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    scripted.on(method, "/x", failure, failure, Answer(200))
    body = b"content" if method == "PUT" else None
    with transports(scripted.url).send(Request(method, f"{scripted.url}/x", body=body)) as response:
        assert response.status == 200
    assert [request.body for request in scripted.calls(method, "/x")] == [body or b""] * 3


@pytest.mark.parametrize(("method", "repeatable"), [("POST", None), ("PATCH", None), ("PUT", False), ("GET", False)])
def test_what_is_not_repeatable_is_sent_once(
    method: str, repeatable: bool | None, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    """The answer was lost: the work may have been done."""
    scripted.on(method, "/x", RESET, Answer(200))
    request = Request(method, f"{scripted.url}/x", body=b"content", repeatable=repeatable)
    with pytest.raises(ConnectionFailed, match=r"the connection broke$"):
        transports(scripted.url).send(request)
    assert len(scripted.calls(method, "/x")) == 1


@pytest.mark.parametrize(
    ("method", "status", "times"),
    [("GET", status, 2) for status in (408, 429, 500, 502, 503, 504)]
    + [("GET", status, 1) for status in (400, 401, 403, 404, 405, 409, 416, 501)]
    + [("POST", 429, 2), ("POST", 503, 2), ("POST", 500, 1), ("POST", 502, 1), ("PATCH", 504, 1)],
)
def test_statuses_that_are_tried_again(
    method: str, status: int, times: int, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    """429 and 503 say that nothing was done; after a 500 the work may be half done."""
    scripted.on(method, "/x", Answer(status), Answer(200))
    with transports(scripted.url).send(Request(method, f"{scripted.url}/x")) as response:
        assert response.status == (200 if times == 2 else status)
    assert len(scripted.calls(method, "/x")) == times


def test_the_last_answer_is_returned(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(503, body=b"busy"))
    with transports(scripted.url, attempts=3).send(Request("GET", f"{scripted.url}/x")) as response:
        assert (response.status, response.read(10)) == (503, b"busy")
    assert len(scripted.requests) == 3


def test_the_pieces_of_a_body_are_made_anew(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("PUT", "/x", Answer(503), Answer(201))
    request = Request("PUT", f"{scripted.url}/x", body=lambda: (b"one", b"two"), length=6)
    transports(scripted.url).send(request).close()
    assert [call.body for call in scripted.requests] == [b"onetwo", b"onetwo"]
    assert [call.header("Content-Length") for call in scripted.requests] == ["6", "6"]


def test_a_body_of_unknown_length_is_chunked(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("PUT", "/x", Answer(201))
    transports(scripted.url).send(Request("PUT", f"{scripted.url}/x", body=lambda: (b"one", b"two"))).close()
    assert scripted.requests[0].body == b"onetwo"
    assert scripted.requests[0].header("Transfer-Encoding") == "chunked"


def test_a_large_body_goes_in_pieces(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("PUT", "/x", Answer(201))
    content = os.urandom(3 * 1024 * 1024 + 1)
    transports(scripted.url).send(Request("PUT", f"{scripted.url}/x", body=content)).close()
    assert scripted.requests[0].body == content


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_no_body_is_said_to_be_none(method: str, scripted: Origin, transports: Callable[..., Transport]) -> None:
    """Servers ask for a length where a body is usual (RFC 9110, section 8.6)."""
    scripted.on(method, "/x", Answer(202))
    transports(scripted.url).send(Request(method, f"{scripted.url}/x")).close()
    assert scripted.requests[0].header("Content-Length") == "0"


def test_refused_connections_are_tried_again_whatever_the_method(transports: Callable[..., Transport]) -> None:
    """Nothing was sent, so nothing can have been done."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(ConnectionFailed, match=rf"POST {url}/x failed: connection refused \(4 attempts\)") as caught:
        transports(url, attempts=4).send(Request("POST", f"{url}/x", body=b"x"))
    assert caught.value.attempts == 4


@pytest.mark.parametrize(
    "answer",
    [
        Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n", then="close"),
        Answer(raw=b"HTTP/1.1 OK\r\n\r\n", then="close"),
        Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n", then="close"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", then="close"),
    ],
    ids=["ssh", "no status", "too many headers", "a header too long"],
)
def test_what_is_no_http_is_not_tried_again(
    answer: Answer, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    scripted.on("GET", "/x", answer)
    with pytest.raises(ProtocolError, match="not an HTTP answer"):
        transports(scripted.url).send(Request("GET", f"{scripted.url}/x"))
    assert len(scripted.requests) == 1


def test_a_name_that_does_not_resolve_is_asked_for_once(transports: Callable[..., Transport]) -> None:
    seen: list[Exchange] = []
    url = "http://no-such-host.invalid"
    with pytest.raises(ConnectionFailed, match="the name does not resolve"):
        transports(url, observe=seen.append).send(Request("GET", f"{url}/x"))
    assert len(seen) == 1


def test_a_wait_that_is_too_long_is_not_waited(scripted: Origin, transports: Callable[..., Transport]) -> None:
    """Longer than `retry_after_max` is an answer, not a sleep; so is one that the budget of the request lacks."""
    scripted.on("GET", "/hours", Answer(503, {"Retry-After": "7200"}))
    scripted.on("GET", "/seconds", Answer(503, {"Retry-After": "2"}))
    transport = transports(scripted.url, timeout=0.1)
    for path in ("hours", "seconds"):
        with transport.send(Request("GET", f"{scripted.url}/{path}")) as response:
            assert response.status == 503
        assert len(scripted.calls("GET", f"/{path}")) == 1


@pytest.mark.parametrize(
    "value", ["0", "Thu, 01 Jan 1970 00:00:00 GMT", "soon", "-1", "9" * 50, "9" * 5000, "²", "inf", "nan"]
)
def test_retry_after_in_every_form(value: str, scripted: Origin, transports: Callable[..., Transport]) -> None:
    """Nonsense counts as nothing; a date that is past means now."""
    scripted.on("GET", "/x", Answer(503, lines=[b"Retry-After: " + value.encode("latin-1")]), Answer(200))
    with transports(scripted.url).send(Request("GET", f"{scripted.url}/x")) as response:
        assert response.status == (503 if value == "9" * 50 else 200)


def test_attempts_and_waits_end_together(scripted: Origin, transports: Callable[..., Transport]) -> None:
    """A thousand attempts are allowed, ten times the limit is the end of them (DESIGN, "--timeout")."""
    scripted.on("GET", "/x", HANG)
    with pytest.raises(TimedOut, match="no answer in time") as caught:
        transports(scripted.url, timeout=0.05, attempts=1000, backoff=0).send(Request("GET", f"{scripted.url}/x"))
    assert 10 <= len(scripted.requests) < 100
    assert caught.value.attempts > 1


def test_patience_is_one_attempt(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("DELETE", "/x", Answer(503))
    scripted.on("DELETE", "/y", HANG)
    transport = transports(scripted.url)
    assert transport.send(Request("DELETE", f"{scripted.url}/x", patience=0.2)).status == 503
    with pytest.raises(TimedOut):
        transport.send(Request("DELETE", f"{scripted.url}/y", patience=0.2))
    assert len(scripted.requests) == 2


# ── redirects ───────────────────────────────────────────────────────────────────────────────────────────────


def test_private_headers_stay_with_their_origin(
    origins: Callable[..., Origin], transports: Callable[..., Transport]
) -> None:
    """GHSA-qvqc-4c52-x6qp: no header of anyone's goes to another origin, but for those that HTTP itself needs."""
    home, other = origins(), origins()
    home.on("GET", "/x", Answer(307, {"Location": f"{other.url}/y"}))
    home.on("GET", "/back", Answer(200, body=b"back"))
    other.on("GET", "/y", Answer(302, {"Location": f"{home.url}/back"}))
    request = Request(
        "GET",
        f"{home.url}/x",
        headers={"Accept": "a/b", "X-Plugin": "may be a secret", "Cookie": "c"},
        private={"Authorization": "Bearer secret", "X-Acme-Auth": "secret"},
    )
    assert transports(home.url).send(request).read(10) == b"back"
    stranger = other.requests[0]
    assert stranger.header("Accept") == "a/b"
    sent = {name.lower() for name, _ in stranger.headers}
    assert sent == {"host", "user-agent", "accept", "accept-encoding"}
    for call in home.requests:
        assert call.header("Authorization") == "Bearer secret"
        assert call.header("X-Acme-Auth") == "secret"


def test_redirects_are_counted(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(302, {"Location": "/x"}))
    with pytest.raises(ProtocolError, match="redirects more than 3 times"):
        transports(scripted.url, redirects=3).send(Request("GET", f"{scripted.url}/x"))
    assert len(scripted.requests) == 4
    assert scripted.connections == 1


@pytest.mark.parametrize(
    "target",
    ["http://[::1", "http://h:99999/", "http://u:p@h/", "ftp://h/", "http:///x", "//[", "http://h:0/", "mailto:a@b"],
)
def test_a_location_that_leads_nowhere(target: str, scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(307, {"Location": target}))
    with pytest.raises(ProtocolError) as caught:
        transports(scripted.url).send(Request("GET", f"{scripted.url}/x"))
    assert "u:p" not in str(caught.value)


def test_a_redirect_without_a_location_is_an_answer(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(307))
    assert transports(scripted.url).send(Request("GET", f"{scripted.url}/x")).status == 307


@pytest.mark.parametrize(
    ("method", "status", "followed"),
    [
        *[("PUT", 307, True), ("PUT", 308, True), ("DELETE", 307, True)],
        *[("PUT", 301, False), ("PUT", 302, False), ("PUT", 303, False), ("POST", 307, False), ("PATCH", 308, False)],
    ],
)
def test_writes_follow_only_what_keeps_the_method(
    method: str, status: int, followed: bool, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    scripted.on(method, "/x", Answer(status, {"Location": "/y"}))
    scripted.on("*", "/y", Answer(201))
    request = Request(method, f"{scripted.url}/x", body=b"content")
    transport = transports(scripted.url)
    if followed:
        assert transport.send(request).status == 201
        assert [call.body for call in scripted.requests] == [b"content", b"content"]
    else:
        with pytest.raises(ProtocolError, match=f"where a {method} does not follow"):
            transport.send(request)
        assert scripted.calls("*", "/y") == []


def test_a_write_does_not_follow_to_another_origin(
    origins: Callable[..., Origin], transports: Callable[..., Transport]
) -> None:
    home, other = origins(), origins()
    home.on("PUT", "/x", Answer(307, {"Location": f"{other.url}/y"}))
    with pytest.raises(ProtocolError, match="where a PUT does not follow"):
        transports(home.url).send(Request("PUT", f"{home.url}/x", body=b"content"))
    assert other.connections == 0


def test_a_registry_that_wants_https_is_understood(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("POST", "/x", Answer(301, {"Location": f"https://{scripted.host}/x"}))
    with pytest.raises(ProtocolError, match="name the registry with https://"):
        transports(scripted.url).send(Request("POST", f"{scripted.url}/x"))


def test_https_never_leads_to_http(
    scripted_tls: Origin, scripted: Origin, authority: Authority, transports: Callable[..., Transport]
) -> None:
    scripted_tls.on("GET", "/x", Answer(307, {"Location": f"{scripted.url}/y"}))
    with pytest.raises(ProtocolError, match="from https to plain http, which is not followed"):
        transports(scripted_tls.url, ca_file=authority.cert).send(Request("GET", f"{scripted_tls.url}/x"))
    assert scripted.connections == 0


def test_metadata_addresses_are_never_asked(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(307, {"Location": "http://169.254.169.254/latest"}))
    with pytest.raises(ConnectionFailed, match=r"refused: 169\.254\.169\.254"):
        transports(scripted.url, allow_private=True).send(Request("GET", f"{scripted.url}/x"))


# ── what is refused beforehand ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("where", ["headers", "private"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "b\r\nEvil: 1"),
        ("X-A", "b\nEvil: 1"),
        ("X-A", "b\0"),
        ("X-A\r\nEvil", "1"),
        ("X A", "1"),
        ("X-A:", "1"),
        ("", "1"),
        ("X-Ä", "1"),
        ("X-A", "snowman ☃"),
        ("X-A", 5),
        ("X-A", None),
        (None, "1"),
    ],
)
def test_headers_that_would_break_out(
    where: str, name: Any, value: Any, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    """CWE-113. The value, which may be a secret, is not shown, and nothing is sent."""
    headers: Any = {where: {name: value}}
    with pytest.raises(UsageError) as caught:
        transports(scripted.url).send(Request("GET", f"{scripted.url}/x", **headers))
    assert "snowman" not in str(caught.value)
    assert "Evil: 1" not in str(caught.value)
    assert scripted.connections == 0


def test_a_request_shows_no_secret() -> None:
    request = Request(
        "GET", "https://u:pass@h/x?X-Sig=secret&n=5", headers={"A": "secret"}, private={"B": "secret"}, body=b"secret"
    )
    assert repr(request) == "<Request GET https://h/x?X-Sig=…&n=5>"


def test_origins_of_urls() -> None:
    assert At.of("http://H:80/x") == At.of("http://h/y?z") == At("http", "h", 80)
    assert At.of("https://h") == At("https", "h", 443)
    assert At.of("https://h:80") != At.of("http://h:80")
    assert split_url("http://[::1]:5000/x").hostname == "::1"
    assert join_url("http://h/v2/", "a/b") == "http://h/v2/a/b"
    with pytest.raises(ProtocolError, match="malformed"):
        join_url("http://h/v2/", "//[")


# ── bodies ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_body_is_capped(scripted: Origin, transports: Callable[..., Transport]) -> None:
    """By the declared length, and by what comes where none is declared; never an allocation by a declared size."""
    scripted.on("GET", "/declared", Answer(200, {"Content-Length": str(10**15)}, then="hang"))
    scripted.on("GET", "/lying", Answer(200, body=b"x" * 11, framing="chunked"))
    scripted.on("GET", "/exact", Answer(200, body=b"x" * 10, framing="chunked"))
    transport = transports(scripted.url)
    for path in ("declared", "lying"):
        with pytest.raises(ProtocolError, match=r"the list from http.* is longer than the 10 bytes that are allowed"):
            transport.send(Request("GET", f"{scripted.url}/{path}")).read(10, "the list")
    assert transport.send(Request("GET", f"{scripted.url}/exact")).read(10) == b"x" * 10


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Answer(200, body=b"x" * 1000, cut=10, then="close"), ConnectionFailed, "the body broke off"),
        (Answer(200, body=b"x" * 1000, cut=10, then="reset"), ConnectionFailed, "the connection broke"),
        (Answer(200, body=b"x" * 1000, cut=10, then="hang"), TimedOut, "the body stopped coming"),
        (Answer(200, framing="chunked", body=b"x" * 99, cut=50, then="close"), ConnectionFailed, "the body broke off"),
        (Answer(200, body=b"x" * 100, drip=(1, 0.01)), TimedOut, "the body came too slowly"),
    ],
    ids=["short", "reset", "stalled", "half a chunk", "dripping"],
)
def test_a_body_that_fails(
    answer: Answer, error: type[SonarError], words: str, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    scripted.on("GET", "/x", answer)
    response = transports(scripted.url, timeout=0.3).send(Request("GET", f"{scripted.url}/x"))
    with pytest.raises(error, match=words):
        response.read(10_000)


@pytest.mark.parametrize("declared", ["²", "-5", "1e3", "0x10", "9" * 30, "", "5, 5"])
def test_a_length_that_is_none(declared: str, scripted: Origin, transports: Callable[..., Transport]) -> None:
    """`"²".isdigit()` is true and `int("²")` is an error: neither the answer nor the observer stumbles over it."""
    seen: list[Exchange] = []
    line = b"Content-Length: " + declared.encode("latin-1")
    scripted.on("GET", "/x", Answer(200, lines=[line], body=b"five!", framing="close"))
    transport = transports(scripted.url, observe=seen.append)
    with transport.send(Request("GET", f"{scripted.url}/x")) as response:
        assert response.length is None
        assert response.read_block(5) == b"five!"
    assert [exchange.received for exchange in seen] == [None]


def test_headers_are_read_in_any_case(scripted: Origin, transports: Callable[..., Transport]) -> None:
    answer = Answer(200, [("CONTENT-type", "Text/HTML; charset=x"), ("Link", "<a>"), ("link", "<b>")], body=b"12")
    scripted.on("GET", "/x", answer)
    with transports(scripted.url).send(Request("GET", f"{scripted.url}/x")) as response:
        assert response.content_type == "text/html"
        assert response.header_values("LINK") == ["<a>", "<b>"]
        assert response.length == 2
        assert response.origin == At("http", scripted.address, scripted.port)


# ── closing ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_closing_interrupts_who_waits_for_an_answer(
    origins: Callable[..., Origin], authority: Authority, transports: Callable[..., Transport]
) -> None:
    """A Ctrl-C must not wait for a registry that does not answer: plain, and through TLS."""
    certificate = authority.issue("closing")
    for origin in (origins(), origins(tls=authority.server_context(certificate))):
        origin.on("GET", "/x", HANG)
        transport = transports(origin.url, timeout=60, ca_file=authority.cert)
        thread, found = sending(transport, Request("GET", f"{origin.url}/x"))
        origin.wait_for(1)
        transport.close()
        thread.join(10)
        assert not thread.is_alive()
        assert isinstance(found[0], ConnectionFailed), found


def test_closing_interrupts_who_reads_a_body(
    origins: Callable[..., Origin], authority: Authority, transports: Callable[..., Transport]
) -> None:
    certificate = authority.issue("reading")
    for origin in (origins(), origins(tls=authority.server_context(certificate))):
        origin.on("GET", "/x", Answer(200, body=b"x" * 1000, cut=500, then="hang"))
        transport = transports(origin.url, timeout=60, ca_file=authority.cert)
        response = transport.send(Request("GET", f"{origin.url}/x"))
        assert response.read_block(500) == b"x" * 500
        threading.Timer(0.1, transport.close).start()
        with pytest.raises(ConnectionFailed):
            response.read_block(500)


def test_closing_interrupts_a_tls_handshake(transports: Callable[..., Transport]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        transport = transports(url, timeout=60)
        thread, found = sending(transport, Request("GET", f"{url}/x"))
        with listener.accept()[0] as peer:
            assert peer.recv(1000)  # the client has said hello, and waits
            transport.close()
            thread.join(10)
            assert not thread.is_alive()
        assert isinstance(found[0], ConnectionFailed), found


@pytest.mark.parametrize("options", [{"requests_per_second": 0.001}, {"retry_after_max": 100, "timeout": 60}])
def test_closing_interrupts_a_wait(
    options: dict[str, float], scripted: Origin, transports: Callable[..., Transport]
) -> None:
    """For one's turn, and for what Retry-After asks."""
    scripted.on("GET", "/x", Answer(200, body=b"x"))
    scripted.on("GET", "/later", Answer(503, {"Retry-After": "90"}))
    transport = transports(scripted.url, **options)
    transport.send(Request("GET", f"{scripted.url}/x")).read(1)
    thread, found = sending(transport, Request("GET", f"{scripted.url}/later"))
    if "retry_after_max" in options:
        scripted.wait_for(2)
    transport.close()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(found[0], ConnectionFailed), found
    assert "closed" in str(found[0])


def test_a_closed_transport_sends_nothing(scripted: Origin, transports: Callable[..., Transport]) -> None:
    transport = transports(scripted.url)
    transport.close()
    transport.close()
    with pytest.raises(ConnectionFailed, match="the client is closed"):
        transport.send(Request("GET", f"{scripted.url}/x"))
    with pytest.raises(ConnectionFailed, match="the client was closed"):
        transport.pause(60)
    assert scripted.connections == 0


# ── observers ───────────────────────────────────────────────────────────────────────────────────────────────


def test_each_exchange_is_told_of(scripted: Origin, transports: Callable[..., Transport]) -> None:
    """Each attempt and each hop is one, with secrets removed."""
    seen: list[Exchange] = []
    scripted.on("PUT", "/x", RESET, Answer(503), Answer(307, {"Location": "/y?X-Sig=secret"}))
    scripted.on("PUT", "/y", Answer(201, body=b"done"))
    request = Request("PUT", f"{scripted.url}/x", body=b"12345", private={"Authorization": "secret"})
    transports(scripted.url, observe=seen.append).send(request).close()
    assert [(e.method, e.status, e.sent, e.received) for e in seen] == [
        ("PUT", None, 5, None),
        ("PUT", 503, 5, 0),
        ("PUT", 307, 5, 0),
        ("PUT", 201, 5, 4),
    ]
    assert [bool(e.error) for e in seen] == [True, False, False, False]
    assert seen[-1].url == f"{scripted.url}/y?X-Sig=…"
    assert "secret" not in repr(seen)
