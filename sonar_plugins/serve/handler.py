"""HTTP/1.1 on one connection: requests read within time limits, answered, the connection kept or closed."""

from __future__ import annotations

import io
import logging
import socket
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from . import routes
from .body import Body, Disconnected, TimedReader
from .messages import Exchange, Fault, Request, Response, Slice

if TYPE_CHECKING:
    from .server import Server

SMALL = 1 << 16  # bytes of a body that go out together with the headers
DRAINED = 1 << 20  # bytes of an unwanted body that are read so that the connection can be kept
LINGER = 2.0  # seconds that a closed connection is read on, so that the client gets to see the answer

log = logging.getLogger("sonar.serve")
log.addHandler(logging.NullHandler())


class Handler(BaseHTTPRequestHandler):
    """One connection. `http.server` reads the request line and the headers; the rest is done here."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.limited = TimedReader(self.connection, self.server.patience)
        self.rfile = io.BufferedReader(self.limited, SMALL)
        self.continue_awaited = False

    def handle_one_request(self) -> None:
        self.continue_awaited = False
        self.limited.deadline = time.monotonic() + self.server.patience
        try:
            super().handle_one_request()
        except (OSError, Disconnected):  # the client went away, or was too slow
            self.close_connection = True

    def handle_expect_100(self) -> bool:
        self.continue_awaited = True  # said when the body is read: a refusal comes instead of it
        return True

    def do_GET(self) -> None:
        """Answer a request of any method."""
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        try:
            if self.headers.defects or self.headers.get_payload():
                raise Fault(400, "UNSUPPORTED", "a line among the headers is no header")
            length = Body.length_of(headers)
        except Fault as fault:  # there is no telling where the next request begins
            self.close_connection = True
            self._finish(fault.response(), Body(self.rfile, length=0), headers)
            return
        body = Body(self.rfile, length=length, before_reading=self._say_continue, extend=self.limited.extend)
        self._finish(self._answer(headers, body), body, headers)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def _answer(self, headers: dict[str, str], body: Body) -> Response:
        path, _, query = self.path.partition("?")
        if not path.startswith("/"):  # http://host/v2/, as to a proxy (RFC 9112, 3.2.2)
            path = "/" + path.partition("://")[2].partition("/")[2]
        request = Request(self.command, path, parse_qs(query, keep_blank_values=True), headers, body)
        try:
            return routes.answer(self.server.service, request)
        except Fault as fault:
            return fault.response()
        except (TimeoutError, ConnectionError, Disconnected):
            raise
        except Exception as error:
            log.exception("%s %s failed", self.command, self.path)
            return Fault(500, "UNKNOWN", f"the registry failed: {error}").response()

    def _finish(self, response: Response, body: Body, headers: dict[str, str]) -> None:
        try:
            unread = body.unread and (self.continue_awaited or not body.skip(DRAINED))
            if unread:
                self.close_connection = True
            if self.server.observer is not None:
                size = 0 if self.command == "HEAD" else len(response.body)
                exchange = Exchange(self.command, self.path, response.status, headers, body.received, size)
                self.server.observer(exchange)
            self._send(response)
        finally:
            if isinstance(response.body, Slice):
                response.body.content.close()
        if unread:
            self._linger()

    def _send(self, response: Response) -> None:
        self.connection.settimeout(self.server.patience)
        self._headers_buffer: list[bytes] = []
        self.request_version = self.protocol_version  # or HTTP/0.9 would get an answer without headers
        self.send_response_only(response.status)
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        for name, value in response.headers:
            self.send_header(name, value)
        if response.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self._headers_buffer.append(b"\r\n")
        body = response.body
        if self.command == "HEAD":
            body = b""
        elif isinstance(body, Slice) and body.count == body.content.size <= SMALL:
            body = body.content.read()
        if isinstance(body, Slice):
            self.flush_headers()
            body.content.send(self.connection, body.offset, body.count)
        else:
            self._headers_buffer.append(body)
            self.flush_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A request that could not be read, or one with a method that nobody knows."""
        self.close_connection = True
        self._send(Fault(int(code), "UNSUPPORTED", message or HTTPStatus(code).phrase).response())

    def _say_continue(self) -> None:
        if self.continue_awaited:
            self.continue_awaited = False
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _linger(self) -> None:
        """Closing with unread bytes resets the connection: the client may never see the answer (RFC 9112, 9.6)."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            until = time.monotonic() + LINGER
            while (left := until - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv(SMALL):
                    return

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is logged: an observer is told instead."""
