"""One HTTP exchange, as plugins are told of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exchange:
    """One finished HTTP exchange, with secrets removed from `url`.

    `status` is None where no answer came; then `error` says why. `sent` and `received` count body bytes as
    declared by their headers (None: unknown), `seconds` the time up to the end of the answer's headers.
    """

    method: str
    url: str
    status: int | None
    seconds: float
    sent: int | None = None
    received: int | None = None
    error: str = ""
