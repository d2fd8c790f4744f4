"""HTTP/1.1 messages: heads as RFC 9112 allows them, bodies that end where they say, and nothing else taken for one."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.http1 import Answer, BrokeOff, Headers, NoHttp, request_head
from sonar_core.timed import Timed


class Wire:
    """A socket that gives `data` in pieces of at most `step` bytes, then ends."""

    def __init__(self, data: bytes, step: int = 1 << 20) -> None:
        self._file = io.BytesIO(data)
        self._step = step

    def gettimeout(self) -> float:
        return 5.0

    def settimeout(self, seconds: float) -> None:
        pass

    def recv(self, size: int) -> bytes:
        return self._file.read(min(self._step, size))

    def recv_into(self, buffer: Any) -> int:
        piece = self._file.read(min(self._step, len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)


def answer(data: bytes, method: str = "GET", step: int = 1 << 20) -> tuple[Answer, list[bool]]:
    """What `data` is read as, and what its connection was given back as."""
    given: list[bool] = []
    return Answer(Timed(Wire(data, step), 5.0), method, given.append), given


def body(found: Answer, size: int = 1000) -> bytes:
    pieces = []
    while piece := found.read(size):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "expected", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length:5\r\n\r\nhello", b"hello", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: Close\r\n\r\nhello", b"hello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", b"hello", True),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nto the end", b"to the end", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", b"hello", True),
        (b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\nTrailer: x\n\n", b"hello", True),
        (b"HTTP/1.1 103 x\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", b"hello", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n 005\r\nhello\r\n0\r\n\r\n", b"hello", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\t2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", True),
    ],
)
def test_where_a_body_ends(data: bytes, expected: bytes, keeps: bool, step: int) -> None:
    """RFC 9112, section 6.3; and whether the connection may be used again (section 9.3)."""
    found, given = answer(data, step=step)
    assert body(found, 3) == expected
    assert found.read(10) == b""
    found.close()
    assert given == [keeps]


def test_a_head_has_no_body() -> None:
    found, given = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "HEAD")
    assert (found.ended, given) == (True, [True])


@pytest.mark.parametrize("step", [7, 1 << 20])
@pytest.mark.parametrize(
    ("method", "data"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more"),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nmore"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\nmore"),
    ],
)
def test_more_than_the_answer_costs_the_connection(method: str, data: bytes, step: int) -> None:
    """What came behind it must never be taken for the next answer. What has not come yet is seen when it is used."""
    found, given = answer(data, method, step)
    assert body(found) == (b"hi" if method == "GET" and b"204" not in data else b"")
    assert given == [False] or step == 7


def test_a_body_that_is_not_read_costs_the_connection() -> None:
    found, given = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert found.read(4) == b"hell"
    found.close()
    found.close()
    assert given == [False]
    assert found.read(4) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0",
    ],
)
def test_what_came_before_a_break_is_given_out(data: bytes) -> None:
    found, given = answer(data)
    assert found.read(50) == b"hello"
    with pytest.raises(BrokeOff):
        found.read(50)
    found.close()
    assert given == [False]


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: onto nothing\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 140_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 " + b"O" * 140_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(NoHttp):
        answer(data)


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n", b"-1\r\n", b"1" * 17 + b"\r\n", b"\r\n", b"2\r\nhello\r\n", b"0x5\r\nhello\r\n"]
)
def test_what_is_no_chunk(chunks: bytes) -> None:
    found, _ = answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    with pytest.raises(NoHttp):
        body(found)


def test_a_head_that_breaks_off() -> None:
    with pytest.raises(ConnectionResetError, match="within the headers"):
        answer(b"HTTP/1.1 200 OK\r\nContent-Le")


@given(data=st.binary(max_size=200) | st.from_regex(rb"HTTP/1.1 200 OK\r\n(?s:.{0,200})", fullmatch=True))
def test_any_bytes_are_an_answer_or_a_known_error(data: bytes) -> None:
    try:
        found, _ = answer(data)
        body(found)
    except (NoHttp, OSError):
        pass


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=8), step=st.integers(1, 60), size=st.integers(1, 90)
)
def test_chunks_are_put_together(pieces: list[bytes], step: int, size: int) -> None:
    """However the body is cut, into chunks, by the network, by whoever reads it."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    found, given = answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", step=step)
    assert body(found, size) == b"".join(pieces)
    assert given == [True]


def test_headers_by_name_in_any_case() -> None:
    headers = Headers([("Link", "<a>"), ("X", "1"), ("LINK", "<b>")])
    assert headers["link"] == "<a>, <b>"
    assert headers.all("Link") == ["<a>", "<b>"]
    assert headers.all("Y") == []
    assert headers.get("y") is None
    assert "X" in headers
    assert "y" not in headers
    assert len(headers) == 2
    assert set(headers) == {"link", "x"}
    assert "<a>" not in repr(headers)


def test_the_head_of_a_request() -> None:
    assert request_head("GET", "/v2/", {"Host": "h", "X": "\xe9"}) == b"GET /v2/ HTTP/1.1\r\nHost: h\r\nX: \xe9\r\n\r\n"
