"""One request, one usable answer: attempts, redirects, time limits, and errors that say what happened.

What goes to which origin is decided here, too: `Request.private` headers (credentials, and whatever a plugin
gave) leave for the origin of `Request.url` and for no other.

urllib3 is imported when the first request is sent.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from .addresses import AddressRule, is_literal
from .errors import ConnectionFailed, ProtocolError, SonarError, TimedOut, UsageError
from .exchange import Exchange
from .redaction import printable, redact_url
from .wire_errors import cause_of, transport_error

if TYPE_CHECKING:
    from .connections import Sockets
    from .settings import Settings

Body = bytes | Callable[[], Iterable[bytes]]

BLOCK = 1024 * 1024  # bytes read or sent in one step
_SCRAPS = 16 * 1024  # bytes of an unwanted body that are read to keep a connection
# What an attempt may wait for, each up to the time limit: a connection, a proxy's tunnel, TLS, the headers.
_WAITS = 4

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
# Headers that may follow a redirect to another origin. All others stay: a plugin's header may be a secret.
_PORTABLE = frozenset({"accept", "accept-encoding", "user-agent", "range", "if-range"})
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


class Origin(NamedTuple):
    """Scheme, host and port: what credentials are kept by (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of an absolute http or https URL. Raises ProtocolError for any other."""
        return _origin(url)


@lru_cache(maxsize=256)  # one request asks for it again and again
def _origin(url: str) -> Origin:
    parts = split_url(url)
    default = 443 if parts.scheme == "https" else 80
    return Origin(parts.scheme, (parts.hostname or "").lower(), parts.port or default)


def split_url(url: str) -> SplitResult:
    """The parts of an absolute http or https URL without user info. Raises ProtocolError for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ProtocolError(f"the URL {redact_url(url)} is malformed") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ProtocolError(f"the URL {redact_url(url)} is not an http or https address")
    if "@" in parts.netloc:
        raise ProtocolError(f"the URL {redact_url(url)} carries user info, which is not followed")
    return parts


def join_url(base: str, target: str) -> str:
    """`target`, which may be relative, as seen from `base`. Raises ProtocolError for one that is no URL."""
    try:
        return urljoin(base, target)
    except ValueError:
        raise ProtocolError(f"{redact_url(base)} leads to a URL that is malformed") from None


@dataclass(frozen=True, repr=False)
class Request:
    """A request. `body` is bytes, or a function that gives the pieces anew for each attempt.

    `length` is the size of the pieces in bytes where it is known. `private` headers go to the origin of `url` only.
    `repeatable` says whether it may be sent again when the answer was lost; unless given: GET, HEAD, PUT, DELETE.
    `patience`: at most so many seconds, for what is sent on the way out and not worth a wait.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    length: int | None = None
    repeatable: bool | None = None
    patience: float | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether a second attempt does no harm."""
        return self.method in _REPEATABLE if self.repeatable is None else self.repeatable

    def __repr__(self) -> str:
        return f"<Request {self.method} {redact_url(self.url)}>"


class Response:
    """An answer: `status`, `headers` (by name, in any case), and a body that is read once, as it came.

    Close it, or use it as a context manager: that gives the connection back.
    """

    def __init__(self, raw: Any, request: Request, url: str) -> None:
        self._raw = raw
        self._answer = raw._original_response  # ours, see `connections`; urllib3 lets go of it at the end
        self.request = request
        self.url = url
        self.status: int = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self._failure: SonarError | None = None

    @property
    def origin(self) -> Origin:
        """The origin that answered: another than the one asked, after a redirect."""
        return Origin.of(self.url)

    def header_values(self, name: str) -> list[str]:
        """All the values of a header that may come several times."""
        return list(self._raw.headers.getlist(name))

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without parameters; empty where there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def length(self) -> int | None:
        """The declared size of the body in bytes."""
        return _declared(self.headers)

    def read_block(self, size: int = BLOCK) -> bytes:
        """The next `size` bytes of the body; fewer where it ends or breaks off, none after its end.

        What came before a break is given out first. The next call raises ConnectionFailed for it, or TimedOut where
        the body stalled or dripped.
        """
        if self._failure is not None:
            raise self._failure
        # http.client drops what had come of a chunk that breaks, so chunks are taken as they come.
        read = self._raw.read1 if self._raw.chunked else self._raw.read
        pieces: list[bytes] = []
        missing = size
        while missing:
            cause: Exception | None = None
            try:
                piece = read(missing, decode_content=False)
            except Exception as error:
                piece, cause = b"", error
            if not piece:
                self._fail(self._answer.failure or cause)
                break
            pieces.append(piece)
            missing -= len(piece)
        if self._failure is not None and not pieces:
            raise self._failure
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fail(self, cause: Exception | None) -> None:
        """Remember what broke the body, for the next call."""
        if cause is not None:
            self.close()
            self._failure = transport_error(cause, self.request.method, self.url, reading=True)
            self._failure.__cause__ = cause

    def blocks(self, size: int = BLOCK) -> Iterator[bytes]:
        """The body in pieces of at most `size` bytes. Closes when it is through."""
        with self:
            while block := self.read_block(size):
                yield block

    def read(self, limit: int, what: str = "the answer") -> bytes:
        """The whole body, at most `limit` bytes. Raises ProtocolError where it is longer, and closes."""
        with self:
            if (self.length or 0) > limit:
                self.abandon()
                raise ProtocolError(_too_long(what, self.url, limit))
            pieces, total = [], 0
            while piece := self.read_block(min(BLOCK, limit + 1 - total)):
                pieces.append(piece)
                total += len(piece)
                if total > limit:
                    self.abandon()
                    raise ProtocolError(_too_long(what, self.url, limit))
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Give the connection back; where the body was not read to its end, drop it."""
        if self._raw.length_remaining == 0:
            self._raw.read()  # takes nothing from the socket: that is how an answer without a body learns of its end
        if self._raw.closed:
            self._raw.release_conn()
        else:
            self.abandon()

    def discard(self) -> None:
        """Close an answer whose body nobody wants. A short one that has come is read, and keeps the connection."""
        left = self._raw.length_remaining
        if self._raw.chunked or (left or _SCRAPS + 1) <= _SCRAPS:
            try:
                self._raw._original_response.hurry()
                self._raw.read(_SCRAPS, decode_content=False)
                self._raw.read(1, decode_content=False)
            except Exception:
                self.abandon()
        self.close()

    def abandon(self) -> None:
        """Drop the connection with whatever is still to come."""
        self._raw.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _too_long(what: str, url: str, limit: int) -> str:
    return f"{what} from {redact_url(url)} is longer than the {limit} bytes that are allowed"


class _BodyFailed(Exception):
    """What gives the body of a request raised something."""


class _Budget:
    """The seconds that the attempts and waits of one request may take together."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return self._end - time.monotonic()

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
        self._ways: dict[Origin, Any] = {}  # which of them leads to an origin
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
        _check_headers(request.headers)
        _check_headers(request.private)
        budget = _Budget(request.patience or 10 * self._settings.timeout)
        url, hops = request.url, 0
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
        from .retries import Attempts, connect_failed

        self._check_literal(request, url)
        attempts: Attempts | None
        attempts = Attempts.of(1 if request.patience else self._settings.attempts, self._settings.backoff)
        for tried in count(1):
            try:
                raw = self._exchange(request, url, budget)
            except SonarError:
                raise
            except _BodyFailed as failed:
                raise failed.__cause__ or failed from None
            except Exception as error:
                if self._refuses(request):
                    raise ConnectionFailed(
                        f"{request.method} {redact_url(url)} failed: {self._why()}", attempts=tried
                    ) from error
                attempts = attempts.after_failure(error) if request.may_repeat or connect_failed(error) else None
                wait = attempts.get_backoff_time() if attempts is not None else 0.0
                if attempts is None or wait > budget.left():
                    raise transport_error(error, request.method, url, attempts=tried) from error
                self.pause(wait)
                continue
            response = Response(raw, request, url)
            if response.status not in _RETRIED or not (request.may_repeat or response.status in (429, 503)):
                return response
            asked = attempts.asked_wait(raw)
            attempts = attempts.after_answer(raw)
            if attempts is None or (asked or 0) > self._settings.retry_after_max:
                return response
            wait = attempts.get_backoff_time() if asked is None else asked
            if wait > budget.left():
                return response
            response.discard()
            self.pause(wait)
        raise AssertionError("unreachable")

    def _check_literal(self, request: Request, url: str) -> None:
        """Refuse an address that no registry may send us to; a proxy would connect to it unseen."""
        host = Origin.of(url).host
        if Origin.of(url) != self._home and is_literal(host):
            refusal = self._rule.refusal(host, host)
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

    def _exchange(self, request: Request, url: str, budget: _Budget) -> Any:
        """One attempt: urllib3's answer, whose body is not read yet."""
        from urllib3 import Timeout

        if self._refuses(request):
            raise ConnectionFailed(f"{request.method} {redact_url(url)} failed: {self._why()}")
        budget.extend(self._pace())
        limit = request.patience or budget.left() / _WAITS
        if limit <= 0:
            raise TimedOut(
                f"{request.method} {redact_url(url)} failed: no answer in time", hint="--timeout allows more"
            )
        limit = min(limit, self._settings.timeout)
        headers = self._headers(request, at_home=Origin.of(url) == Origin.of(request.url))
        started = time.monotonic()
        raw, error = None, None
        try:
            raw = self._pool(url).urlopen(
                request.method,
                url,
                body=_pieces(request.body),
                headers=headers,
                retries=False,
                redirect=False,
                timeout=Timeout(connect=limit, read=limit),
                preload_content=False,
                decode_content=False,
            )
        except BaseException as caught:
            error = caught
            raise
        finally:
            if self._observe is not None:
                self._observe(_finished(request, url, raw, error, time.monotonic() - started))
        return raw

    def _headers(self, request: Request, *, at_home: bool) -> dict[str, str]:
        headers = {"User-Agent": self._user_agent, "Accept-Encoding": "identity"}
        if at_home:
            headers.update(request.headers)
            headers.update(request.private)
        else:
            headers.update({name: value for name, value in request.headers.items() if name.lower() in _PORTABLE})
        if isinstance(request.body, bytes):
            headers["Content-Length"] = str(len(request.body))
        elif request.body is not None and request.length is not None:
            headers["Content-Length"] = str(request.length)
        elif request.body is None and request.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = "0"
        return headers

    def _pool(self, url: str) -> Any:
        from .connections import Sockets, make_pools, proxy_for

        origin = Origin.of(url)
        with self._lock:
            if self._closed:
                raise ConnectionFailed(self._why())
            if self._sockets is None:
                self._sockets = Sockets()
            if origin not in self._ways:
                proxy = proxy_for(origin.scheme, f"{origin.host}:{origin.port}")
                if proxy not in self._pools:
                    self._pools[proxy] = make_pools(self._settings, self._home, self._rule, self._sockets, proxy)
                self._ways[origin] = self._pools[proxy]
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


def _pieces(body: Body | None) -> Any:
    """The body in pieces: a timeout bounds the sending of each, where the whole may take longer."""
    if isinstance(body, bytes):
        return body if len(body) <= BLOCK else _slices(body)
    return None if body is None else _drawn(body())


def _drawn(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """`pieces`, where an error of theirs is no error of the connection, which would be tried again."""
    try:
        yield from pieces
    except SonarError:
        raise
    except Exception as error:
        raise _BodyFailed from error


def _slices(body: bytes) -> Iterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), BLOCK):
        yield view[start : start + BLOCK]


def _check_headers(headers: Mapping[str, str]) -> None:
    """Raises UsageError for a header that would end its line (CWE-113), or can't be sent. The value is not shown."""
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise UsageError(f"{name!r} is no name of a header")
        if not isinstance(value, str) or any(character in "\r\n\0" for character in value):
            raise UsageError(f"the value of the header {name!r} holds a line end, or is no text")
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise UsageError(f"the value of the header {name!r} can't be sent: it is not latin-1") from None


def _declared(headers: Mapping[str, str]) -> int | None:
    """`Content-Length` in bytes; None where there is none, or nonsense."""
    text = headers.get("Content-Length", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _finished(request: Request, url: str, raw: Any, error: BaseException | None, seconds: float) -> Exchange:
    received = None if raw is None else _declared(raw.headers)
    return Exchange(
        method=request.method,
        url=redact_url(url),
        status=raw.status if raw is not None else None,
        seconds=seconds,
        sent=len(request.body) if isinstance(request.body, bytes) else request.length,
        received=0 if request.method == "HEAD" else received,
        error="" if error is None else cause_of(error),
    )
