"""HTTP as a server has to bear it: kept connections, every way to send a body, clients that break off or dawdle."""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sonar_plugins.serve.server import EmbeddedRegistry
from tests.serve.conftest import Caller
from tests.serve.contents import digest, push_blob

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from sonar_plugins.serve.messages import Exchange

MIB = 1 << 20


@contextmanager
def connected(registry: EmbeddedRegistry) -> Iterator[tuple[socket.socket, BinaryIO]]:
    host, port = registry.host.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as sock, sock.makefile("rb") as stream:
        yield sock, stream


def status_of(stream: BinaryIO) -> int:
    """Read an answer's headers and its body; the status, or 0 if the connection ended instead."""
    line = stream.readline()
    if not line:
        return 0
    length = 0
    while header := stream.readline().strip():
        name, _, value = header.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    stream.read(length)
    return int(line.split()[1])


def test_one_connection_serves_many_requests_and_refusals(call: Caller, repository: str) -> None:
    """A body that was not wanted is read, if it is small, so that the next request is found where it begins."""
    for _ in range(3):
        assert call("GET", "/v2/").status == 200
        assert call("PUT", f"/v2/{repository}/manifests/latest", b"x" * 5000).status == 400
        assert call("PATCH", f"/v2/{repository}/blobs/uploads/unknown", b"y" * MIB).status == 404
        assert call("PATCH", f"/v2/{repository}/blobs/uploads/unknown", iter([b"z" * 5000] * 9)).status == 404
        assert call("HEAD", f"/v2/{repository}/blobs/{digest(b'no')}").status == 404
    assert call.opened == 1


def test_a_large_unwanted_body_closes_the_connection_and_the_answer_arrives(call: Caller, repository: str) -> None:
    assert call("PATCH", f"/v2/{repository}/blobs/uploads/unknown", b"y" * (3 * MIB)).status == 404
    assert call("GET", "/v2/").status == 200
    assert call.opened == 2


def test_expect_100_continue(registry: EmbeddedRegistry, call: Caller, repository: str) -> None:
    """RFC 9110, 10.1.1: the client waits for 100; a refusal comes instead of it."""
    name = digest(b"hello")
    with connected(registry) as (sock, stream):
        head = f"POST /v2/{repository}/blobs/uploads/?digest={name} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        sock.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        stream.readline()
        sock.sendall(b"hello")
        assert status_of(stream) == 201
        sock.sendall(f"{head}Expect: 100-continue\r\n\r\n".replace(repository, "NO").encode())
        assert status_of(stream) == 400
        assert stream.read() == b""
    assert call("GET", f"/v2/{repository}/blobs/{name}").body == b"hello"


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -5",
        "Content-Length: 5x",
        "Content-Length: " + "9" * 40,
        "Transfer-Encoding: gzip, chunked",
        "Content-Length : 5",
        "no header\r\nContent-Length: 5",
    ],
)
def test_a_body_of_unclear_length_is_refused_and_the_connection_closed(
    registry: EmbeddedRegistry, repository: str, framing: str
) -> None:
    """RFC 9112, 6.3 and 11.2: or two servers in a row would see two different requests."""
    with connected(registry) as (sock, stream):
        sock.sendall(f"PUT /v2/{repository}/manifests/a HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        assert status_of(stream) == 400
        assert stream.read() == b""


@pytest.mark.parametrize("chunk", [b"zz\r\nhello\r\n", b"-5\r\nhello\r\n", b"5\r\nhel", b"\r\n", b"1" * 5000])
def test_a_broken_chunk_ends_the_connection(registry: EmbeddedRegistry, repository: str, chunk: bytes) -> None:
    with connected(registry) as (sock, stream):
        head = f"PUT /v2/{repository}/manifests/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock.sendall(head.encode() + chunk)
        sock.shutdown(socket.SHUT_WR)
        assert status_of(stream) == 0


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("nonsense", 400),
        ("GET /v2/", 200),  # HTTP/0.9
        ("GET http://x/v2/ HTTP/1.1", 200),
        ("GET http://x HTTP/1.1", 404),
        ("OPTIONS * HTTP/1.1", 404),
        ("GET /v2/ HTTP/9.0", 505),
        ("BREW /v2/ HTTP/1.1", 501),
        ("GET " + "x" * 70000 + " HTTP/1.1", 414),
    ],
)
def test_every_request_line_gets_an_answer(registry: EmbeddedRegistry, request_line: str, status: int) -> None:
    with connected(registry) as (sock, stream):
        sock.sendall(f"{request_line}\r\nHost: x\r\n\r\n".encode())
        assert status_of(stream) == status


def test_http_1_0_is_answered_and_closed(registry: EmbeddedRegistry) -> None:
    with connected(registry) as (sock, stream):
        sock.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
        assert status_of(stream) == 200
        assert stream.read() == b""


def test_chunks_with_extensions_and_trailers(registry: EmbeddedRegistry, call: Caller, repository: str) -> None:
    """RFC 9112, 7.1.1 and 7.1.2: read and passed over."""
    name = digest(b"hello world")
    with connected(registry) as (sock, stream):
        head = f"POST /v2/{repository}/blobs/uploads/?digest={name} HTTP/1.1\r\nHost: x\r\n"
        body = b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"
        sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + body)
        assert status_of(stream) == 201
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(stream) == 200
    assert call("GET", f"/v2/{repository}/blobs/{name}").body == b"hello world"


def test_a_client_that_breaks_off_leaves_an_upload_that_can_be_resumed(
    registry: EmbeddedRegistry, call: Caller, repository: str
) -> None:
    data = os.urandom(3 * MIB)
    location = call("POST", f"/v2/{repository}/blobs/uploads/").location
    with connected(registry) as (sock, stream):
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        sock.sendall(head.encode() + data[: 2 * MIB])
        sock.shutdown(socket.SHUT_WR)
        assert status_of(stream) == 0
    state = call("GET", location)
    assert (state.status, state.headers["Range"]) == (204, f"0-{2 * MIB - 1}")
    rest = {"Content-Range": f"{2 * MIB}-{len(data) - 1}"}
    assert call("PATCH", location, data[2 * MIB :], rest).status == 202
    assert call("PUT", f"{location}?digest={digest(data)}").status == 201
    assert call("GET", f"/v2/{repository}/blobs/{digest(data)}").body == data


def test_a_client_that_breaks_off_a_single_post_leaves_nothing(
    registry: EmbeddedRegistry, call: Caller, repository: str
) -> None:
    data = os.urandom(1000)
    with connected(registry) as (sock, stream):
        head = f"POST /v2/{repository}/blobs/uploads/?digest={digest(data)} HTTP/1.1\r\nHost: x\r\n"
        sock.sendall(f"{head}Content-Length: 1000\r\n\r\n".encode() + data[:999])
        sock.shutdown(socket.SHUT_WR)
        assert status_of(stream) == 0
    assert call("GET", f"/v2/{repository}/tags/list").status == 404


@pytest.mark.parametrize(
    ("begun", "drip"),
    [
        (b"", b""),
        (b"GET /v2/ HT", b"T"),
        (b"GET /v2/ HTTP/1.1\r\nX: ", b"x"),
        (b"PUT /v2/a/manifests/b HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", b"x"),
    ],
    ids=["silence", "request-line", "headers", "body"],
)
def test_a_client_that_dawdles_is_cut_off(begun: bytes, drip: bytes) -> None:
    """A deadline for the whole of the headers, and a least speed for a body: a byte now and then buys no time."""
    with EmbeddedRegistry(patience=0.4) as registry, connected(registry) as (sock, _):
        sock.sendall(begun)
        sock.settimeout(0.05)
        for _ in range(200):  # 10 s at most; it is over after a few
            try:
                if drip:
                    sock.sendall(drip)
                if sock.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
        pytest.fail("the connection is still open")


def test_a_slow_reader_and_a_large_blob(registry: EmbeddedRegistry, call: Caller, repository: str) -> None:
    """The blob is sent in pieces, each with a time limit of its own; a reader that takes its time gets it all."""
    data = os.urandom(8 * MIB)
    push_blob(call, repository, digest(data), data)
    with connected(registry) as (sock, stream):
        sock.sendall(f"GET /v2/{repository}/blobs/{digest(data)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while stream.readline().strip():
            pass
        got = bytearray()
        while len(got) < len(data):
            got += stream.read(MIB)
            time.sleep(0.01)
        assert got == data


def test_stopping_ends_open_connections_and_frees_the_port() -> None:
    registry = EmbeddedRegistry().start()
    host, port = registry.host.rsplit(":", 1)
    with connected(registry) as (sock, stream):
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(stream) == 200
        registry.stop()
        assert stream.read() == b""
    with EmbeddedRegistry(address=(host, int(port))) as again:
        assert again.host == f"{host}:{port}"


def test_an_observer_is_told_of_every_request(repository: str) -> None:
    seen: list[Exchange] = []
    with EmbeddedRegistry(observer=seen.append) as registry:
        call = Caller(registry.host)
        push_blob(call, repository, digest(b"hello"), b"hello")
        call("GET", f"/v2/{repository}/blobs/{digest(b'hello')}", headers={"X-Mine": "yes"})
        call("HEAD", f"/v2/{repository}/blobs/{digest(b'hello')}")
        call("GET", "/nothing")
        call.close()
    assert [(each.method, each.status, each.bytes_in) for each in seen] == [
        ("POST", 201, 5),
        ("GET", 200, 0),
        ("HEAD", 200, 0),
        ("GET", 404, 0),
    ]
    assert seen[0].path == f"/v2/{repository}/blobs/uploads/?digest={digest(b'hello')}"
    assert [each.bytes_out for each in seen[:3]] == [0, 5, 0]
    assert seen[1].headers["x-mine"] == "yes"
