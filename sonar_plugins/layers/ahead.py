"""Read ahead: inflate and hash on a second thread while the first one looks at what came.

zlib, isal, zstd and hashlib release the interpreter lock, so the two do overlap.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from queue import Empty, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_PIECES = 4  # of at most 1 MiB each


@contextmanager
def read_ahead(pieces: Generator[bytes]) -> Iterator[Iterator[bytes]]:
    """The same pieces, taken from `pieces` on another thread, a few ahead. What it raises comes through.

    Leaving the context before the end stops the thread at its next piece; the thread closes `pieces`, for a generator
    that waits for the network can't be closed by another one.
    """
    queue: Queue[bytes | BaseException | None] = Queue(_PIECES)
    stopped = Event()

    def produce() -> None:
        end: BaseException | None = None
        try:
            with closing(pieces):
                for piece in pieces:
                    queue.put(piece)
                    if stopped.is_set():
                        break
        except BaseException as error:
            end = error
        queue.put(end)

    def consume() -> Iterator[bytes]:
        while True:
            item = queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = Thread(target=produce, name="sonar-read-ahead", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stopped.set()
        # Room for the piece it may be waiting to put, and for the end.
        try:
            while True:
                queue.get_nowait()
        except Empty:
            pass
        thread.join(timeout=1)
