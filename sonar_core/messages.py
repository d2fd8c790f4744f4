"""What is sent and what comes back: requests, answers, and the origins that they belong to.

urllib3 is imported when a body has failed, not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from .errors import ProtocolError, SonarError, UsageError
from .redaction import redact_url
from .wire_errors import transport_error

if TYPE_CHECKING:
    from .http1 import Answer

Body = bytes | Callable[[], Iterable[bytes]]

BLOCK = 1024 * 1024  # bytes read or sent in one step
_SCRAPS = 16 * 1024  # bytes of an unwanted body that are read to keep a connection
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_AUTHORITY = re.compile(r"[^\\%\[\]\s\x00-\x20\x7f]*|[^@\[]*\[[0-9A-Fa-f:.]+(?:%[\w.%~-]+)?\](?::\d*)?")
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_BASE = re.compile(r"[^/?#\[\]]*//[^/?#]*")  # scheme and authority
_BELOW = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.:-]+)+(?:\?[\w=&.-]+)?", re.ASCII)  # a path like NAME/manifests/TAG
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


class Origin(NamedTuple):
    """Scheme, host and port: what credentials are kept by (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of an absolute http or https URL. Raises ProtocolError for any other."""
        found = _BASE.match(url)
        return _origin(found[0] if found else url)


@lru_cache(maxsize=64)  # each request asks for it several times
def _origin(base: str) -> Origin:
    parts = split_url(base)
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
    if not _AUTHORITY.fullmatch(parts.netloc):  # urllib3 would see another host in it
        raise ProtocolError(f"the URL {redact_url(url)} is malformed")
    if "@" in parts.netloc:
        raise ProtocolError(f"the URL {redact_url(url)} carries user info, which is not followed")
    return parts


def join_url(base: str, target: str) -> str:
    """`target`, which may be relative, as seen from `base`. Raises ProtocolError for one that is no URL."""
    if base.endswith("/") and _BELOW.fullmatch(target) and "/." not in target:
        return base + target
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
    def size(self) -> int | None:
        """The size of the body in bytes where it is known."""
        return len(self.body) if isinstance(self.body, bytes) else self.length

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

    def __init__(self, answer: Answer, request: Request, url: str) -> None:
        self._answer = answer
        self.request = request
        self.url = url
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self._failure: SonarError | None = None

    @property
    def origin(self) -> Origin:
        """The origin that answered: another than the one asked, after a redirect."""
        return Origin.of(self.url)

    def header_values(self, name: str) -> list[str]:
        """All the values of a header that may come several times."""
        return self._answer.headers.all(name)

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without parameters; empty where there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def length(self) -> int | None:
        """The declared size of the body in bytes."""
        return declared_length(self.headers)

    def read_block(self, size: int = BLOCK) -> bytes:
        """The next `size` bytes of the body; fewer where it ends or breaks off, none after its end.

        What came before a break is given out first. The next call raises ConnectionFailed for it, or TimedOut where
        the body stalled or dripped.
        """
        if self._failure is not None:
            raise self._failure
        pieces: list[bytes] = []
        missing = size
        while missing:
            try:
                piece = self._answer.read(missing)
            except Exception as error:
                self._fail(error)
                break
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        if self._failure is not None and not pieces:
            raise self._failure
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fail(self, cause: Exception) -> None:
        """Remember what broke the body, for the next call."""
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
                raise ProtocolError(_too_long(what, self.url, limit))
            pieces, total = [], 0
            while piece := self.read_block(min(BLOCK, limit + 1 - total)):
                pieces.append(piece)
                total += len(piece)
                if total > limit:
                    raise ProtocolError(_too_long(what, self.url, limit))
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Give the connection back; where the body was not read to its end, drop it."""
        self._answer.close()

    def discard(self) -> None:
        """Close an answer whose body nobody wants. A short one that has come is read, and keeps the connection."""
        if not self._answer.ended and (self._answer.chunked or (self._answer.left or _SCRAPS + 1) <= _SCRAPS):
            self._answer.hurry()
            left = _SCRAPS
            with suppress(Exception):
                while left and (piece := self._answer.read(left)):
                    left -= len(piece)
        self.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _too_long(what: str, url: str, limit: int) -> str:
    return f"{what} from {redact_url(url)} is longer than the {limit} bytes that are allowed"


class BodyFailed(Exception):
    """What gives the body of a request raised something."""


def pieces(body: Body | None) -> Any:
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
        raise BodyFailed from error


def _slices(body: bytes) -> Iterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), BLOCK):
        yield view[start : start + BLOCK]


def check_request(request: Request) -> None:
    """Raises UsageError for a method or a header that would end its line (CWE-113)."""
    if not _TOKEN.fullmatch(request.method):
        raise UsageError(f"{request.method!r} is no method of a request")
    check_headers(request.headers)
    check_headers(request.private)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises UsageError for a header that would end its line (CWE-113), or can't be sent. The value is not shown."""
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise UsageError(f"{name!r} is no name of a header")
        if name.lower() in _FRAMING:
            raise UsageError(f"the header {name!r} is made from the request, it can't be given")
        if not isinstance(value, str) or "\r" in value or "\n" in value or "\0" in value:
            raise UsageError(f"the value of the header {name!r} holds a line end, or is no text")
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise UsageError(f"the value of the header {name!r} can't be sent: it is not latin-1") from None


def declared_length(headers: Mapping[str, str]) -> int | None:
    """`Content-Length` in bytes; None where there is none, or nonsense."""
    text = headers.get("Content-Length", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
