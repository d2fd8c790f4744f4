"""A reverse proxy that misbehaves: resets, delays, refuses for a moment, and corrupts blobs, by chance and counted."""

from __future__ import annotations

import http.client
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

_BLOB = re.compile(r"/v2/.+/blobs/sha256:[0-9a-f]{64}")
_SECONDS = 30
_DROPPED = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Faulty:
    """Passes requests on to `target` ("127.0.0.1:5000"), but for the share of them that it spoils.

    Shares: `reset` of the requests lose their connection (before or in the middle of the answer), `delay` wait for
    `pause` seconds, `busy` are answered 429 or 503, `corrupt` of the blob bodies have one byte changed.
    `counts` says how often each happened. A context manager.
    """

    def __init__(
        self,
        target: str,
        *,
        reset: float = 0.05,
        delay: float = 0.05,
        busy: float = 0.05,
        corrupt: float = 0.01,
        pause: float = 0.05,
        seed: int = 1,
    ) -> None:
        self.target = target
        self.shares = {"reset": reset, "delay": delay, "busy": busy}
        self.corrupt = corrupt
        self.pause = pause
        self.counts: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.faulty = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="faulty", daemon=True)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def fault(self) -> str:
        """What is to happen to the next request: "reset", "delay", "busy", or nothing."""
        with self._lock:
            self.counts["requests"] += 1
            chance = self._random.random()
            for name, share in self.shares.items():
                chance -= share
                if chance < 0:
                    self.counts[name] += 1
                    return name
            return ""

    def corrupts(self) -> bool:
        """Whether the blob at hand is to be corrupted."""
        with self._lock:
            found = self._random.random() < self.corrupt
            self.counts["corrupt"] += found
            return found

    def pick(self, most: int) -> int:
        """A number from 0 to `most` - 1."""
        with self._lock:
            return self._random.randrange(most)

    def __enter__(self) -> Faulty:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    faulty: Faulty
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or that was reset: expected here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""

    def _pass(self) -> None:
        faulty = self.server.faulty
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = faulty.fault()
        if fault == "busy":
            self._answer(*((429, [("Retry-After", "0")]) if faulty.pick(2) else (503, [])), b"")
            return
        if fault == "reset" and faulty.pick(2):
            self._reset()
            return
        if fault == "delay":
            time.sleep(faulty.pause)
        status, headers, content = self._ask(body)
        if _BLOB.fullmatch(self.path) and self.command == "GET" and status == 200 and content and faulty.corrupts():
            place = faulty.pick(len(content))
            content = content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]
        if fault == "reset":
            self._answer(status, headers, content, cut=faulty.pick(len(content) + 1))
            self._reset()
            return
        self._answer(status, headers, content)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _pass

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.faulty.target, timeout=_SECONDS)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in {"connection"}}
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _DROPPED]
            if self.command == "HEAD":
                kept.append(("Content-Length", answer.headers.get("Content-Length") or "0"))
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:cut])

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
