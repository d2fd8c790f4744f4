"""One request, one usable answer: what is tried again, what is refused, what is told."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.errors import ConnectionFailed, ProtocolError, SonarError, TimedOut, UsageError
from sonar_core.testing.scripted import CLOSE, HANG, RESET, Answer, Origin
from sonar_core.transport import Origin as At
from sonar_core.transport import Request, join_url, split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonar_core.exchange import Exchange
    from sonar_core.transport import Transport


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


@pytest.mark.parametrize("failure", [OSError(5, "Input/output error", "disk.img"), ValueError("odd"), UsageError("no")])
def test_a_body_that_can_not_be_read_is_no_failure_of_the_connection(
    failure: Exception, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    """It would be the same again, so it is raised as it is, and its connection is not used any more."""

    def body() -> Iterator[bytes]:
        yield b"x" * 10
        raise failure

    scripted.on("PUT", "/x", Answer(201))
    scripted.on("GET", "/y", Answer(200, body=b"fine"))
    transport = transports(scripted.url)
    with pytest.raises(type(failure)) as caught:
        transport.send(Request("PUT", f"{scripted.url}/x", body=body, length=20))
    assert caught.value is failure
    assert transport.send(Request("GET", f"{scripted.url}/y")).read(10) == b"fine"
    assert scripted.connections == 2


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
        transports(scripted.url, timeout=0.1, attempts=1000, backoff=0).send(Request("GET", f"{scripted.url}/x"))
    assert caught.value.attempts == len(scripted.requests) > 1
    assert len(scripted.requests) <= 20


def test_patience_is_one_attempt(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("DELETE", "/x", Answer(503))
    scripted.on("DELETE", "/y", HANG)
    transport = transports(scripted.url)
    assert transport.send(Request("DELETE", f"{scripted.url}/x", patience=0.2)).status == 503
    with pytest.raises(TimedOut):
        transport.send(Request("DELETE", f"{scripted.url}/y", patience=0.2))
    assert len(scripted.requests) == 2


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


@pytest.mark.parametrize("method", ["", "GET /evil HTTP/1.1\r\nX:", "G T", "GÉT"])
def test_a_method_that_would_break_out(method: str, scripted: Origin, transports: Callable[..., Transport]) -> None:
    with pytest.raises(UsageError, match="no method of a request"):
        transports(scripted.url).send(Request(method, f"{scripted.url}/x"))
    assert scripted.connections == 0


@pytest.mark.parametrize("pieces", [[b"12"], [b"12", b"345"], [], [b"12345"]])
def test_a_body_that_has_not_its_length(
    pieces: list[bytes], scripted: Origin, transports: Callable[..., Transport]
) -> None:
    """What is missing would be taken from the next request, what is too much would be one."""
    scripted.default = Answer(200, body=b"mine")
    transport = transports(scripted.url)
    with pytest.raises(UsageError, match="the body of a request"):
        transport.send(Request("PUT", f"{scripted.url}/x", body=lambda: iter(pieces), length=4))
    assert transport.send(Request("GET", f"{scripted.url}/y")).read(10) == b"mine"
    assert [call.path for call in scripted.requests if call.method == "GET"] == ["/y"]


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "connection"])
def test_headers_that_say_how_a_request_is_sent(
    name: str, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    with pytest.raises(UsageError, match="can't be given"):
        transports(scripted.url).send(Request("GET", f"{scripted.url}/x", headers={name: "1"}))
    assert scripted.connections == 0


def test_headers_in_another_case_are_the_same(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(200))
    transports(scripted.url).send(Request("GET", f"{scripted.url}/x", headers={"user-agent": "me"})).close()
    assert [value for name, value in scripted.requests[0].headers if name.lower() == "user-agent"] == ["me"]


def test_a_scheme_in_capitals(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(200, body=b"mine"))
    url = scripted.url.replace("http", "HTTP")
    assert transports(scripted.url).send(Request("GET", f"{url}/x")).read(10) == b"mine"


@pytest.mark.parametrize(
    "url",
    [
        "http://%3169.254.169.254/",
        "http://169.254.169.254\\/latest",
        "http://h\\@169.254.169.254/",
        "http://a%2eb/",
        "http://a b/",
        "http://[::1]x/",
        "http://[::1/",
    ],
)
def test_hosts_that_others_would_read_in_another_way(url: str) -> None:
    with pytest.raises(ProtocolError):
        At.of(url)
    with pytest.raises(ProtocolError):
        split_url(url)


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
