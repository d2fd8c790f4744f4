"""Connections: kept for the next request, dropped where that is safer, interrupted when the client is closed."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.errors import ConnectionFailed, SonarError, TimedOut
from sonar_core.testing.scripted import CLOSE, HANG, RESET, Answer, Origin
from sonar_core.transport import Request

if TYPE_CHECKING:
    from collections.abc import Callable

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
    with pytest.raises(ConnectionFailed, match="the client was closed"):
        transport.send(Request("GET", f"{scripted.url}/x"))
    with pytest.raises(ConnectionFailed, match="the client was closed"):
        transport.pause(60)
    assert scripted.connections == 0


# ── names with several addresses ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "first",
    [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1)),
        (9999, socket.SOCK_STREAM, 6, "", ("::1", 1, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80)),
    ],
    ids=["refused", "a family that the system lacks", "an address that is never followed"],
)
def test_the_next_address_is_tried(
    first: Any, scripted: Origin, transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may have an address that does not answer: an IPv6 one, mostly."""
    second = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (scripted.address, scripted.port))
    addresses = {scripted.address: [second], "other.test": [first, second]}
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *_: addresses[host if isinstance(host, str) else host.decode()]
    )
    scripted.on("GET", "/x", Answer(307, {"Location": f"http://other.test:{scripted.port}/y"}))
    scripted.on("GET", "/y", Answer(200, body=b"found"))
    transport = transports(scripted.url, attempts=1)
    assert transport.send(Request("GET", f"{scripted.url}/x")).read(10) == b"found"


def test_each_address_has_its_share_of_the_time(
    scripted: Origin, transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that swallows packets leaves time for the next; here the queue of a listener that never accepts is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as stack:
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
            for address in (deaf.getsockname(), (scripted.address, scripted.port))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: addresses)
        scripted.on("GET", "/x", Answer(200, body=b"found"))
        transport = transports(scripted.url, attempts=1, timeout=2.0)
        assert transport.send(Request("GET", f"{scripted.url}/x")).read(10) == b"found"


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://h/v2/a/manifests/v1?n=5&last=b", "h", "/v2/a/manifests/v1?n=5&last=b"),
        ("http://H:80", "h", "/"),
        ("https://h:443/x#part", "h", "/x"),
        ("https://h:80/x", "h:80", "/x"),
        ("http://[::1]:5000/a//b", "[::1]:5000", "/a//b"),
        ("http://[fe80::1%25eth0]/a", "[fe80::1]", "/a"),
        ("http://h/a/../b/./c", "h", "/b/c"),
        ("http://h/a b?c=\xe9\r\nX: 1", "h", "/a%20b?c=%C3%A9%0D%0AX:%201"),
        ("http://h/%7Ea%2fb?X-Sig=a%2Bb%3D", "h", "/%7Ea%2Fb?X-Sig=a%2Bb%3D"),
        ("http://h?q", "h", "/?q"),
    ],
)
def test_host_and_target(url: str, host: str, target: str) -> None:
    """Encoded as urllib3 does it, without what would end the line (CWE-93)."""
    from sonar_core.connections import _parts

    assert _parts(url) == (host, target)


def test_connections_to_many_origins(origins: Callable[..., Origin], transports: Callable[..., Transport]) -> None:
    """A blob store may have a name for each blob: the connections of the first are let go of, and all answer."""
    several = [origins() for _ in range(18)]
    for origin in several:
        origin.on("GET", "/x", Answer(200, body=origin.host.encode()))
    transport = transports(several[0].url)
    for origin in [*several, *several]:
        assert transport.send(Request("GET", f"{origin.url}/x")).read(30) == origin.host.encode()
    assert len(transport._ways) == 16
