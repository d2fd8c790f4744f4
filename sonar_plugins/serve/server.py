"""The embedded registry: a server on a thread of its own, to be used as a context manager.

    with EmbeddedRegistry() as registry:
        ...  # registry.host is "127.0.0.1:PORT"

It is for trying things and for tests, not for production: no TLS, no garbage collection, one machine.
"""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sonar_core.errors import UsageError

from .handler import Handler
from .memory import MemoryStorage
from .service import Options, Service
from .uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from .messages import Exchange
    from .storage import Storage

    Observer = Callable[[Exchange], None]

FAREWELL = 2.0  # seconds that `stop` waits for requests that are being answered


class Server(socketserver.ThreadingTCPServer):
    """A thread that waits for connections, and one for each connection. All end when it is closed."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], service: Service, observer: Observer | None, patience: float) -> None:
        self.service = service
        self.observer = observer
        self.patience = patience  # seconds: for a request's headers, for the next bytes, for an idle connection
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._waiting = threading.Thread(target=self.serve_forever, name="registry", daemon=True)
        self._closing = False
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)
        self.port = int(self.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._waiting.start()

    def close(self) -> None:
        """Stop listening, end the connections, wait for their threads."""
        self._closing = True
        with suppress(OSError):  # wakes `serve_forever`
            socket.create_connection((str(self.server_address[0]), self.port), timeout=1).close()
        self.server_close()
        self._waiting.join()
        open_ones = list(self._connections.items())
        for connection, _ in open_ones:
            with suppress(OSError):  # it may have ended by itself
                connection.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + FAREWELL
        for _, thread in open_ones:
            thread.join(max(until - time.monotonic(), 0))

    def serve_forever(self, poll_interval: float = 0.0) -> None:
        """Wait for connections until `close`, without looking up now and then as the base class does."""
        while not self._closing:
            try:
                connection, address = self.get_request()
            except OSError:  # it went away again, or there are too many
                time.sleep(0.01)
                continue
            if self._closing:
                self.shutdown_request(connection)
            else:
                self.process_request(connection, address)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        self._connections[request] = thread
        try:
            thread.start()
        except RuntimeError:  # too many threads
            del self._connections[request]
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._connections[request]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is nothing to report; what went wrong in an answer was reported there."""


class EmbeddedRegistry:
    """A registry on loopback, or on `address` (host, port; 0 is any free port). Listening begins at `start`.

    `storage`: in memory if it is None. `observer` is called with an `Exchange` for every request, just before it is
    answered, from the thread of the connection. `read_only`: writes are answered with 405. `tag_delete=False`,
    `referrers=False`: as a registry that has no such thing. `sparse`: manifests are taken even if what they point to is
    missing. `page_size`: entries in one page of a list where the client gives no `n`. `users`: passwords by name, asked
    for with Basic. `patience`: seconds that a client has for its next bytes.
    """

    def __init__(
        self,
        storage: Storage | None = None,
        *,
        address: tuple[str, int] = ("127.0.0.1", 0),
        read_only: bool = False,
        tag_delete: bool = True,
        referrers: bool = True,
        sparse: bool = False,
        page_size: int = 1000,
        users: Mapping[str, str] | None = None,
        observer: Observer | None = None,
        patience: float = 60.0,
    ) -> None:
        self.storage: Storage = MemoryStorage() if storage is None else storage
        options = Options(
            read_only=read_only,
            tag_delete=tag_delete,
            referrers=referrers,
            sparse=sparse,
            page_size=page_size,
            users=users or {},
        )
        self._service = Service(self.storage, options, Uploads(self.storage))
        self._address = address
        self._observer = observer
        self._patience = patience
        self._server: Server | None = None

    def start(self) -> EmbeddedRegistry:
        """Listen. Raises UsageError where the address can't be had; the storage is given back then."""
        try:
            self._server = Server(self._address, self._service, self._observer, self._patience)
        except (OSError, OverflowError) as error:
            self.storage.close()
            host, port = self._address
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise UsageError(f"can't listen on {host}:{port}: {reason}", hint="choose another address") from None
        self._server.start()
        return self

    def stop(self) -> None:
        """End all connections and give the storage back. What is in memory stays until the object goes."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.storage.close()

    @property
    def host(self) -> str:
        """Where it listens, as `127.0.0.1:5000`. RuntimeError before `start`."""
        if self._server is None:
            raise RuntimeError("the registry has not been started")
        host, port = self._address[0], self._server.port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def url(self) -> str:
        """Its base URL, as `http://127.0.0.1:5000`."""
        return f"http://{self.host}"

    def __enter__(self) -> EmbeddedRegistry:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
