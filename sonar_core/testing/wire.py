"""HTTP/1.1 as bytes on a socket: requests are read leniently, answers sent as told, however broken."""

from __future__ import annotations

import json as jsonlib
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    import threading

_MAX_HEAD = 1024 * 1024
_LINGER_SECONDS = 2.0
_NO_JSON: Any = object()


@dataclass(frozen=True)
class Request:
    """One request as it arrived. `connection` counts from 1 for each origin, `time` is `time.monotonic()`.

    `complete` is false when the body broke off, or was left unread because the answer said so.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    complete: bool = True
    connection: int = 0
    time: float = 0.0

    @property
    def path(self) -> str:
        """The target without its query, undecoded."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's parameters, decoded; each may come several times."""
        found: dict[str, list[str]] = {}
        for name, value in parse_qsl(urlsplit(self.target).query, keep_blank_values=True):
            found.setdefault(name, []).append(value)
        return found

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        return next(iter(self.all_headers(name)), None)

    def all_headers(self, name: str) -> list[str]:
        """Every header of that name, in the order in which they came."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def form(self) -> dict[str, list[str]]:
        """The body read as `application/x-www-form-urlencoded`."""
        found: dict[str, list[str]] = {}
        for name, value in parse_qsl(self.body.decode(), keep_blank_values=True):
            found.setdefault(name, []).append(value)
        return found


@dataclass(frozen=True)
class Answer:
    """What one request gets, down to how the connection ends.

    `headers` are sent in their order; `Content-Length` and, with `json`, `Content-Type` are added unless
    given, so a lie about the length is simply a header. `lines` are raw header lines, sent as they are
    (malformed, folded, with any bytes). `raw` replaces the whole answer by these bytes.

    `delay` is in seconds, before the first byte. `drip_head=(n, t)` and `drip=(n, t)` send n bytes each t
    seconds. `times` sends the body that often, without holding it in memory. `framing` is "length",
    "chunked", or "close" (no length; the end of the connection ends the body). `cut` sends only so many
    bytes of the body as framed.

    `then` is what follows: "keep" the connection, "close" it, "reset" it (RST), or "hang" (silence until
    the client goes away). `read` is how much of the request's body is read before answering; 0 answers at
    the headers.
    """

    status: int = 200
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = ()
    body: bytes = b""
    json: Any = _NO_JSON
    reason: str | None = None
    lines: Sequence[bytes] = ()
    raw: bytes | None = None
    delay: float = 0.0
    drip_head: tuple[int, float] | None = None
    drip: tuple[int, float] | None = None
    times: int = 1
    framing: Literal["length", "chunked", "close"] = "length"
    cut: int | None = None
    then: Literal["keep", "close", "reset", "hang"] = "keep"
    read: int | None = None

    @property
    def content(self) -> bytes:
        """The body's bytes, once."""
        return self.body if self.json is _NO_JSON else jsonlib.dumps(self.json).encode()

    def head(self) -> bytes:
        """Status line and headers, as they are sent."""
        pairs = list(self.headers.items() if isinstance(self.headers, Mapping) else self.headers)
        given = {name.lower() for name, _ in pairs}
        given |= {line.partition(b":")[0].strip().lower().decode("latin-1") for line in self.lines}
        if self.json is not _NO_JSON and "content-type" not in given:
            pairs.append(("Content-Type", "application/json"))
        if self.framing == "chunked":
            pairs.append(("Transfer-Encoding", "chunked"))
        elif self.framing == "length" and "content-length" not in given and self.has_body():
            pairs.append(("Content-Length", str(len(self.content) * self.times)))
        reason = _reason(self.status) if self.reason is None else self.reason
        lines = [f"HTTP/1.1 {self.status} {reason}".encode("latin-1")]
        lines += [f"{name}: {value}".encode("latin-1") for name, value in pairs]
        return b"\r\n".join([*lines, *self.lines, b"", b""])

    def has_body(self) -> bool:
        """Whether HTTP allows this status a body (RFC 9110, section 6.4.1)."""
        return self.status >= 200 and self.status not in {204, 304}

    def pieces(self) -> Iterator[bytes]:
        """The body as framed, piece by piece."""
        content = self.content
        for _ in range(self.times):
            if self.framing == "chunked" and content:
                yield b"%x\r\n%b\r\n" % (len(content), content)
            elif content:
                yield content
        if self.framing == "chunked":
            yield b"0\r\n\r\n"


# The connection ends, or nothing comes at all, before any answer.
RESET = Answer(raw=b"", then="reset")
CLOSE = Answer(raw=b"", then="close")
HANG = Answer(raw=b"", then="hang")


@dataclass
class Wire:
    """One connection: bytes in, bytes out, and an `ending` event that cuts every wait short."""

    sock: socket.socket
    ending: threading.Event
    buffer: bytearray = field(default_factory=bytearray)

    def _fill(self) -> bool:
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def read_head(self) -> tuple[str, str, tuple[tuple[str, str], ...]] | None:
        """Method, target and headers of the next request, or None where the client is done."""
        while b"\r\n\r\n" not in self.buffer:
            if len(self.buffer) > _MAX_HEAD or not self._fill():
                return None
            if not self.buffer[:1].isalpha():  # a TLS handshake, mostly
                self.sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                raise ValueError("what came is not HTTP")
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, remains = first.partition(" ")
        headers = [line.partition(":") for line in lines]
        return method, remains.rpartition(" ")[0], tuple((k.strip(), v.strip()) for k, _, v in headers)

    def read_body(self, request: Request, limit: int | None) -> tuple[bytes, bool]:
        """The request's body, at most `limit` bytes of it, and whether that was all."""
        chunked = (request.header("Transfer-Encoding") or "").lower() == "chunked"
        size = int(request.header("Content-Length") or 0)
        if not chunked and size == 0:
            return b"", True
        if limit == 0:
            return b"", False
        if (request.header("Expect") or "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self._read_chunks(limit) if chunked else self._read_sized(size, limit)

    def _read_sized(self, size: int, limit: int | None) -> tuple[bytes, bool]:
        wanted = size if limit is None else min(size, limit)
        whole = self._await(wanted)
        return self._take(wanted), whole and wanted == size

    def _read_chunks(self, limit: int | None) -> tuple[bytes, bool]:
        body = bytearray()
        while limit is None or len(body) < limit:
            while b"\r\n" not in self.buffer:
                if not self._fill():
                    return bytes(body), False
            line, _, rest = bytes(self.buffer).partition(b"\r\n")
            self.buffer = bytearray(rest)
            size = int(line.split(b";")[0], 16)
            if not self._await(size + 2):
                return bytes(body + self.buffer[:size]), False
            body += self._take(size + 2)[:size]
            if size == 0:
                return bytes(body), True
        return bytes(body), False

    def _await(self, size: int) -> bool:
        """Fills the buffer until it holds `size` bytes; false where the client went away."""
        while len(self.buffer) < size:
            if not self._fill():
                return False
        return True

    def _take(self, size: int) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def send(self, answer: Answer, *, head_only: bool) -> None:
        """Sends the answer, as slowly as it says. `head_only` is for HEAD."""
        self.ending.wait(answer.delay)
        if answer.raw is not None:
            self._deliver(answer.raw[: answer.cut], answer.drip)
            return
        self._deliver(answer.head(), answer.drip_head)
        if head_only or not answer.has_body():
            return
        left = answer.cut
        for piece in answer.pieces():
            if self.ending.is_set() or left == 0:
                return
            self._deliver(piece[:left], answer.drip)
            left = None if left is None else max(0, left - len(piece))

    def _deliver(self, data: bytes, drip: tuple[int, float] | None) -> None:
        if drip is None:
            self.sock.sendall(data)
            return
        size, seconds = drip
        for start in range(0, len(data), size):
            if self.ending.wait(seconds if start else 0):
                return
            self.sock.sendall(data[start : start + size])

    def finish(self, then: str) -> None:
        """Ends the connection: "reset", "hang" until the client leaves, or a close that waits for it."""
        if then == "reset":
            self._drain_sent()
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if then != "hang":
            # Unread bytes at close() would make it a reset and lose the answer (RFC 9112, section 9.6).
            self.sock.shutdown(socket.SHUT_WR)
            self.sock.settimeout(_LINGER_SECONDS)
        while self.sock.recv(65536):
            pass

    def _drain_sent(self) -> None:
        """Waits until the kernel has sent what was written: a reset throws away what still waits there."""
        import fcntl
        import termios

        deadline = time.monotonic() + _LINGER_SECONDS
        while time.monotonic() < deadline:
            queued = struct.unpack("i", fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
            if queued == 0 or self.ending.wait(0.002):
                return


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
