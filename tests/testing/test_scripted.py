"""The scripted origin does what it is told, byte by byte, and records what arrived."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import CLOSE, HANG, RESET, Answer, Origin, Request, error

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.testing.certificates import Authority, Certificate


def talk(origin: Origin, sent: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> bytes:
    """Everything that comes back for these bytes, until the connection ends."""
    with socket.create_connection((origin.address, origin.port), timeout=10) as sock:
        sock.sendall(sent)
        received = b""
        while data := sock.recv(65536):
            received += data
        return received


def get(origin: Origin, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(origin.address, origin.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_answers_come_in_turn_and_the_last_stays(scripted: Origin) -> None:
    challenge = {"WWW-Authenticate": 'Basic realm="x"'}
    scripted.on("GET", "/v2/", Answer(401, challenge), Answer(200, json={"ok": True}))

    assert [get(scripted, "/v2/")[0] for _ in range(3)] == [401, 200, 200]
    assert json.loads(get(scripted, "/v2/")[1]) == {"ok": True}
    assert [r.path for r in scripted.requests] == ["/v2/"] * 4


def test_json_null_is_a_body(scripted: Origin) -> None:
    scripted.on("GET", "/x", Answer(json=None))
    assert get(scripted, "/x") == (200, b"null")


def test_a_path_with_a_query_matches_only_that_and_a_later_route_comes_first(scripted: Origin) -> None:
    scripted.on("GET", re.compile(r"/v2/.*"), Answer(200, body=b"any"))
    scripted.on("GET", "/v2/a/tags/list?n=2", Answer(200, body=b"two"))
    scripted.on("*", re.compile(r"/v2/b\?last=.*"), Answer(200, body=b"last"))

    assert get(scripted, "/v2/a/tags/list?n=2")[1] == b"two"
    assert get(scripted, "/v2/a/tags/list?n=3")[1] == b"any"
    assert get(scripted, "/v2/b?last=x%2Fy")[1] == b"last"
    assert scripted.calls("GET", "/v2/b")[0].query == {"last": ["x/y"]}


def test_no_route_is_a_404_in_the_words_of_the_spec(scripted: Origin) -> None:
    status, body = get(scripted, "/nowhere")
    assert (status, json.loads(body)["errors"][0]["code"]) == (404, "NOT_FOUND")


def test_a_reply_may_be_a_function_of_the_request(scripted: Origin) -> None:
    def echo(request: Request) -> Answer:
        return Answer(200, body=request.body) if request.complete else error(400, "SIZE_INVALID")

    scripted.on("PUT", "/x", echo)
    connection = http.client.HTTPConnection(scripted.host, timeout=10)
    connection.request("PUT", "/x", body=iter([b"ab", b"c"]), encode_chunked=True)
    assert connection.getresponse().read() == b"abc"
    connection.request("PUT", "/x", body=b"sized")
    assert connection.getresponse().read() == b"sized"
    connection.close()
    assert [r.connection for r in scripted.requests] == [1, 1]
    assert scripted.connections == 1


def test_headers_are_recorded_in_order_and_repeated(scripted: Origin) -> None:
    talk(scripted, b"GET /a?q= HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\nConnection: close\r\n\r\n")
    request = scripted.requests[0]
    assert request.headers == (("X-A", "1"), ("x-a", "2"), ("Connection", "close"))
    assert (request.all_headers("X-a"), request.query) == (["1", "2"], {"q": [""]})


def test_raw_lines_and_a_false_length_are_sent_as_told(scripted: Origin) -> None:
    answer = Answer(200, [("Content-Length", "5")], b"0123456789", lines=[b"no colon", b"X: \xff"], then="close")
    scripted.on("GET", "/", answer)
    assert talk(scripted) == (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nno colon\r\nX: \xff\r\n\r\n0123456789")


def test_raw_replaces_the_whole_answer(scripted: Origin) -> None:
    scripted.on("GET", "/", Answer(raw=b"SSH-2.0-x\r\n", then="close"))
    assert talk(scripted) == b"SSH-2.0-x\r\n"


def test_reset_comes_after_exactly_the_bytes_told(scripted: Origin) -> None:
    scripted.on("GET", "/", Answer(200, body=b"x" * 1_000_000, cut=300_000, then="reset"))
    with socket.create_connection((scripted.address, scripted.port), timeout=10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        received = bytearray()
        with pytest.raises(ConnectionResetError):
            _receive_all(sock, received)
    assert len(received.partition(b"\r\n\r\n")[2]) == 300_000


def _receive_all(sock: socket.socket, received: bytearray) -> None:
    while data := sock.recv(65536):
        received += data


@pytest.mark.parametrize("answer", [RESET, CLOSE])
def test_no_answer_at_all(scripted: Origin, answer: Answer) -> None:
    scripted.on("GET", "/", answer)
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        get(scripted, "/")


def test_close_cuts_a_body_short(scripted: Origin) -> None:
    scripted.on("GET", "/", Answer(200, body=b"x" * 100, cut=40, then="close"))
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(scripted, "/")
    assert (len(caught.value.partial), caught.value.expected) == (40, 60)


def test_framings(scripted: Origin) -> None:
    scripted.on("GET", "/chunked", Answer(200, body=b"abc", times=3, framing="chunked"))
    scripted.on("GET", "/close", Answer(200, body=b"abc", times=2, framing="close"))
    assert get(scripted, "/chunked")[1] == b"abcabcabc"
    assert get(scripted, "/close")[1] == b"abcabc"
    assert b"\r\n\r\n3\r\nabc\r\n" in talk(scripted, b"GET /chunked HTTP/1.1\r\nConnection: close\r\n\r\n")


def test_drip_sends_piece_by_piece(scripted: Origin) -> None:
    scripted.on("GET", "/", Answer(200, body=b"abcdef", drip=(2, 0.05), drip_head=(20, 0.01), then="close"))
    with socket.create_connection((scripted.address, scripted.port), timeout=10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        pieces = []
        while data := sock.recv(65536):
            pieces.append(data)
    assert len(pieces) > 3
    assert b"".join(pieces).endswith(b"abcdef")


def test_head_gets_the_length_and_no_body(scripted: Origin) -> None:
    scripted.on("GET|HEAD", "/", Answer(200, body=b"abc"))
    received = talk(scripted, b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert received.endswith(b"Content-Length: 3\r\n\r\n")


def test_an_answer_at_the_headers_leaves_the_body_unread(scripted: Origin) -> None:
    scripted.on("PUT", "/", Answer(413, read=0))
    head = b"PUT / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n"
    received = talk(scripted, head + b"x" * 3_000_000)
    assert received.startswith(b"HTTP/1.1 413 ")
    assert (scripted.requests[0].body, scripted.requests[0].complete) == (b"", False)


def test_an_upload_can_be_reset_half_way(scripted: Origin) -> None:
    scripted.on("PUT", "/", Answer(raw=b"", read=10, then="reset"))
    with pytest.raises(ConnectionResetError):
        talk(scripted, b"PUT / HTTP/1.1\r\nContent-Length: 30\r\n\r\n" + b"x" * 20)
    assert scripted.requests[0].body == b"x" * 10


def test_a_client_that_leaves_in_the_middle_is_recorded_as_incomplete(scripted: Origin) -> None:
    with socket.create_connection((scripted.address, scripted.port), timeout=10) as sock:
        sock.sendall(b"PUT /half HTTP/1.1\r\nContent-Length: 30\r\n\r\nabc")
    request = scripted.wait_for(1)[0]
    assert (request.body, request.complete) == (b"abc", False)


def test_closing_ends_hanging_connections_and_leaves_no_thread_or_socket() -> None:
    before = set(threading.enumerate())
    origin = Origin()
    origin.on("GET", "/hang", HANG)
    origin.on("GET", "/slow", Answer(delay=3600))
    origin.on("GET", "/drip", Answer(body=b"x" * 100, drip=(1, 3600)))
    sockets = [socket.create_connection((origin.address, origin.port)) for _ in range(4)]
    for sock, path in zip(sockets, [b"/hang", b"/slow", b"/drip"], strict=False):
        sock.sendall(b"GET %b HTTP/1.1\r\n\r\n" % path)
    origin.wait_for(3)
    origin.close()
    origin.close()
    assert set(threading.enumerate()) <= before
    for sock in sockets:
        sock.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((origin.address, origin.port))


def test_eight_threads_at_once_are_all_recorded(scripted: Origin) -> None:
    scripted.default = Answer(200, body=b"ok")
    threads = [threading.Thread(target=get, args=(scripted, f"/{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {r.path for r in scripted.requests} == {f"/{n}" for n in range(8)}
    assert {r.connection for r in scripted.requests} == set(range(1, 9))


def test_tls_origin_is_trusted_through_its_authority(scripted_tls: Origin, authority: Authority) -> None:
    scripted_tls.default = Answer(200, body=b"secret")
    context = ssl.create_default_context(cafile=str(authority.cert))
    connection = http.client.HTTPSConnection("localhost", scripted_tls.port, context=context, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"secret"
    connection.close()

    stranger = http.client.HTTPSConnection("localhost", scripted_tls.port, timeout=10)
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.request("GET", "/")
    assert scripted_tls.url.startswith("https://127.0.0.1:")


def test_client_certificates_can_be_required(
    origins: Callable[..., Origin],
    authority: Authority,
    server_certificate: Certificate,
    client_certificate: Certificate,
) -> None:
    origin = origins(tls=authority.server_context(server_certificate, require_client=True))
    origin.default = Answer(200, body=b"known")
    context = ssl.create_default_context(cafile=str(authority.cert))
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        _get_tls(origin, context)
    context.load_cert_chain(client_certificate.cert, client_certificate.key)
    assert _get_tls(origin, context) == b"known"
    assert len(origin.requests) == 1


def test_an_expired_certificate_can_be_made(origins: Callable[..., Origin], authority: Authority) -> None:
    origin = origins(tls=authority.server_context(authority.issue("expired", days=-1)))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        _get_tls(origin, ssl.create_default_context(cafile=str(authority.cert)))


def _get_tls(origin: Origin, context: ssl.SSLContext) -> bytes:
    connection = http.client.HTTPSConnection(origin.address, origin.port, context=context, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_origins_on_other_loopback_addresses_and_ipv6(origins: Callable[..., Origin]) -> None:
    assert origins(address="127.0.0.2").host.startswith("127.0.0.2:")
    six = origins(address="::1")
    six.default = Answer(200, body=b"six")
    assert six.url == f"http://[::1]:{six.port}"
    assert get(six, "/")[1] == b"six"


def test_a_route_needs_an_answer(scripted: Origin) -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        scripted.on("GET", "/")
