"""One request, one usable answer: attempts, redirects, time limits, and errors that say what happened.

What goes to which origin is decided here, too: `Request.private` headers (credentials, and whatever a plugin
gave) leave for the origin of `Request.url` and for no other.

urllib3 is imported when the first request is sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urljoin, urlsplit

from .addresses import AddressRule, is_literal
from .errors import ConnectionFailed, ProtocolError, SonarError, TimedOut, UsageError
from .hookspecs import Exchange
from .redaction import printable, redact_url

if TYPE_CHECKING:
    from .connections import Sockets
    from .settings import Settings

Body = bytes | Callable[[], Iterable[bytes]]

BLOCK = 1024 * 1024  # bytes read or sent in one step

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
# Headers that may follow a redirect to another origin. All others stay: a plugin's header may be a secret.
_PORTABLE = frozenset({"accept", "accept-encoding", "user-agent", "range", "if-range"})
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port: what credentials are kept by (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of an absolute http or https URL. Raises ProtocolError for any other."""
        parts = split_url(url)
        return cls(parts.scheme, (parts.hostname or "").lower(), parts.port or _default_port(parts.scheme))


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


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


@dataclass(frozen=True)
class Request:
    """A request. `body` is bytes, or a function that gives the pieces anew for each attempt.

    `length` is the size of the pieces in bytes where it is known. `private` headers go to the origin of `url` only.
    `repeatable` says whether it may be sent again when the answer was lost; unless given: GET, HEAD, PUT, DELETE.
    `patience`: one attempt, of at most so many seconds, for what is sent on the way out and not worth a wait.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    private: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body | None = field(default=None, repr=False)
    length: int | None = None
    repeatable: bool | None = None
    patience: float | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether a second attempt does no harm."""
        return self.method in _REPEATABLE if self.repeatable is None else self.repeatable


class Response:
    """An answer: `status`, `headers` (by name, in any case), and a body that is read once, as it came.

    Close it, or use it as a context manager: that gives the connection back.
    """

    def __init__(self, raw: Any, request: Request, url: str) -> None:
        self._raw = raw
        self.request = request
        self.url = url
        self.status: int = raw.status
        self.headers: Mapping[str, str] = raw.headers

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
        declared = self.headers.get("Content-Length", "").strip()
        return int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 20 else None

    def read_block(self, size: int = BLOCK) -> bytes:
        """The next bytes of the body, at most `size`; empty at its end.

        Raises ConnectionFailed where the body breaks off, TimedOut where it stalls or drips.
        """
        try:
            return bytes(self._raw.read(size, decode_content=False))
        except Exception as error:
            self.close()
            raise _transport_error(error, self.request.method, self.url, reading=True) from error

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
        self._raw.release_conn() if self._ended() else self.abandon()

    def abandon(self) -> None:
        """Drop the connection with whatever is still to come."""
        self._raw.close()

    def _ended(self) -> bool:
        original = getattr(self._raw, "_original_response", None)
        return original is None or original.isclosed()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _too_long(what: str, url: str, limit: int) -> str:
    return f"{what} from {redact_url(url)} is longer than the {limit} bytes that are allowed"


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
        self._pools: dict[str | None, Any] = {}
        self._sockets: Sockets | None = None
        self._closed = threading.Event()
        self._next_slot = 0.0

    def send(self, request: Request) -> Response:
        """Send `request`, again where that helps, and follow redirects. Any status is returned.

        Raises ConnectionFailed, TimedOut, ProtocolError. The caller closes the response.
        """
        _check_headers(request.headers)
        _check_headers(request.private)
        deadline = time.monotonic() + (request.patience or 10 * self._settings.timeout)
        url, hops = request.url, 0
        while True:
            response = self._attempts(request, url, deadline)
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or not target:
                return response
            response.close()
            hops += 1
            if hops > self._settings.redirects:
                raise ProtocolError(f"{redact_url(request.url)} redirects more than {self._settings.redirects} times")
            url = self._redirected(request, url, target, response.status)

    def _redirected(self, request: Request, url: str, target: str, status: int) -> str:
        """Where a redirect leads, if it may be followed."""
        goal = urljoin(url, printable(target).replace(" ", "%20"))
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

    def _attempts(self, request: Request, url: str, deadline: float) -> Response:
        from urllib3.exceptions import MaxRetryError

        from .retries import Attempts, connect_failed

        origin = Origin.of(url)
        at_home = origin == Origin.of(request.url)
        if origin != self._home and is_literal(origin.host):
            refusal = self._rule.refusal(origin.host, origin.host)
            if refusal:
                raise ConnectionFailed(f"{request.method} {redact_url(url)} refused: {refusal}")
        attempts, tried = Attempts.of(1 if request.patience else self._settings.attempts, self._settings.backoff), 0
        while True:
            tried += 1
            try:
                raw = self._exchange(request, url, at_home)
            except SonarError:
                raise
            except Exception as error:
                failure = _transport_error(error, request.method, url, attempts=tried)
                if self._closed.is_set() or not (request.may_repeat or connect_failed(error)):
                    raise failure from error
                if not attempts.worth_repeating(error):
                    raise failure from error
                try:
                    attempts = attempts.increment(request.method, url, error=error)
                except MaxRetryError:
                    raise failure from error
                self._wait(attempts.get_backoff_time(), deadline, failure)
                continue
            response = Response(raw, request, url)
            if response.status not in _RETRIED or not (request.may_repeat or response.status in (429, 503)):
                return response
            asked = attempts.asked_wait(raw)
            try:
                following = attempts.increment(request.method, url, response=raw)
            except MaxRetryError:
                return response
            wait = following.get_backoff_time() if asked is None else asked
            if asked is not None and asked > self._settings.retry_after_max:
                return response
            if time.monotonic() + wait > deadline:
                return response
            attempts = following
            response.close()
            self._wait(wait, deadline, None)

    def pause(self, seconds: float) -> None:
        """Wait. Raises ConnectionFailed as soon as the client is closed."""
        self._wait(seconds, float("inf"), None)

    def _wait(self, seconds: float, deadline: float, failure: SonarError | None) -> None:
        if failure is not None and time.monotonic() + seconds > deadline:
            raise failure
        if seconds > 0 and self._closed.wait(seconds):
            raise failure or ConnectionFailed("the client was closed")

    def _exchange(self, request: Request, url: str, at_home: bool) -> Any:
        """One attempt: urllib3's answer, whose body is not read yet."""
        from urllib3 import Timeout

        self._pace()
        if self._closed.is_set():
            raise ConnectionFailed("the client is closed")
        headers = self._headers(request, at_home)
        limit = min(request.patience or self._settings.timeout, self._settings.timeout)
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

    def _headers(self, request: Request, at_home: bool) -> dict[str, str]:
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
        proxy = proxy_for(origin.scheme, f"{origin.host}:{origin.port}")
        with self._lock:
            if self._sockets is None:
                self._sockets = Sockets()
            if proxy not in self._pools:
                self._pools[proxy] = make_pools(self._settings, self._rule, self._sockets, proxy)
            return self._pools[proxy]

    def _pace(self) -> None:
        rate = self._settings.requests_per_second
        if rate <= 0:
            return
        with self._lock:
            slot = max(time.monotonic(), self._next_slot)
            self._next_slot = slot + 1 / rate
        self._closed.wait(max(0.0, slot - time.monotonic()))

    def close(self) -> None:
        """Close all connections. Threads that wait for an answer get an error."""
        self._closed.set()
        with self._lock:
            if self._sockets is not None:
                self._sockets.abort()
            for pools in self._pools.values():
                pools.clear()


def _pieces(body: Body | None) -> Any:
    """The body in pieces: a timeout bounds the sending of each, where the whole may take longer."""
    if isinstance(body, bytes):
        return body if len(body) <= BLOCK else _slices(body)
    return None if body is None else iter(body())


def _slices(body: bytes) -> Iterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), BLOCK):
        yield view[start : start + BLOCK]


def _check_headers(headers: Mapping[str, str]) -> None:
    """Raises UsageError for a header that would end its line (CWE-113). The value is not shown."""
    for name, value in headers.items():
        if not name or any(c in "\r\n\0: " for c in name) or any(c in "\r\n\0" for c in value):
            raise UsageError(f"the header {name!r} holds a line end or another character that it must not")
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise UsageError(f"the value of the header {name!r} can't be sent: it is not latin-1") from None


def _finished(request: Request, url: str, raw: Any, error: BaseException | None, seconds: float) -> Exchange:
    received = None
    if raw is not None:
        declared = str(raw.headers.get("Content-Length", ""))
        received = int(declared) if declared.isdigit() and len(declared) < 20 else None
    return Exchange(
        method=request.method,
        url=redact_url(url),
        status=raw.status if raw is not None else None,
        seconds=seconds,
        sent=len(request.body) if isinstance(request.body, bytes) else request.length,
        received=0 if request.method == "HEAD" else received,
        error="" if error is None else _cause(error),
    )


def _transport_error(
    error: BaseException, method: str, url: str, *, attempts: int = 1, reading: bool = False
) -> SonarError:
    """What urllib3, ssl or the system raised, as one of ours, with the host and the cause in one line."""
    import ssl

    from urllib3 import exceptions as http

    from .retries import causes

    if isinstance(error, SonarError):
        return error
    where = f"{method} {redact_url(url)}"
    chain = causes(error)
    times = f" ({attempts} attempts)" if attempts > 1 else ""
    if any(_is_timeout(cause) for cause in chain):
        drips = any("drips" in str(cause) for cause in chain)
        if drips:
            what = "the body came too slowly"
        elif reading:
            what = "the body stopped coming"
        elif any(isinstance(cause, http.ConnectTimeoutError) for cause in chain):
            what = "no connection in time"
        else:
            what = "no answer in time"
        return TimedOut(f"{where} failed: {what}{times}", hint="--timeout allows more", attempts=attempts)
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            hint = "name its authority with --ca-file, or, for a test, --insecure"
            return ConnectionFailed(f"{where} failed: {_certificate(cause)}", hint=hint, attempts=attempts)
        if isinstance(cause, ssl.SSLError):
            return ConnectionFailed(f"{where} failed: {_tls(cause)}{times}", hint=_tls_hint(cause), attempts=attempts)
    return ConnectionFailed(f"{where} failed: {_cause(error)}{times}", attempts=attempts)


def _is_timeout(error: BaseException) -> bool:
    from urllib3 import exceptions as http

    # urllib3 counts a connection that was refused among its timeouts.
    ours = isinstance(error, http.TimeoutError) and not isinstance(error, http.NewConnectionError)
    return ours or isinstance(error, TimeoutError)


def _certificate(error: Any) -> str:
    return f"the certificate is not trusted: {error.verify_message or error.reason}"


def _tls(error: Any) -> str:
    reason = str(error.reason or error).replace("_", " ").lower()
    return f"TLS: {reason}"


def _tls_hint(error: Any) -> str | None:
    reason = str(error.reason or error).upper()
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason or "HTTP_REQUEST" in reason:
        return "it speaks plain http, perhaps: --plain-http"
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason or "BAD_CERTIFICATE" in reason:
        return "it wants a client certificate, perhaps: --cert and --key"
    return None


def _cause(error: BaseException) -> str:
    """The innermost cause in a few words."""
    import errno
    import socket

    from urllib3 import exceptions as http

    from .connections import AddressRefused
    from .retries import causes

    chain = causes(error)
    for cause in chain:
        if isinstance(cause, AddressRefused):
            return f"refused: {cause}"
        if isinstance(cause, socket.gaierror):
            return "the name does not resolve"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, http.IncompleteRead):
            return "the body broke off"
        if isinstance(cause, http.ProxyError):
            return f"the proxy failed: {printable(str(chain[-1]))}"
        if isinstance(cause, (ConnectionResetError, BrokenPipeError)) or type(cause).__name__ in (
            "RemoteDisconnected",
        ):
            return "the connection broke"
    last = chain[-1]
    if isinstance(last, OSError) and last.errno is not None:
        return (last.strerror or errno.errorcode.get(last.errno, "")).lower()
    words = " ".join(printable(str(last)).split())[:200]
    return f"not an HTTP answer: {words}" if type(last).__module__ == "http.client" else words
