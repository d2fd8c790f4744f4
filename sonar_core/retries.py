"""What is tried again, and how long to wait before: urllib3's `Retry`, stepped by hand.

Stepped by hand, because each attempt is an exchange that plugins are told of, a wait ends at once when the client
is closed, and a `Retry-After` that is too long is an answer rather than a sleep of hours.
"""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, IncompleteRead, InvalidURL
from typing import Any

from urllib3 import Retry
from urllib3.exceptions import (
    ConnectTimeoutError,
    InvalidHeader,
    LocationValueError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
)

from .connections import AddressRefused
from .http1 import NoHttp

_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_CAP = 30.0  # seconds; the longest back-off between two attempts
_FOREVER = 10**9


class Attempts(Retry):
    """How many attempts are left, and the wait before the next."""

    @classmethod
    def of(cls, attempts: int, backoff: float) -> Attempts:
        """So many; `backoff` is the first wait in seconds."""
        return cls(
            total=attempts - 1,
            redirect=0,
            allowed_methods=None,
            status_forcelist=_STATUSES,
            backoff_factor=backoff,
            backoff_jitter=backoff,
            backoff_max=_CAP,
            raise_on_status=False,
            retry_after_max=_FOREVER,
        )

    def asked_wait(self, response: Any) -> float | None:
        """What `Retry-After` asks for, in seconds (a number or a date); None where there is none, or nonsense."""
        try:
            return self.get_retry_after(response)
        except (InvalidHeader, ValueError, OverflowError):
            return None

    def after_failure(self, error: Exception) -> Attempts | None:
        """One attempt less, which failed with `error`; None where there is none left, or another would do the same."""
        return self._after(error=error) if _may_pass(error) else None

    def after_answer(self) -> Attempts | None:
        """One attempt less, which got an answer worth another try; None where there is none left."""
        return self._after()

    def _after(self, **outcome: Any) -> Attempts | None:
        try:
            return self.increment("", "", **outcome)
        except MaxRetryError:
            return None


def _may_pass(error: BaseException) -> bool:
    """False where the same would happen again: a refused address, a certificate, a name that is not known, no HTTP."""
    for cause in causes(error):
        if isinstance(cause, (AddressRefused, LocationValueError, InvalidURL, ssl.SSLCertVerificationError)):
            return False
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return False
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return False
        if is_no_http(cause):
            return False
    return True


def is_no_http(error: BaseException) -> bool:
    """Whether what came was no answer of HTTP at all, rather than one that broke off: ours, or a proxy's to CONNECT."""
    if isinstance(error, NoHttp):
        return True
    return isinstance(error, HTTPException) and not isinstance(error, (ConnectionError, IncompleteRead))


def connect_failed(error: BaseException) -> bool:
    """Whether it failed before anything was sent, so that any request may be sent again."""
    return any(
        isinstance(cause, (NewConnectionError, ConnectTimeoutError, NameResolutionError)) for cause in causes(error)
    )


def causes(error: BaseException) -> list[BaseException]:
    """`error`, and what it came from: `__cause__`, `__context__`, urllib3's `reason`, nested arguments."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting and len(found) < 20:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and current not in found:
            found.append(current)
            waiting += [
                current.__cause__,
                getattr(current, "reason", None),
                getattr(current, "original_error", None),
                *(a for a in current.args if isinstance(a, BaseException)),
            ]
            if current.__cause__ is None:
                waiting.append(current.__context__)
    return found
