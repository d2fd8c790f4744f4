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
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)

from .errors import SettingsError
from .tls import LazyContext

if TYPE_CHECKING:
    from .addresses import AddressRule
    from .settings import Settings

SLOWEST = 1024  # bytes a second; a body below this for as long as the time limit counts as stopped
_READ_AHEAD = 64 * 1024


class AddressRefused(OSError):
    """An address that the registry's word is not enough to connect to."""


class _Timed(io.RawIOBase):
    """A socket's bytes, under a deadline while `deadline` is set and under the stall rule after that."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._limit: float | None = sock.gettimeout()
        self.deadline = None if self._limit is None else time.monotonic() + self._limit
        self._waited = 0.0
        self._got = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        started = time.monotonic()
        if self.deadline is not None:
            left = self.deadline - started
            if left <= 0:
                raise TimeoutError("the headers did not end in time")
            self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        if self.deadline is None and self._limit is not None:
            self._waited += time.monotonic() - started
            self._got += count or 0
            if self._waited >= self._limit:
                if count and self._got < SLOWEST * self._waited:
                    raise TimeoutError("the body drips")
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

    def __init__(self, sock: Any) -> None:
        self.timed = _Timed(sock)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self.timed, _READ_AHEAD)


class _Answer(http.client.HTTPResponse):
    """An answer whose head has a deadline."""

    def __init__(self, sock: Any, *arguments: Any, **named: Any) -> None:
        maker = _Maker(sock)
        super().__init__(cast(socket.socket, maker), *arguments, **named)
        self._timed = maker.timed

    def begin(self) -> None:
        super().begin()
        self._timed.start_body()


class Sockets:
    """The open sockets of one client."""

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
        """Shut every socket down: whoever waits on one gets an error now."""
        with self._lock:
            self._aborted = True
            sockets = list(self._open)
        for sock in sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Guarded:
    """What the connections of one client have in common."""

    rule: AddressRule
    sockets: Sockets
    direct: bool

    def _new_conn(self) -> socket.socket:
        connection = cast(Any, self)
        host, port = connection._dns_host, connection.port
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, 0, socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(connection.host, connection, error) from error
        except UnicodeError:
            raise LocationParseError(f"'{host}', label empty or too long") from None
        failure: OSError | None = None
        deadline = None if connection.timeout is None else time.monotonic() + connection.timeout
        for family, kind, protocol, _, address in found:
            refusal = self.rule.refusal(host, str(address[0])) if self.direct else None
            if refusal:
                failure = AddressRefused(refusal)
                continue
            sock = socket.socket(family, kind, protocol)
            try:
                for option in connection.socket_options or ():
                    sock.setsockopt(*option)
                if deadline is not None:
                    sock.settimeout(max(0.001, deadline - time.monotonic()))
                sock.connect(address)
                self.sockets.add(sock)
                sock.settimeout(connection.timeout)
                return sock
            except OSError as error:
                sock.close()
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(connection, f"no connection to {host} in time") from failure
        raise NewConnectionError(connection, str(failure)) from failure


def make_pools(settings: Settings, rule: AddressRule, sockets: Sockets, proxy: str | None) -> urllib3.PoolManager:
    """The connection pools of one client, for one way out (direct, or through `proxy`)."""

    shared = {"rule": rule, "sockets": sockets, "direct": proxy is None, "response_class": _Answer}
    plain = type("Plain", (_Guarded, HTTPConnection), shared)
    secure = type("Secure", (_Guarded, HTTPSConnection), shared)
    options: dict[str, Any] = {
        "num_pools": 16,
        "maxsize": max(settings.connections, settings.jobs),
        "blocksize": 256 * 1024,
    }
    manager = urllib3.PoolManager(**options) if proxy is None else _proxy_manager(proxy, options)
    context = LazyContext(settings)

    def secure_pool(host: str, port: int, **named: Any) -> urllib3.HTTPSConnectionPool:
        pool = type("SecurePool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": secure})
        return cast(urllib3.HTTPSConnectionPool, pool(host, port, ssl_context=context.get(), **named))

    plain_pool = type("PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain})
    manager.pool_classes_by_scheme = {"http": plain_pool, "https": cast(Any, secure_pool)}
    return manager


def _proxy_manager(proxy: str, options: dict[str, Any]) -> urllib3.ProxyManager:
    parts = urllib3.util.parse_url(proxy)
    if parts.scheme not in ("http", "https"):
        raise SettingsError(
            f"the proxy {parts.scheme}://{parts.host} of the environment is not an http or https proxy",
            hint="unset it, or name the host in NO_PROXY",
        )
    from urllib.parse import unquote

    headers = urllib3.make_headers(proxy_basic_auth=unquote(parts.auth)) if parts.auth else {}
    address = parts._replace(auth=None).url
    return urllib3.ProxyManager(address, proxy_headers=headers, **options)


def proxy_for(scheme: str, host: str) -> str | None:
    """The proxy that the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) names for a host."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
