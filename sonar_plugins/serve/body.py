"""The body of a request, read in pieces: by its length or chunked, within a time limit, never all at once."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from .messages import Fault

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

PIECE = 1 << 20
SLOWEST = 1024  # bytes a second: a body that comes slower than that for `timeout` seconds is given up
LINE = 4096  # longest line of chunked coding that is read


class Disconnected(Exception):
    """The client went away in the middle of a body. What came before is kept where it can be."""


class TimedReader(io.RawIOBase):
    """A socket as a raw stream that stops waiting at `deadline` (of `time.monotonic`), not only between bytes."""

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self.deadline = time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(min(left, self._timeout))
        return self._connection.recv_into(buffer)

    def extend(self, since: float, received: int) -> None:
        """Give a body that began at `since` the time that `received` bytes are allowed to take."""
        self.deadline = since + self._timeout + received / SLOWEST


class Body:
    """The bytes of one request body. `received` counts them; `unread` says whether any may be left."""

    def __init__(
        self,
        stream: io.BufferedIOBase,
        *,
        length: int | None,
        before_reading: Callable[[], None] = lambda: None,
        extend: Callable[[float, int], None] = lambda since, received: None,
    ) -> None:
        self._stream = stream
        self.length = length  # None: chunked
        self.received = 0
        self.unread = length != 0
        self._left = length or 0  # of the body, or of the chunk
        self._before_reading = before_reading
        self._extend = extend
        self._since: float | None = None

    @classmethod
    def length_of(cls, headers: Mapping[str, str]) -> int | None:
        """The body's length, None if it is chunked (RFC 9112, 6.3). Raises `Fault` where it is ambiguous."""
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if coding is not None:
            if length is not None or coding.strip().lower() != "chunked":
                raise Fault(400, "UNSUPPORTED", "a body is either chunked or has a Content-Length")
            return None
        if length is None:
            return 0
        if not (length.isascii() and length.isdigit() and len(length) < 19):
            raise Fault(400, "SIZE_INVALID", "the Content-Length is not a number")
        return int(length)

    def readinto(self, buffer: memoryview) -> int:
        """Read up to the buffer's size; 0 at the end of the body.

        Raises `Disconnected` when the client went away, TimeoutError when it was too slow.
        """
        if not self.unread:
            return 0
        if self._since is None:
            self._since = time.monotonic()
            self._before_reading()
        self._extend(self._since, self.received)
        if self.length is None and self._left == 0 and not self._next_chunk():
            self.unread = False
            return 0
        count = self._stream.readinto1(buffer[: self._left])
        if not count:
            raise Disconnected
        self._left -= count
        self.received += count
        if self.length is None:
            if self._left == 0:
                self._line()
        else:
            self.unread = self._left > 0
        return count

    def read(self, limit: int) -> bytes:
        """The whole of a small body. Raises `Fault` (413) beyond `limit` bytes, none of them kept."""
        if self.length is not None and self.length > limit:
            raise Fault(413, "SIZE_INVALID", f"the body is larger than {limit} bytes")
        pieces = bytearray()
        buffer = memoryview(bytearray(min(self.length or 65536, 65536)))
        while count := self.readinto(buffer):
            pieces += buffer[:count]
            if len(pieces) > limit:
                raise Fault(413, "SIZE_INVALID", f"the body is larger than {limit} bytes")
        return bytes(pieces)

    def buffer(self) -> memoryview:
        """A buffer to read this body with, no larger than it needs to be."""
        return memoryview(bytearray(min(PIECE if self.length is None else self.length, PIECE) or 1))

    def skip(self, limit: int) -> bool:
        """Read to the end what is left, if that is at most `limit` bytes; False if it is more."""
        if self.length is not None and self._left > limit:
            return False
        buffer = memoryview(bytearray(65536))
        while limit >= 0 and (count := self.readinto(buffer)):
            limit -= count
        return not self.unread

    def _next_chunk(self) -> bool:
        size = self._line().partition(b";")[0].strip()
        if not size or len(size) > 15 or size.strip(b"0123456789abcdefABCDEF"):
            raise Disconnected  # no way to tell where the next request would begin
        self._left = int(size, 16)
        if self._left == 0:
            while self._line():  # trailers
                pass
        return self._left > 0

    def _line(self) -> bytes:
        line = self._stream.readline(LINE)
        if not line.endswith(b"\n"):
            raise Disconnected
        return line.rstrip(b"\r\n")
