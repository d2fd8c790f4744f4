"""A TCP proxy that makes a connection slow or unreliable, and counts what goes through."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """Listens at once on a free loopback port and passes everything on to `target` ("127.0.0.1:5000").

    `delay` is the round trip in seconds that the link adds, on connecting too; data under way is not held
    back by it. `rate` is the limit in bytes per second for each direction of a connection. `reset_rate`
    is the share of connections that are reset after up to `reset_within` bytes of answer, chosen by
    `seed`.
    """

    target: str
    delay: float = 0.0
    rate: float | None = None
    reset_rate: float = 0.0
    reset_within: int = 100_000
    seed: int = 0
    connections: int = 0
    resets: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    recorded: bytearray | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"proxy {self.port}", daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def close(self) -> None:
        """Ends all connections and the thread. May be called again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop)
            self._thread.join(5)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())
        for task in asyncio.all_tasks(self._loop):
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(task)
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, sock=self._listener)
        async with server:
            await server.serve_forever()

    def _stop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        host, _, port = self.target.rpartition(":")
        try:
            upstream_reader, upstream = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        with contextlib.suppress(asyncio.CancelledError):  # asyncio complains of a connection that was cancelled
            await self._join(reader, writer, upstream_reader, upstream)

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream_reader: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        fatal: int | None = None
        if self._chance.random() < self.reset_rate:
            fatal = self._chance.randrange(self.reset_within)
        ends = {writer, upstream}
        self._writers |= ends
        try:
            await asyncio.sleep(self.delay)
            await asyncio.gather(
                self._pass_on(reader, upstream, up=True, fatal=None),
                self._pass_on(upstream_reader, writer, up=False, fatal=fatal),
            )
        except* OSError:
            _reset(writer)
        finally:
            for end in ends:
                end.close()
            self._writers -= ends

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool, fatal: int | None
    ) -> None:
        """One direction. Bytes are read as they come and sent when they have been under way long enough."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fill(reader, queue))
            group.create_task(self._empty(queue, writer, up=up, fatal=fatal))

    async def _fill(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            data = await reader.read(65536)
            await queue.put((self._loop.time() + self.delay / 2, data))

    async def _empty(
        self,
        queue: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        *,
        up: bool,
        fatal: int | None,
    ) -> None:
        sent = 0
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            if fatal is not None and sent + len(data) > fatal:
                self.resets += 1
                raise ConnectionResetError
            if self.rate:
                await asyncio.sleep(len(data) / self.rate)
            self._count(data, up=up)
            writer.write(data)
            await writer.drain()
            sent += len(data)

    def _count(self, data: bytes, *, up: bool) -> None:
        if up:
            self.bytes_up += len(data)
            if self.recorded is not None:
                self.recorded += data
        else:
            self.bytes_down += len(data)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
