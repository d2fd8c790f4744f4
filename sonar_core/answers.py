"""Error answers of a registry, as errors of ours (OCI distribution-spec, "Error Codes")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .errors import (
    Forbidden,
    NotFound,
    RateLimited,
    RegistryMessage,
    ResponseError,
    SonarError,
    Unauthorized,
    Unsupported,
)
from .redaction import printable, redact_url, without

if TYPE_CHECKING:
    from .transport import Response

#: Answers to a HEAD after which a GET is worth a try: a proxy or a signed URL may know GET alone.
HEAD_REFUSED = frozenset({400, 403, 405, 501})

_CAP = 64 * 1024
_SHOWN = 300
_CLASSES: dict[int, type[ResponseError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: Unsupported,
    429: RateLimited,
}
# What nginx and Go's server say, in a page or a line, where TLS is not what they want; and what to do about it.
_TLS_HINTS = (
    (b"No required SSL certificate was sent", "it wants a client certificate: --cert and --key"),
    (b"The SSL certificate error", "it does not trust the client certificate that was sent"),
    (b"plain HTTP request was sent to HTTPS port", "it speaks https: write https:// before its name"),
    (b"sent an HTTP request to an HTTPS server", "it speaks https: write https:// before its name"),
)


def error_from(response: Response, *, hint: str | None = None) -> ResponseError:
    """The error that an answer means. Reads and closes it."""
    body = _body(response)
    proofs = [value.rpartition(" ")[2] for value in response.request.private.values()]
    errors = _messages(body, proofs)
    kind = _CLASSES.get(response.status, ResponseError)
    if kind is ResponseError and any(error.code == "UNSUPPORTED" for error in errors):
        kind = Unsupported
    url = redact_url(response.url)
    said = "; ".join(str(error) for error in errors) or _reason(response.status)
    message = f"{response.request.method} {url} answered {response.status} ({said})"
    error = kind(message, status=response.status, url=url, errors=errors, hint=hint)
    if isinstance(error, RateLimited):
        error.retry_after = _seconds(response.headers.get("Retry-After", ""))
    if error.hint is None and response.status == 400:
        error.hint = next((hint for words, hint in _TLS_HINTS if words in body), None)
    if error.hint is None and response.headers.get("Retry-After"):
        asked = printable(response.headers["Retry-After"])[:60]
        unit = " s" if asked.isdigit() else ""
        error.hint = f"it asks to wait {asked}{unit}"
    return error


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _reason(status: int) -> str:
    import http

    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"


def _body(response: Response) -> bytes:
    try:
        return b"" if response.request.method == "HEAD" else response.read(_CAP)
    except SonarError:
        return b""
    finally:
        response.close()


def _messages(body: bytes, secrets: list[str]) -> tuple[RegistryMessage, ...]:
    try:
        document = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return ()
    entries = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return ()
    names = ("code", "message", "detail")
    return tuple(
        RegistryMessage(*(_text(entry.get(name), secrets) for name in names))
        for entry in entries[:5]
        if isinstance(entry, dict)
    )


def _text(value: object, secrets: list[str]) -> str:
    """A text of the registry's, safe to show: in one line, without escapes, not longer than a line or two."""
    if value is None:
        return ""
    words = value if isinstance(value, str) else json.dumps(value)
    return printable(without(words, secrets))[:_SHOWN]
