"""What urllib3, ssl and the system raise, as errors of ours: the host, and the cause in a few words.

urllib3 is imported when something has failed, not before.
"""

from __future__ import annotations

from typing import Any

from .errors import ConnectionFailed, ProtocolError, SonarError, TimedOut
from .redaction import printable, redact_url


def transport_error(
    error: BaseException, method: str, url: str, *, attempts: int = 1, reading: bool = False
) -> SonarError:
    """What urllib3, ssl or the system raised, as one of ours, with the host and the cause in one line."""
    import ssl

    from urllib3 import exceptions as http

    from .retries import causes, is_no_http
    from .timed import BodyDrips

    if isinstance(error, SonarError):
        return error
    where = f"{method} {redact_url(url)}"
    chain = causes(error)
    times = f" ({attempts} attempts)" if attempts > 1 else ""
    if any(_is_timeout(cause) for cause in chain):
        if any(isinstance(cause, BodyDrips) for cause in chain):
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
            hint = f"{_certificate_hint(cause)}, or, for a test, --insecure"
            return ConnectionFailed(f"{where} failed: {_certificate(cause)}", hint=hint, attempts=attempts)
        if isinstance(cause, ssl.SSLError):
            return ConnectionFailed(f"{where} failed: {_tls(cause)}{times}", hint=_tls_hint(cause), attempts=attempts)
        if is_no_http(cause) or isinstance(cause, http.LocationValueError):
            return ProtocolError(f"{where} failed: {cause_of(error)}", attempts=attempts)
    return ConnectionFailed(f"{where} failed: {cause_of(error)}{times}", hint=_hint(chain), attempts=attempts)


def _hint(chain: list[BaseException]) -> str | None:
    import socket

    if any(isinstance(cause, ConnectionRefusedError) for cause in chain):
        return "is it running, and is this its port?"
    return "is it spelled right?" if any(isinstance(cause, socket.gaierror) for cause in chain) else None


def _is_timeout(error: BaseException) -> bool:
    from urllib3 import exceptions as http

    # urllib3 counts a connection that was refused among its timeouts.
    ours = isinstance(error, http.TimeoutError) and not isinstance(error, http.NewConnectionError)
    return ours or isinstance(error, TimeoutError)


def _certificate(error: Any) -> str:
    return f"the certificate is not trusted: {error.verify_message or error.reason}"


def _certificate_hint(error: Any) -> str:
    said = str(error.verify_message or error.reason)
    if "mismatch" in said:
        return "use a name that it is for"
    if "expired" in said or "not yet valid" in said:
        return "it is to be renewed there, or the clock here is wrong"
    return "name its authority with --ca-file"


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


def cause_of(error: BaseException) -> str:
    """The innermost cause in a few words, and whether it was the proxy's."""
    from urllib3.exceptions import ProxyError

    from .retries import causes

    chain = causes(error)
    at = "the proxy failed: " if any(isinstance(cause, ProxyError) for cause in chain) else ""
    return at + next(filter(None, map(_known, chain)), _innermost(chain[-1]))


def _known(cause: BaseException) -> str | None:
    """Words for one of the usual causes."""
    import socket
    from http.client import InvalidURL

    from urllib3 import exceptions as http

    from .connections import AddressRefused
    from .http1 import BrokeOff
    from .retries import is_no_http

    match cause:
        case AddressRefused():
            return f"refused: {cause}"
        case socket.gaierror():
            return "the name does not resolve"
        case ConnectionRefusedError():
            return "connection refused"
        case BrokeOff():
            return "the body broke off"
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            return "the connection broke"
        case http.LocationValueError() | InvalidURL():
            return "the URL is malformed"  # their own words hold all of it, with what may be secret
    return f"not an HTTP answer: {_words(cause)}" if is_no_http(cause) else None


def _innermost(last: BaseException) -> str:
    import errno

    if isinstance(last, OSError) and last.errno is not None:
        return (last.strerror or errno.errorcode.get(last.errno, "")).lower()
    return _words(last)


def _words(error: BaseException) -> str:
    return printable(" ".join(str(error).split()))[:200]
