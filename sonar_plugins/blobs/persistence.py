"""How long a transfer that breaks is taken up again."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from sonar_core.errors import TimedOut

if TYPE_CHECKING:
    from sonar_core.client import Client

_SOLID = 64 * 1024  # bytes; progress that counts whatever stopped it
_LONGEST_WAIT = 30.0  # seconds


class Persistence:
    """Counts tries without progress, `settings.attempts` at most, and waits between them.

    A peer that breaks off after every few bytes is borne for ten times `settings.timeout`; one that lets time run
    out, only where it brought something worth the wait.
    """

    def __init__(self, client: Client, position: int = 0) -> None:
        self._client = client
        self._failures = 0
        self._position = self._mark = position
        self._since = time.monotonic()

    def failed(self, position: int, error: Exception) -> None:
        """A try ended at byte `position` by `error`: wait before the next. Raises `error` when that was the last."""
        now = time.monotonic()
        solid = position - self._mark >= _SOLID
        if solid:
            self._mark, self._since = position, now
        in_time = now - self._since < 10 * self._client.settings.timeout
        progress = solid or (position > self._position and in_time and not isinstance(error, TimedOut))
        self._position = max(position, self._position)
        self._failures = 1 if progress else self._failures + 1
        if self._failures >= self._client.settings.attempts:
            raise error
        self._client.pause(self._wait())

    def _wait(self) -> float:
        """Seconds: none after progress, then exponential, with jitter."""
        if self._failures < 2:
            return 0.0
        backoff = self._client.settings.backoff
        return min(_LONGEST_WAIT, backoff * 2.0 ** (self._failures - 2)) + random.uniform(0, backoff)  # noqa: S311
