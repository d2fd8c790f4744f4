"""Messages of HTTP/1.1 (RFC 9112): the head of a request, the head of an answer, and where its body ends.

urllib3 opens the connections and keeps them; what goes over one is written and read here. A list of digests is a
request for each tag, and the parsers of urllib3 and http.client, made for e-mail's headers, cost more than all else.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .timed import READ_AHEAD, Timed

_HEAD = 64 * 1024  # bytes of a head
_LINE = 4096  # bytes of a line among chunks
_LINES = 100  # of a head, of a trailer
_STATUS_LINE = re.compile(r"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?:[ \t].*)?\r?")
_CHUNK_SIZE = re.compile(rb"[ \t]*0*([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
_SWITCHING_PROTOCOLS, _OK, _NO_CONTENT, _NOT_MODIFIED = 101, 200, 204, 304


class NoHttp(Exception):
    """What came is no answer of HTTP."""


class BrokeOff(ConnectionError):
    """The connection ended before the body did."""


class Headers(Mapping[str, str]):
    """Headers by their name, in any case. Several of one name are joined by a comma (RFC 9110, section 5.3)."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.lower(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values[name.lower()])

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or `default`."""
        found = self._values.get(name.lower())
        return default if found is None else ", ".join(found)

    def all(self, name: str) -> list[str]:
        """The values, one for each line of that name."""
        return list(self._values.get(name.lower(), ()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self._values)}>"  # without the values: some are secrets


class Head(NamedTuple):
    """The head of an answer. `keeps`: whether the connection is good for another request after it."""

    status: int
    headers: Headers
    keeps: bool


def request_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """The head of a request: `target` is visible ASCII, `headers` went through `check_headers`."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def read_head(timed: Timed) -> Head:
    """The head of the next answer after the interim ones (RFC 9110, section 15.2). Raises NoHttp, OSError."""
    while True:
        head = timed.head(_HEAD)
        if len(head) > _HEAD:
            raise NoHttp(f"a head of more than {_HEAD} bytes")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\n")
        found = _STATUS_LINE.fullmatch(first)
        if found is None:
            raise NoHttp(first[:60].strip())
        status = int(found[2])
        headers = Headers(_fields(lines))
        if status == _SWITCHING_PROTOCOLS:
            raise NoHttp("another protocol, which nobody asked for")
        if status >= _OK:
            said = headers.get("connection", "").lower()
            keeps = "close" not in said if found[1] != "0" else "keep-alive" in said
            return Head(status, headers, keeps)


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    """Headers; one that was folded is put together (RFC 9112, section 5.2)."""
    if len(lines) > _LINES:
        raise NoHttp(f"more than {_LINES} headers")
    fields: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if name[:1] in (" ", "\t") and fields:
            fields[-1] = (fields[-1][0], f"{fields[-1][1]} {line.strip()}")
        elif not colon or not name or name[0] in " \t":
            raise NoHttp("a header without a name")
        else:
            fields.append((name.rstrip(), value.strip()))
    return fields


def _body_length(method: str, status: int, headers: Headers) -> tuple[bool, int | None]:
    """Whether the body comes in chunks; else its length, None where the end of the connection ends it.

    RFC 9112, section 6.3. Raises NoHttp where that can't be known.
    """
    if method == "HEAD" or status in (_NO_CONTENT, _NOT_MODIFIED):
        return False, 0
    codings = {text.strip().lower() for text in headers.get("transfer-encoding", "identity").split(",")}
    if codings == {"chunked"}:
        return True, None
    if codings != {"identity"}:
        raise NoHttp("a transfer coding that was not asked for")
    lengths = {text.strip() for value in headers.all("content-length") for text in value.split(",")}
    if len(lengths) > 1:
        raise NoHttp("more than one length")
    text = lengths.pop() if lengths else ""
    return False, int(text) if text.isascii() and text.isdigit() and len(text) < 4000 else None


class Answer:
    """An answer whose body is read once, as it comes.

    `give_back` is called once, when the body has ended or nobody wants it: with True where the connection is good for
    another request. An answer without a body gives it back before anyone asks.
    """

    def __init__(self, timed: Timed, method: str, give_back: Callable[[bool], None]) -> None:
        """Read the head. Raises NoHttp, OSError; the connection is not given back then."""
        self._timed = timed
        self._give_back = give_back
        self._reader: io.BufferedReader[Timed] | None = None
        head = read_head(timed)
        self.status = head.status
        self.headers = head.headers
        self._keeps = head.keeps
        #: The bytes that are still to come: of this chunk where there are chunks, None before the first; else of the
        #: body, None where the end of the connection ends it.
        self.chunked, self.left = _body_length(method, head.status, head.headers)
        self.ended = False
        if self.left == 0:
            self._end(self._keeps)
        else:
            timed.start_body()
            self._reader = io.BufferedReader(timed, READ_AHEAD)

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`, fewer at the end of a chunk or before a break; none after the end.

        Raises OSError for what broke it (BrokeOff where it just ended), NoHttp for what is no chunk.
        """
        reader = self._reader
        if reader is not None and self.chunked and not self.ended and not self.left:
            self._next_chunk(reader)
        if reader is None or self.ended:
            return b""
        wanted = size if self.left is None else min(size, self.left)
        piece = reader.read(wanted)
        if self.left is not None:
            self.left -= len(piece)
        if not piece:
            self._nothing_came()
        elif self.left == 0 and not self.chunked:
            self._end(self._keeps)
        return piece

    def _nothing_came(self) -> None:
        if self._timed.failure is not None:
            raise self._timed.failure
        if self.left is not None:
            raise BrokeOff("the body broke off")
        self._end(False)

    def _next_chunk(self, reader: io.BufferedReader[Timed]) -> None:
        """Read a chunk's size, or the trailer after the last (RFC 9112, section 7.1)."""
        if self.left is not None and self._line(reader) not in (b"\r\n", b"\n"):
            raise NoHttp("a chunk that is longer than it says")
        found = _CHUNK_SIZE.fullmatch(self._line(reader))
        if found is None:
            raise NoHttp("the size of a chunk that is none")
        self.left = int(found[1], 16)
        if self.left == 0:
            self._end(self._keeps and self._trailer_ends(reader))

    def _trailer_ends(self, reader: io.BufferedReader[Timed]) -> bool:
        """Read what follows the last chunk; False where the connection ended: nothing of the body is missing then."""
        for _ in range(_LINES):
            try:
                if self._line(reader) in (b"\r\n", b"\n"):
                    return True
            except BrokeOff:
                return False
        raise NoHttp(f"more than {_LINES} lines of trailers")

    def _line(self, reader: io.BufferedReader[Timed]) -> bytes:
        line = reader.readline(_LINE + 1)
        if len(line) > _LINE:
            raise NoHttp(f"a line of more than {_LINE} bytes")
        if not line.endswith(b"\n"):
            raise self._timed.failure or BrokeOff("the body broke off")
        return line

    def hurry(self) -> None:
        """Nobody wants the body: what has not come in a tenth of the time limit need not come."""
        self._timed.hurry()

    def close(self) -> None:
        """Give the connection back; with a body left in it, it is good for nothing."""
        if not self.ended:
            self._end(False)

    def _end(self, keeps: bool) -> None:
        self.ended = True
        # What came after the end is no answer to the next request.
        self._give_back(keeps and self._timed.is_empty(self._reader))
