"""Connections: urllib3's, with three things added.

- The whole of an answer's head has one deadline, and a body that drips counts as stopped: urllib3's read timeout
  bounds each `recv` alone, so a peer that sends a byte a second would be waited for without end.
- The address that a name resolves to is checked before it is connected to (`AddressRule`).
- Every open socket is known, so that closing a client interrupts the threads that wait on one.

This module imports urllib3, so it is imported when the first request is sent, not before.
"""

from __future__ import annotations

import http.client
import io
import logging
import os
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote
from weakref import WeakSet

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)

from .addresses import Reach, is_literal, reach
from .errors import SettingsError
from .redaction import redact_url
from .tls import Contexts

if TYPE_CHECKING:
    from .addresses import AddressRule
    from .settings import Settings
    from .transport import Origin

SLOWEST = 1024  # bytes a second; a body below this for as long as the time limit counts as stopped
_READ_AHEAD = 64 * 1024


class _WithoutQueries(logging.Filter):
    """urllib3 writes whole URLs into its debug log, and a signed one is a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        record.args = tuple(redact_url(each) if isinstance(each, str) and "?" in each else each for each in arguments)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())


class AddressRefused(OSError):
    """An address that the registry's word is not enough to connect to."""


class BodyDrips(TimeoutError):
    """A body comes, but more slowly than anyone should wait for."""


class _Timed(io.RawIOBase):
    """A socket's bytes, under a deadline while `deadline` is set and under the stall rule after that.

    The head has what time is left for this attempt, which the socket knows; the body's stalls are bounded by `limit`.
    """

    def __init__(self, sock: Any, limit: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._limit = limit
        self.deadline: float | None = time.monotonic() + (sock.gettimeout() or limit)
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

    def _read_in_time(self, buffer: Any, deadline: float) -> int | None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it did not end in time")
        self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        if count == 0:
            raise ConnectionResetError("it ended within the headers")  # http.client would take them for complete
        return cast("int | None", count)

    def _read_body(self, buffer: Any) -> int | None:
        started = time.monotonic()
        count = self._raw.readinto(buffer)
        self._waited += time.monotonic() - started
        self._got += count or 0
        if self._waited >= self._limit:
            if count and self._got < SLOWEST * self._waited:
                raise BodyDrips("the body drips")
            self._waited, self._got = 0.0, 0
        return cast("int | None", count)

    def start_body(self) -> None:
        """The head is complete: from here on each wait is bounded, and the rate."""
        self.deadline = None
        self._sock.settimeout(self._limit)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Maker:
    """What `http.client.HTTPResponse` takes for a socket: it only asks it for a file."""

    def __init__(self, sock: Any, limit: float) -> None:
        self.timed = _Timed(sock, limit)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self.timed, _READ_AHEAD)


class _Answer(http.client.HTTPResponse):
    """An answer whose head has a deadline. `limit`: the longest wait for the next bytes of its body, in seconds."""

    limit: float

    def __init__(self, sock: Any, *arguments: Any, **named: Any) -> None:
        maker = _Maker(sock, self.limit)
        super().__init__(cast(socket.socket, maker), *arguments, **named)
        self._timed = maker.timed

    def begin(self) -> None:
        super().begin()
        self._timed.start_body()

    def _read_status(self) -> tuple[str, int, str]:
        """The status line after the interim ones (RFC 9110, section 15.2): http.client knows 100 alone."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not http.HTTPStatus.SWITCHING_PROTOCOLS < status < http.HTTPStatus.OK:
                return version, status, reason
            http.client.parse_headers(self.fp)

    @property
    def failure(self) -> OSError | None:
        """What broke the body, if anything did: its end is no end then."""
        return self._timed.failure

    def hurry(self) -> None:
        """Nobody wants the body: what has not come in a tenth of the time limit need not come."""
        self._timed.deadline = time.monotonic() + self.limit / 10


class Sockets:
    """The open sockets of one client, those of TLS handshakes too."""

    def __init__(self) -> None:
        self._open: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()
        self._aborted = False

    def add(self, sock: socket.socket) -> None:
        """Remember `sock`. Raises ConnectionAbortedError once `abort` was called."""
        with self._lock:
            if self._aborted:
                sock.close()
                raise ConnectionAbortedError("the client was closed")
            self._open.add(sock)

    def abort(self) -> None:
        """Shut every socket down, and take no further ones."""
        with self._lock:
            self._aborted = True
        self.shut()

    def shut(self) -> None:
        """Shut every socket down: whoever waits on one gets an error now."""
        with self._lock:
            sockets = list(self._open)
        for sock in sockets:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # an SSLSocket's own would drop the encryption first
            except OSError:
                continue

    def tls_class(self) -> type[ssl.SSLSocket]:
        """What TLS connections shall be made of: `wrap_socket` takes the plain socket's descriptor away from it."""

        class Tracked(ssl.SSLSocket):
            def do_handshake(_self, block: bool = False) -> None:
                self.add(_self)
                super().do_handshake(block)

        return Tracked


class _Guarded:
    """What the connections of one client have in common."""

    rule: AddressRule
    sockets: Sockets
    direct: bool

    def _new_conn(self) -> socket.socket:
        connection = cast(Any, self)
        host, port = connection._dns_host, connection.port
        try:
            name = host.strip("[]")
            # As bytes where it is ASCII, for a text goes through the idna codec, whose import takes milliseconds.
            plain = name.encode() if name.isascii() else name
            found = socket.getaddrinfo(plain, port, 0, socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(connection.host, connection, error) from error
        except UnicodeError:
            raise LocationParseError(f"'{host}', label empty or too long") from None
        failure: OSError | None = None
        deadline = time.monotonic() + connection.timeout
        for tried, (family, kind, protocol, _, address) in enumerate(found):
            refusal = self.rule.refusal(host, str(address[0])) if self.direct else None
            if refusal:
                failure = AddressRefused(refusal)
                continue
            # Each address has its share: one that swallows packets, often the IPv6 one, leaves time for the next.
            share = (deadline - time.monotonic()) / (len(found) - tried)
            try:
                return self._connect(socket.socket(family, kind, protocol), address, max(0.001, share))
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(connection, f"no connection to {host} in time") from failure
        raise NewConnectionError(connection, str(failure)) from failure

    def _connect(self, sock: socket.socket, address: Any, seconds: float) -> socket.socket:
        connection = cast(Any, self)
        try:
            for option in connection.socket_options or ():
                sock.setsockopt(*option)
            self.sockets.add(sock)
            sock.settimeout(seconds)
            sock.connect(address)
            sock.settimeout(connection.timeout)
        except BaseException:
            sock.close()
            raise
        return sock


class _QuietPool(urllib3.HTTPSConnectionPool):
    """Without urllib3's warning: whoever sets `insecure` knows, and it would go to the terminal."""

    def _validate_conn(self, conn: Any) -> None:
        if conn.is_closed:
            conn.connect()


def make_pools(
    settings: Settings, home: Origin, rule: AddressRule, sockets: Sockets, proxy: str | None
) -> urllib3.PoolManager:
    """The connection pools of one client of `home`, for one way out (direct, or through `proxy`)."""

    answer = type("Answer", (_Answer,), {"limit": settings.timeout})
    shared = {"rule": rule, "sockets": sockets, "direct": proxy is None, "response_class": answer}
    plain = type("Plain", (_Guarded, HTTPConnection), shared)
    secure = type("Secure", (_Guarded, HTTPSConnection), shared)
    options: dict[str, Any] = {
        "num_pools": 16,
        "maxsize": max(settings.connections, settings.jobs),
        "blocksize": 256 * 1024,
    }
    contexts = Contexts(settings, (home.host, home.port), sockets.tls_class())
    manager = urllib3.PoolManager(**options) if proxy is None else _proxy_manager(proxy, contexts, options)

    def secure_pool(host: str, port: int, **named: Any) -> urllib3.HTTPSConnectionPool:
        pool = type("SecurePool", (_QuietPool,), {"ConnectionCls": secure})
        return cast(urllib3.HTTPSConnectionPool, pool(host, port, ssl_context=contexts.get(host, port), **named))

    plain_pool = type("PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain})
    manager.pool_classes_by_scheme = {"http": plain_pool, "https": cast(Any, secure_pool)}
    return manager


def _proxy_manager(proxy: str, contexts: Contexts, options: dict[str, Any]) -> urllib3.ProxyManager:
    try:
        parts = urllib3.util.parse_url(proxy)
        headers = urllib3.make_headers(proxy_basic_auth=unquote(parts.auth)) if parts.auth else {}
    except (LocationParseError, UnicodeError):
        raise SettingsError("the proxy of the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) is malformed") from None
    if parts.scheme not in ("http", "https"):
        raise SettingsError(
            f"the proxy {parts.scheme}://{parts.host} of the environment is not an http or https proxy",
            hint="unset it, or name the host in NO_PROXY",
        )
    if parts.scheme == "https":
        options = {**options, "proxy_ssl_context": contexts.get(parts.host or "", parts.port or 443)}
    return urllib3.ProxyManager(parts._replace(auth=None).url, proxy_headers=headers, **options)


def proxy_for(scheme: str, host: str) -> str | None:
    """The proxy that the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) names for a host:port.

    Loopback is never asked for through a proxy, which would look for it on its own machine (as Go's clients do).
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ) or _is_loopback(host):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0].strip("[]")
    return name == "localhost" or name.endswith(".localhost") or (is_literal(name) and reach(name) is Reach.LOOPBACK)
