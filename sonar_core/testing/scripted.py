"""A scripted registry on a real socket: a test says what each request gets, and reads what arrived.

    def test_asks_twice(scripted):
        scripted.on("GET", "/v2/", Answer(503), Answer(200, json={}))
        ...
        assert [r.path for r in scripted.requests] == ["/v2/", "/v2/"]

It speaks just enough HTTP/1.1 to be told to break it: resets, drips, lies about lengths, raw bytes.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sonar_core.testing.wire import CLOSE, HANG, RESET, Answer, Request, Wire

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

__all__ = ["CLOSE", "HANG", "RESET", "Answer", "Origin", "Reply", "Request", "error"]

Reply = Answer | Callable[[Request], Answer]


def error(status: int, code: str, message: str = "", **fields: object) -> Answer:
    """An error answer as the distribution spec words it (section "Error Codes")."""
    return Answer(status, json={"errors": [{"code": code, "message": message or code.lower(), **fields}]})


@dataclass
class _Route:
    method: str
    path: str | re.Pattern[str]
    replies: tuple[Reply, ...]
    calls: int = 0

    def matches(self, request: Request) -> bool:
        if self.method != "*" and request.method not in self.method.split("|"):
            return False
        if isinstance(self.path, str):
            return self.path == (request.target if "?" in self.path else request.path)
        return bool(self.path.fullmatch(request.path) or self.path.fullmatch(request.target))

    def next(self) -> Reply:
        reply = self.replies[min(self.calls, len(self.replies) - 1)]
        self.calls += 1
        return reply


@dataclass
class Origin:
    """One origin (scheme, host, port) on a free port, with its script and its record. Listens from the start.

    `tls` is a server's `ssl.SSLContext` (see `certificates.Authority.server_context`), or None for plain
    http. `default` answers what no route matches. Close it, or use it in a `with`.
    """

    address: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    default: Reply = field(default_factory=lambda: error(404, "NOT_FOUND"))

    def __post_init__(self) -> None:
        self._routes: list[_Route] = []
        self._requests: list[Request] = []
        self._failures: list[str] = []
        self._arrival = threading.Condition()
        self._ending = threading.Event()
        self._connections = 0
        self._open: dict[socket.socket, threading.Thread] = {}
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self._listener = socket.create_server((self.address, 0), family=family, backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name=f"origin {self.host}", daemon=True)
        self._acceptor.start()

    @property
    def host(self) -> str:
        """`127.0.0.1:41234`, as in a reference."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:41234`, without a slash at the end."""
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def on(self, method: str, path: str | re.Pattern[str], *replies: Reply) -> None:
        """The requests of `method` ("GET", "GET|HEAD", "*") to `path` get these answers in turn, the last
        for good.

        A string is the whole path, with its query if it has a "?"; a compiled pattern matches the path,
        or path and query, from end to end. A reply may be a function from `Request` to `Answer`. A later
        route comes before earlier ones.
        """
        if not replies:
            raise ValueError("a route needs at least one answer")
        with self._arrival:
            self._routes.insert(0, _Route(method, path, replies))

    @property
    def requests(self) -> list[Request]:
        """What arrived so far, in the order in which the requests were complete."""
        with self._arrival:
            return list(self._requests)

    def calls(self, method: str = "*", path: str | re.Pattern[str] | None = None) -> list[Request]:
        """Those of `requests` with that method and path, by the rules of `on`."""
        wanted = _Route(method, re.compile(".*", re.DOTALL) if path is None else path, ())
        return [request for request in self.requests if wanted.matches(request)]

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return self._connections

    @property
    def failures(self) -> list[str]:
        """Connections that ended badly: refused TLS handshakes, garbage, a client that left too early."""
        with self._arrival:
            return list(self._failures)

    def wait_for(self, count: int, *, timeout: float = 10.0) -> list[Request]:
        """Blocks until `count` requests arrived, and returns them. Raises TimeoutError."""
        with self._arrival:
            if not self._arrival.wait_for(lambda: len(self._requests) >= count, timeout):
                raise TimeoutError(f"{len(self._requests)} of {count} requests arrived at {self.url}")
            return list(self._requests)

    def forget(self) -> None:
        """Empties the record; the script stays."""
        with self._arrival:
            self._requests.clear()
            self._failures.clear()

    def close(self) -> None:
        """Ends every connection and thread. May be called again."""
        if self._ending.is_set():
            return
        self._ending.set()
        with contextlib.suppress(OSError):  # wakes accept() on every system; closing the listener does not
            socket.create_connection((self.address, self.port), timeout=1).close()
        self._acceptor.join(5)
        self._listener.close()
        with self._arrival:
            left = dict(self._open)
        for sock in left:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in left.values():
            thread.join(5)
        if alive := [thread.name for thread in (self._acceptor, *left.values()) if thread.is_alive()]:
            raise RuntimeError(f"threads of {self.url} still run: {alive}")

    def __enter__(self) -> Origin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._ending.is_set():
                sock.close()
                return
            self._connections += 1
            number = self._connections
            name = f"origin {self.host} connection {number}"
            thread = threading.Thread(target=self._serve, args=(sock, number), name=name, daemon=True)
            with self._arrival:
                self._open[sock] = thread
            thread.start()

    def _serve(self, plain: socket.socket, number: int) -> None:
        sock = plain
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(plain, server_side=True)
                with self._arrival:
                    self._open[sock] = self._open.pop(plain)
            wire = Wire(sock, self._ending)
            while not self._ending.is_set() and self._exchange(wire, number):
                pass
        except (OSError, ValueError) as problem:
            with self._arrival:
                self._failures.append(f"connection {number}: {problem}")
        finally:
            sock.close()
            plain.close()
            with self._arrival:
                self._open.pop(sock, None)
                self._open.pop(plain, None)

    def _exchange(self, wire: Wire, number: int) -> bool:
        """One request and its answer; whether the connection goes on."""
        head = wire.read_head()
        if head is None:
            return False
        request = Request(*head, connection=number, time=time.monotonic())
        reply = self._choose(request)
        try:
            body, complete = wire.read_body(request, reply.read if isinstance(reply, Answer) else None)
        except OSError:
            self._record(replace(request, complete=False))
            raise
        request = replace(request, body=body, complete=complete)
        self._record(request)
        answer = reply if isinstance(reply, Answer) else reply(request)
        wire.send(answer, head_only=request.method == "HEAD")
        if answer.then == "keep" and complete and answer.framing != "close":
            return (request.header("Connection") or "").lower() != "close"
        wire.finish(answer.then)
        return False

    def _choose(self, request: Request) -> Reply:
        with self._arrival:
            for route in self._routes:
                if route.matches(request):
                    return route.next()
        return self.default

    def _record(self, request: Request) -> None:
        with self._arrival:
            self._requests.append(request)
            self._arrival.notify_all()
