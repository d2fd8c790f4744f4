"""One request, one usable answer: attempts, redirects, time limits, and errors that say what happened.

What goes to which origin is decided here, too: `Request.private` headers (credentials, and whatever a plugin
gave) leave for the origin of `Request.url` and for no other.

urllib3 is imported when the first request is sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from .addresses import AddressRule, is_literal
from .errors import ConnectionFailed, ProtocolError, SonarError, TimedOut
from .messages import BLOCK as BLOCK
from .messages import Body as Body
from .messages import BodyFailed, check_request, declared_length, pieces
from .messages import Origin as Origin
from .messages import Request as Request
from .messages import Response as Response
from .messages import join_url as join_url
from .messages import split_url as split_url
from .redaction import printable, redact_url
from .wire_errors import cause_of, transport_error

if TYPE_CHECKING:
    from .connections import Sockets
    from .exchange import Exchange
    from .http1 import Answer
    from .retries import Attempts
    from .settings import Settings

# What an attempt may wait for, each up to the time limit: a connection, a proxy's tunnel, TLS, the headers.
_WAITS = 4

_ORIGINS = 16  # whose connections are kept: a blob store may have a name for each blob

# Headers that may follow a redirect to another origin. All others stay: a plugin's header may be a secret.
_PORTABLE = frozenset({"accept", "accept-encoding", "user-agent", "range", "if-range"})
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _Budget:
    """The seconds that the attempts and waits of one request may take together."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return self._end - time.monotonic()

    def has(self, wait: float, attempt: float) -> bool:
        """Whether there is time for a wait and then an attempt of so many seconds."""
        return wait + attempt <= self.left()

    def extend(self, seconds: float) -> None:
        self._end += seconds


class Transport:
    """Sends requests for one registry. Thread-safe. `observe` is told of each finished exchange."""

    def __init__(
        self,
        settings: Settings,
        home: str,
        *,
        user_agent: str,
        observe: Callable[[Exchange], None] | None = None,
    ) -> None:
        self._settings = settings
        self._home = Origin.of(home)
        self._rule = AddressRule(self._home.host, allow_private=settings.allow_private)
        self._user_agent = user_agent
        self._observe = observe
        self._lock = threading.Lock()
        self._pools: dict[str | None, Any] = {}  # by proxy
        self._ways: dict[Origin, Any] = {}  # to each origin: a pool of one of them
        self._sockets: Sockets | None = None
        self._closed = False
        self._refuse_until = 0.0
        self._changed = threading.Condition()  # of the two above
        self._next_slot = 0.0

    def send(self, request: Request) -> Response:
        """Send `request`, again where that helps, and follow redirects. Any status is returned.

        Raises ConnectionFailed, TimedOut, ProtocolError, and what the body's function raises. The caller closes the
        response.
        """
        check_request(request)
        budget = _Budget(request.patience or 10 * self._settings.timeout)
        url, hops = request.url, 0
        if not url.startswith(("http://", "https://")):
            url = split_url(url).geturl()  # the scheme in lower case
        while True:
            response = self._attempts(request, url, budget)
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or not target:
                return response
            response.discard()
            hops += 1
            if hops > self._settings.redirects:
                raise ProtocolError(f"{redact_url(request.url)} redirects more than {self._settings.redirects} times")
            url = self._redirected(request, url, target, response.status)

    def _redirected(self, request: Request, url: str, target: str, status: int) -> str:
        """Where a redirect leads, if it may be followed."""
        goal = join_url(url, printable(target).replace(" ", "%20"))
        parts = split_url(goal)
        shown = f"{redact_url(url)} redirects to {redact_url(goal)}"
        if url.startswith("https:") and parts.scheme == "http":
            raise ProtocolError(f"{shown}, from https to plain http, which is not followed")
        if request.method not in ("GET", "HEAD"):
            same = Origin.of(goal) == Origin.of(request.url)
            if status not in (307, 308) or not same or not request.may_repeat:
                upgrade = parts.scheme == "https" and url.startswith("http:")
                hint = "name the registry with https://" if upgrade else None
                raise ProtocolError(f"{shown}, where a {request.method} does not follow", hint=hint)
        return parts._replace(fragment="").geturl()

    def _attempts(self, request: Request, url: str, budget: _Budget) -> Response:
        origin = Origin.of(url)
        if origin != self._home:
            self._check_literal(request, url, origin)
        attempts: Attempts | None = None
        least = _WAITS * self._settings.timeout / 10  # seconds; a shorter attempt would only knock
        for tried in count(1):
            try:
                raw = self._exchange(request, url, origin, budget)
            except SonarError:
                raise
            except BodyFailed as failed:
                raise failed.__cause__ or failed from None
            except Exception as error:
                if self._refuses(request):
                    raise ConnectionFailed(
                        f"{request.method} {redact_url(url)} failed: {self._why()}", attempts=tried
                    ) from error
                from .retries import connect_failed

                attempts = attempts or self._allowed(request)
                attempts = attempts.after_failure(error) if request.may_repeat or connect_failed(error) else None
                wait = attempts.get_backoff_time() if attempts is not None else 0.0
                if attempts is None or not budget.has(wait, least):
                    raise transport_error(error, request.method, url, attempts=tried) from error
                self.pause(wait)
                continue
            response = Response(raw, request, url)
            if response.status not in _RETRIED or not (request.may_repeat or response.status in (429, 503)):
                return response
            attempts = attempts or self._allowed(request)
            asked = attempts.asked_wait(raw)
            attempts = attempts.after_answer()
            if attempts is None or (asked or 0) > self._settings.retry_after_max:
                return response
            wait = attempts.get_backoff_time() if asked is None else asked
            if not budget.has(wait, least):
                return response
            response.discard()
            self.pause(wait)
        raise AssertionError("unreachable")

    def _allowed(self, request: Request) -> Attempts:
        """The attempts that `request` may take, the first among them."""
        from .retries import Attempts

        return Attempts.of(1 if request.patience else self._settings.attempts, self._settings.backoff)

    def _check_literal(self, request: Request, url: str, origin: Origin) -> None:
        """Refuse an address that no registry may send us to; a proxy would connect to it unseen."""
        if is_literal(origin.host):
            refusal = self._rule.refusal(origin.host, origin.host)
            if refusal:
                raise ConnectionFailed(f"{request.method} {redact_url(url)} refused: {refusal}")

    def pause(self, seconds: float) -> None:
        """Wait. Raises ConnectionFailed as soon as the client is closed or interrupted."""
        with self._changed:
            if self._changed.wait_for(self._refuses, timeout=max(0.0, seconds)):
                raise ConnectionFailed(self._why())

    def _refuses(self, request: Request | None = None) -> bool:
        """Whether a request is not to be sent: while interrupted, only one that says farewell is."""
        farewell = request is not None and request.patience is not None
        return self._closed or (time.monotonic() < self._refuse_until and not farewell)

    def _why(self) -> str:
        return "the client was closed" if self._closed else "interrupted"

    def _exchange(self, request: Request, url: str, origin: Origin, budget: _Budget) -> Answer:
        """One attempt: an answer whose body is not read yet."""
        if self._refuses(request):
            raise ConnectionFailed(f"{request.method} {redact_url(url)} failed: {self._why()}")
        budget.extend(self._pace())
        limit = request.patience or budget.left() / _WAITS
        if limit <= 0:
            raise TimedOut(
                f"{request.method} {redact_url(url)} failed: no answer in time", hint="--timeout allows more"
            )
        limit = min(limit, self._settings.timeout)
        headers = self._headers(request, at_home=url == request.url or origin == Origin.of(request.url))
        started = time.monotonic()
        raw: Answer | None = None
        error: BaseException | None = None
        try:
            raw = self._pool(url, origin).exchange(request.method, url, headers, pieces(request.body), limit)
        except BaseException as caught:
            error = caught
            raise
        finally:
            if self._observe is not None:
                self._observe(_finished(request, url, raw, error, time.monotonic() - started))
            error = None  # it knows this frame: together they would stay until the garbage collector comes by
        return raw

    def _headers(self, request: Request, *, at_home: bool) -> dict[str, str]:
        if at_home:
            given = {**request.headers, **request.private}
        else:
            given = {name: value for name, value in request.headers.items() if name.lower() in _PORTABLE}
        taken = {name.lower() for name in given}
        ours = {"User-Agent": self._user_agent, "Accept-Encoding": "identity"}
        headers = {name: value for name, value in ours.items() if name.lower() not in taken} | given
        if request.body is None:
            if request.method in ("POST", "PUT", "PATCH"):
                headers["Content-Length"] = "0"
        elif request.size is None:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(request.size)
        return headers

    def _pool(self, url: str, origin: Origin) -> Any:
        with self._lock:
            if self._closed:
                raise ConnectionFailed(self._why())
            if origin not in self._ways:
                from .connections import Sockets, make_pools
                from .proxies import proxy_for

                self._sockets = self._sockets or Sockets()
                proxy = proxy_for(origin.scheme, f"{origin.host}:{origin.port}")
                if proxy not in self._pools:
                    self._pools[proxy] = make_pools(
                        self._settings, self._home, self._rule, self._sockets, proxy, _ORIGINS
                    )
                if len(self._ways) == _ORIGINS:
                    del self._ways[next(iter(self._ways))]  # whoever is at work there goes on
                self._ways[origin] = self._pools[proxy].connection_from_url(url)
            return self._ways[origin]

    def _pace(self) -> float:
        """Wait for this request's turn, where there is a rate to keep to; returns for how long, in seconds."""
        rate = self._settings.requests_per_second
        if rate <= 0:
            return 0.0
        with self._lock:
            now = time.monotonic()
            slot = max(now, self._next_slot)
            self._next_slot = slot + 1 / rate
        self.pause(slot - now)
        return slot - now

    def interrupt(self, seconds: float, *, wake: bool) -> None:
        """Refuse requests for so many seconds, but for those with `patience`: they take back what was begun.

        `wake`: whoever waits for an answer gets an error now; else, an answer that is on its way is taken.
        """
        with self._changed:
            self._refuse_until = time.monotonic() + seconds
            self._changed.notify_all()
        with self._lock:
            if wake and self._sockets is not None:
                self._sockets.shut()

    def close(self) -> None:
        """Close all connections. Threads that wait for an answer get an error."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with self._lock:
            if self._sockets is not None:
                self._sockets.abort()
            for manager in self._pools.values():
                # clear() alone leaves it to the garbage collector.
                for key in manager.pools.keys():  # noqa: SIM118 - it can't be iterated over
                    manager.pools[key].close()
                manager.clear()


def _finished(request: Request, url: str, raw: Answer | None, error: BaseException | None, seconds: float) -> Exchange:
    from .exchange import Exchange

    received = None if raw is None else declared_length(raw.headers)
    return Exchange(
        method=request.method,
        url=redact_url(url),
        status=raw.status if raw is not None else None,
        seconds=seconds,
        sent=request.size,
        received=0 if request.method == "HEAD" else received,
        error="" if error is None else cause_of(error),
    )
