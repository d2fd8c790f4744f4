"""The bytes of a connection under time limits, which a socket's own timeout does not give.

That bounds each `recv` alone, so a peer that sends a byte a second would be waited for without end. Here the whole of
an answer's head has one deadline, and a body that drips counts as stopped.
"""

from __future__ import annotations

import io
import time
from typing import Any, cast

SLOWEST = 1024  # bytes a second; a body below this for as long as the time limit counts as stopped


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
        #: What broke the body. The call that met it said that it had ended; calls after that raise it.
        self.failure: OSError | None = None
        self._waited = 0.0
        self._got = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.deadline is not None:
            return self._read_in_time(buffer, self.deadline)
        if self.failure is not None:
            raise self.failure
        try:
            return self._read_body(buffer)
        except OSError as error:
            # It looks like an end at first: whoever reads a large piece would lose what had come of it.
            self.failure = error
            return 0

    def _read_in_time(self, buffer: Any, deadline: float) -> int:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it did not end in time")
        if left < 0.99 * self._patience:
            self._wait_at_most(left)
        count = cast(int, self._sock.recv_into(buffer))
        if count == 0:
            raise ConnectionResetError("it ended within the headers")
        return count

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
