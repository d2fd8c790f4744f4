"""A source, read forward in pieces, and opened anew only where a piece is wanted from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from sonar_core.errors import IntegrityError
from sonar_core.sources import Source


class Feed:
    """The content of `source`, which must have `size` bytes. `failure` is what it raised, if it did."""

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._size = size
        self._blocks: Iterator[bytes] | None = None
        self._position = 0
        self._held = b""
        self.failure: BaseException | None = None

    def piece(self, offset: int, length: int) -> Callable[[], Iterator[bytes]]:
        """What gives the `length` bytes from `offset` on, anew at each call."""
        return lambda: self._take(offset, length)

    def close(self) -> None:
        """Let go of the source."""
        close = getattr(self._blocks, "close", None)
        self._blocks = None
        if close is not None:
            close()

    def _take(self, offset: int, length: int) -> Generator[bytes, None, None]:
        mine: Iterator[bytes] | None = None
        try:
            if self._blocks is None or self._position != offset:
                self.close()
                self._blocks, self._position, self._held = iter(self._source.open(offset)), offset, b""
            mine, left = self._blocks, length
            while left:
                block = self._held or self._next()
                block, self._held = block[:left], block[left:] or self._next()
                left -= len(block)
                self._position += len(block)
                # Whether the source agrees to its end (size, digest) is known before the last bytes leave.
                if not self._held and self._position < self._size:
                    raise IntegrityError(f"the content ends after {self._position} of its {self._size} bytes")
                if self._held and self._position == self._size:
                    raise IntegrityError(f"the content is longer than its {self._size} bytes")
                yield block
        except GeneratorExit:  # the request ended before its body did
            if self._blocks is mine:
                self.close()
            raise
        except BaseException as error:
            self.failure = error
            self.close()
            raise

    def _next(self) -> bytes:
        """The next block that is not empty; empty at the end."""
        assert self._blocks is not None  # noqa: S101 - for the type checker
        return next((block for block in self._blocks if block), b"")
