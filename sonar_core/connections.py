"""Connections: urllib3's, and its pools, with these things of ours.

- What goes over a connection is written and read by `http1`, under the time limits of `timed`.
- The address that a name resolves to is checked before it is connected to (`AddressRule`).
- Every open socket is known, so that closing a client interrupts the threads that wait on one.

This module imports urllib3, so it is imported when the first request is sent, not before.
"""

from __future__ import annotations

import errno
import http.client
import io
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from functools import lru_cache
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote
from weakref import WeakSet

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
)

from .errors import SettingsError, UsageError
from .http1 import Answer, request_head
from .timed import Timed
from .tls import Contexts

if TYPE_CHECKING:
    from .addresses import AddressRule
    from .settings import Settings
    from .transport import Origin

_URL = re.compile(r"(https?://[^/?#]*)([^#]*)")
_PLAIN = re.compile(r"(?:/[\w.~:@!$&'()*+,;=-]+)+(?:\?[\w.~:@!$&'()*+,;=/?-]*)?", re.ASCII)


class AddressRefused(OSError):
    """An address that the registry's word is not enough to connect to."""


class _TunnelAnswer(http.client.HTTPResponse):
    """What a proxy answers to CONNECT: urllib3 reads it, and here its head has a deadline."""

    def __init__(self, sock: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(cast(socket.socket, _File(sock)), *arguments, **named)


class _File:
    """What `http.client.HTTPResponse` takes for a socket: it only asks it for a file."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(Timed(self._sock, self._sock.gettimeout()))


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


class _Stack:
    """The connections that a pool keeps, the last used on top: `queue.LifoQueue`, without its locks."""

    def __init__(self, maxsize: int) -> None:
        self._items: list[Any] = []
        self._maxsize = maxsize

    def get(self, block: bool = False, timeout: float | None = None) -> Any:
        try:
            return self._items.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, item: Any, block: bool = False) -> None:
        if len(self._items) >= self._maxsize:
            raise queue.Full
        self._items.append(item)

    def qsize(self) -> int:
        return len(self._items)


class _Exchanging:
    """What the pools of one client have in common: urllib3's `urlopen`, without what is not needed here."""

    limit: float
    QueueCls = _Stack

    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        seconds: float,
    ) -> Answer:
        """Send a request and read the head of the answer, in at most `seconds` for each step.

        `body`: bytes, or its pieces; without a `Content-Length` they go in chunks. Raises what urllib3, `ssl` and the
        system raise, and NoHttp.
        """
        pool = cast(Any, self)
        host, target = _parts(url)
        headers = {"Host": host, **headers}
        forwarded = pool.proxy is not None and url.startswith("http:")
        if forwarded:
            target = f"http://{host}{target}"
            headers.update(pool.proxy_headers)
        connection = pool._get_conn()
        try:
            self._open(connection, seconds, tunnel=pool.proxy is not None and not forwarded)
            whole = _send(connection.sock, request_head(method, target, headers), body, headers.get("Content-Length"))

            def give_back(keeps: bool) -> None:
                if not (keeps and whole):
                    connection.close()
                pool._put_conn(connection if keeps and whole else None)

            return Answer(Timed(connection.sock, self.limit), method, give_back)
        except BaseException as error:
            reached = connection.has_connected_to_proxy  # which `close` forgets
            connection.close()
            pool._put_conn(None)
            if pool.proxy is not None and not reached and isinstance(error, (OSError, HTTPException, HTTPError)):
                raise ProxyError("the proxy failed", error) from error
            raise

    def _open(self, connection: Any, seconds: float, *, tunnel: bool) -> None:
        connection.timeout = seconds
        if not connection.is_closed:
            if connection.sock.gettimeout() != seconds:
                connection.sock.settimeout(seconds)
        elif tunnel:
            cast(Any, self)._prepare_proxy(connection)
        else:
            connection.connect()


def _parts(url: str) -> tuple[str, str]:
    """The `Host` and the target of a request for `url`, encoded as RFC 3986 wants it."""
    found = _URL.match(url)
    if found is None:
        raise LocationParseError(url)
    target = found[2]
    if not _PLAIN.fullmatch(target) or "/." in target:
        target = urllib3.util.parse_url(url).request_uri
    return _host(found[1]), target


@lru_cache(maxsize=64)
def _host(base: str) -> str:
    parts = urllib3.util.parse_url(base)
    name = parts.host or ""
    if name.startswith("["):
        name = name.strip("[]").partition("%")[0]  # the zone of an IPv6 address is this machine's own affair
        name = f"[{name}]"
    return name if parts.port in (None, 443 if parts.scheme == "https" else 80) else f"{name}:{parts.port}"


def _send(sock: Any, head: bytes, body: bytes | Iterable[bytes] | None, length: str | None) -> bool:
    """Send a request; False where the server takes no more: it may have answered, which is read all the same.

    Raises UsageError for a body that has not the length it was said to have.
    """
    try:
        if body is None or isinstance(body, bytes):
            sock.sendall(head + (body or b""))
        else:
            sock.sendall(head)
            for piece in _chunks(body) if length is None else _measured(body, int(length)):
                sock.sendall(piece)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.EPROTOTYPE):
            raise
        return False
    finally:
        if isinstance(body, Generator):
            body.close()  # now, not when the garbage collector comes by: it may hold a source that is opened again
    return True


def _chunks(body: Iterable[bytes]) -> Iterator[bytes]:
    """A body of unknown length, in chunks (RFC 9112, section 7.1)."""
    for piece in body:
        if piece:
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def _measured(body: Iterable[bytes], length: int) -> Iterator[bytes]:
    """A body of so many bytes: what is missing or too much would become, or eat, the next request."""
    total = 0
    for piece in body:
        total += len(piece)
        if total > length:
            raise UsageError(f"the body of a request is longer than the {length} bytes that it was said to have")
        yield piece
    if total < length:
        raise UsageError(f"the body of a request ended after {total} of {length} bytes")


def make_pools(
    settings: Settings, home: Origin, rule: AddressRule, sockets: Sockets, proxy: str | None, num_pools: int
) -> urllib3.PoolManager:
    """The connection pools of one client of `home`, for one way out (direct, or through `proxy`)."""
    shared = {"rule": rule, "sockets": sockets, "direct": proxy is None, "response_class": _TunnelAnswer}
    plain = type("Plain", (_Guarded, HTTPConnection), shared)
    secure = type("Secure", (_Guarded, HTTPSConnection), shared)
    options: dict[str, Any] = {"num_pools": num_pools, "maxsize": max(settings.connections, settings.jobs)}
    contexts = Contexts(settings, (home.host, home.port), sockets.tls_class())
    manager = urllib3.PoolManager(**options) if proxy is None else _proxy_manager(proxy, contexts, options)

    def secure_pool(host: str, port: int, **named: Any) -> urllib3.HTTPSConnectionPool:
        pool = type("SecurePool", (_Exchanging, urllib3.HTTPSConnectionPool), {"ConnectionCls": secure, **limit})
        return cast(urllib3.HTTPSConnectionPool, pool(host, port, ssl_context=contexts.get(host, port), **named))

    limit = {"limit": settings.timeout}
    plain_pool = type("PlainPool", (_Exchanging, urllib3.HTTPConnectionPool), {"ConnectionCls": plain, **limit})
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
