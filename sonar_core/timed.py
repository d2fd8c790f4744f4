"""The bytes of a connection under time limits, which a socket's own timeout does not give.

That bounds each `recv` alone, so a peer that sends a byte a second would be waited for without end. Here the whole of
an answer's head has one deadline, and a body that drips counts as stopped.
"""

from __future__ import annotations

import io
import re
import time
from typing import Any, TypeVar, cast

T = TypeVar("T")

READ_AHEAD = 64 * 1024  # bytes
SLOWEST = 1024  # bytes a second; a body below this for as long as the time limit counts as stopped

_EMPTY_LINE = re.compile(rb"\n\r?\n")  # a line may end without a CR (RFC 9112, section 2.2)


class BodyDrips(TimeoutError):
    """A body comes, but more slowly than anyone should wait for."""


class Timed(io.RawIOBase):
    """A socket's bytes, under a deadline while `deadline` is set and under the stall rule after that.

    The head may take what the socket's timeout is now. `limit`: the longest wait for the next bytes of the body, in
    seconds.
    """

    def __init__(self, sock: Any, limit: float) -> None:
        self._sock = sock
        self._limit = limit
        self._patience: float = sock.gettimeout()  # setting it is a system call, so it is set when it must be
        self.deadline: float | None = time.monotonic() + self._patience
        self._ahead = b""  # what came together with a head
        self._silent = False
        #: What broke the body. The call that met it said that it had ended; calls after that raise it.
        self.failure: OSError | None = None
        self._waited = 0.0
        self._got = 0

    def readable(self) -> bool:
        return True

    def head(self, most: int) -> bytearray:
        """What comes up to the first empty line; without one, the first bytes, more than `most`. Raises OSError."""
        data, searched = bytearray(self._ahead), 0
        self._ahead = b""
        while (found := _EMPTY_LINE.search(data, searched)) is None:
            if len(data) > most:
                return data
            searched = max(0, len(data) - 2)
            self._be_in_time()
            data += _some(self._sock.recv(READ_AHEAD))
        self._ahead = bytes(data[found.end() :])
        del data[found.end() :]
        return data

    def readinto(self, buffer: Any) -> int:
        if self._silent:
            return 0
        if self._ahead:
            count = min(len(buffer), len(self._ahead))
            buffer[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
            return count
        if self.deadline is not None:
            self._be_in_time()
            return _some(cast(int, self._sock.recv_into(buffer)))
        if self.failure is not None:
            raise self.failure
        try:
            return self._read_body(buffer)
        except OSError as error:
            # It looks like an end at first: whoever reads a large piece would lose what had come of it.
            self.failure = error
            return 0

    def is_empty(self, reader: io.BufferedReader[Timed] | None) -> bool:
        """Whether nothing is left of what came, here or in `reader`. The socket is not read any more."""
        self._silent = True
        return not self._ahead and (reader is None or not reader.peek(1))

    def _be_in_time(self) -> None:
        """Let the next read take what is left of the time. Raises TimeoutError."""
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("it did not end in time")
            if left < 0.99 * self._patience:
                self._wait_at_most(left)

    def _read_body(self, buffer: Any) -> int:
        if self._patience != self._limit:
            self._wait_at_most(self._limit)
        started = time.monotonic()
        count = cast(int, self._sock.recv_into(buffer))
        self._waited += time.monotonic() - started
        self._got += count
        if self._waited >= self._limit:
            if count and self._got < SLOWEST * self._waited:
                raise BodyDrips("the body drips")
            self._waited, self._got = 0.0, 0
        return count

    def _wait_at_most(self, seconds: float) -> None:
        self._patience = seconds
        self._sock.settimeout(seconds)

    def start_body(self) -> None:
        """The head is complete: from here on each wait is bounded, and the rate."""
        self.deadline = None

    def hurry(self) -> None:
        """Nobody wants the body: what has not come in a tenth of the time limit need not come."""
        self.deadline = time.monotonic() + self._limit / 10


def _some(came: T) -> T:
    """What came, which is not nothing. Raises ConnectionResetError."""
    if not came:
        raise ConnectionResetError("it ended within the headers")
    return came
