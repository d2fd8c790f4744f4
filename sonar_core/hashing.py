"""Content checked on its way: digest and size, hashed by a thread of its own while the next block is read.

`hashlib` and sockets release the interpreter lock, so the two do overlap.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from queue import Queue
from typing import TYPE_CHECKING

from .content import Digest
from .errors import IntegrityError

if TYPE_CHECKING:
    from types import TracebackType

_WAITING = 2  # blocks handed over and not hashed yet; bounds the memory


class BackgroundHash:
    """A hash over blocks. The first is hashed when a second comes, or at the end: small content costs no thread.

    Use it as a context manager, or call `settle`: that ends the thread.
    """

    def __init__(self, algorithm: str = "sha256") -> None:
        import hashlib

        self._hash = hashlib.new(algorithm)
        self._algorithm = algorithm
        self._first: bytes | None = None
        self._queue: Queue[bytes | None] = Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def update(self, block: bytes) -> None:
        """Add a block, which must not change any more. Waits while too many are in hand."""
        if self._thread is None:
            if self._first is None:
                self._first = block
                return
            self._thread = threading.Thread(target=self._work, name="hash", daemon=True)
            self._thread.start()
            self._queue.put(self._first)
        self._queue.put(block)

    def digest(self) -> Digest:
        """The digest of all blocks so far."""
        self.settle()
        if self._failure is not None:
            raise self._failure
        return Digest(self._algorithm, self._hash.hexdigest())

    def _work(self) -> None:
        while (block := self._queue.get()) is not None:
            try:
                self._hash.update(block)
            except Exception as error:  # no bytes: said in `digest`, while whoever hands over is not left waiting
                self._failure = error

    def settle(self) -> None:
        """Wait until all blocks are hashed, and end the thread. More may be added afterwards."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = self._first = None
        if self._first is not None:
            self._hash.update(self._first)
            self._first = None

    def __enter__(self) -> BackgroundHash:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle()


def verified(
    blocks: Iterable[bytes], digest: Digest, size: int | None = None, *, what: str = "the blob"
) -> Generator[bytes, None, None]:
    """`blocks` as they come, the last of them only when digest and size, in bytes, were found right.

    So whoever got everything has the right content. Raises IntegrityError; where there is more than `size`, as soon
    as that is seen.
    """
    total, held = 0, b""
    with BackgroundHash(digest.algorithm) as found:
        for block in blocks:
            total += len(block)
            if size is not None and total > size:
                raise IntegrityError(f"{what} {digest} is longer than its {size} bytes")
            if not block:
                continue
            found.update(block)
            if held:
                yield held
            held = block
        if size is not None and total != size:
            raise IntegrityError(f"{what} {digest} has {total} bytes, not {size}")
        if (actual := found.digest()) != digest:
            raise IntegrityError(f"{what} {digest} came with other content: its digest is {actual}")
    if held:
        yield held
