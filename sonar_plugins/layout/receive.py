"""A blob into a file: written in place, hashed behind, in several streams where one is slow.

The hash reads what was written from the file (it is in the page cache), so that streams may write in any order. A
stream that is slow (less than `_SLOW`) gets help: others take over the second half of what is left, again and again,
by asking for a range. A source that knows no ranges is read by one stream.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass

from sonar_core.errors import IntegrityError, Unsupported
from sonar_core.stores import Blob

_SMALL = 8 * 1024 * 1024  # bytes; below it neither helpers nor a hash behind are worth a thread
_WINDOW = 4 * 1024 * 1024  # bytes that are mapped at once to be hashed; what is mapped counts as memory used
_STEP = 1024 * 1024  # bytes that are at least hashed at once; a multiple of the page size
_SLOW = 64 * 1024 * 1024  # bytes per second
_PATIENCE = 0.5  # seconds that one waits for a thread after an error; it may hang on a connection
_LOOK = 0.4  # seconds from the first block on, after which the speed is looked at


def receive(blob: Blob, file: int) -> None:
    """Write the content of `blob` to the file, from its beginning, and verify digest and size.

    Raises IntegrityError, and what the source raises; the file may hold anything then.
    """
    if blob.descriptor.size < _SMALL:
        _receive_small(blob, file)
    else:
        _Receiver(blob, file).run()


def _receive_small(blob: Blob, file: int) -> None:
    wanted = blob.descriptor
    found, total = wanted.digest.hasher(), 0
    for block in blob.open():
        total += len(block)
        if total > wanted.size:
            break
        found.update(block)
        write_all(file, block, total - len(block))
    _check_size(blob, total)
    _check_digest(blob, found.hexdigest())


def write_all(file: int, block: bytes, offset: int) -> None:
    """Write the whole block at `offset`."""
    view = memoryview(block)
    while view:
        written = os.pwrite(file, view, offset)
        offset += written
        view = view[written:]


def _check_size(blob: Blob, total: int) -> None:
    size = blob.descriptor.size
    if total > size:
        raise IntegrityError(f"the blob {blob.descriptor.digest} is longer than its {size} bytes")
    if total < size:
        raise IntegrityError(f"the blob {blob.descriptor.digest} ends after {total} of its {size} bytes")


def _check_digest(blob: Blob, found: str) -> None:
    wanted = blob.descriptor.digest
    if found != wanted.hex:
        raise IntegrityError(f"the blob {wanted} came with other content: its digest is {wanted.algorithm}:{found}")


@dataclass
class _Segment:
    """A part of the blob that one stream brings: read up to `position`, ends before `stop`."""

    position: int
    stop: int


class _Receiver:
    def __init__(self, blob: Blob, file: int) -> None:
        self._blob = blob
        self._file = os.dup(file)  # so that a thread that comes too late writes to no file of others
        self._size = blob.descriptor.size
        self._segments = [_Segment(0, self._size)]
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._ranges = True
        self._started: float | None = None  # when the first block had come
        self._helpers: list[threading.Thread] = []

    def run(self) -> None:
        digest: list[str] = []
        hasher = threading.Thread(target=self._guarded, args=(self._hash, digest), name="hash", daemon=True)
        hasher.start()
        self._guarded(self._read, self._segments[0], self._blob.open())
        self._guarded(self._help)
        with self._changed:
            self._changed.notify_all()
        threads = [*self._helpers, hasher]
        for thread in threads:
            thread.join(None if self._failure is None else _PATIENCE)
        if not any(thread.is_alive() for thread in threads):
            os.close(self._file)
        if self._failure is not None:
            raise self._failure
        _check_digest(self._blob, digest[0])

    def _guarded(self, work: object, *arguments: object) -> None:
        """Do a part of the work; its error ends the others."""
        if self._failure is not None:
            return
        try:
            work(*arguments)  # type: ignore[operator]
        except BaseException as error:
            with self._changed:
                self._failure = self._failure or error
                self._changed.notify_all()

    def _read(self, segment: _Segment, blocks: Generator[bytes, None, None]) -> None:
        """Bring one segment, whose end may come nearer meanwhile."""
        held = b""
        try:
            while segment.position < segment.stop:
                block = held or next(blocks, b"")
                if not block:
                    _check_size(self._blob, segment.position)
                with self._changed:
                    if self._failure is not None:
                        return
                    room = segment.stop - segment.position
                if len(block) > room and segment.position + room == self._size:
                    _check_size(self._blob, segment.position + len(block))
                # What is past the end is kept: it is wanted after all where the one that helps gives up.
                block, held = block[:room], block[room:]
                write_all(self._file, block, segment.position)
                with self._changed:
                    segment.position += len(block)
                    self._changed.notify_all()
                if self._is_slow():
                    self._get_help()
            if segment.stop == self._size and next(blocks, b""):  # the end of the answer gives the connection back
                _check_size(self._blob, self._size + 1)
        finally:
            blocks.close()

    # ── help ────────────────────────────────────────────────────────────────────────────────────────────

    def _is_slow(self) -> bool:
        """Whether the first stream has shown by now that it won't be fast."""
        if self._helpers or not self._ranges:
            return False
        if self._started is None:
            self._started = time.monotonic()
        elapsed = time.monotonic() - self._started
        return elapsed > _LOOK and self._segments[0].position < _SLOW * elapsed

    def _get_help(self) -> None:
        for number in range(self._blob.lanes() - 1):
            thread = threading.Thread(target=self._guarded, args=(self._help,), name=f"range {number}", daemon=True)
            self._helpers.append(thread)
            thread.start()

    def _help(self) -> None:
        """Take over halves of what others have before them, as long as there is much."""
        while self._helpers and (pair := self._take_over()) is not None:
            slow, segment = pair
            blocks = self._blob.range(segment.position, segment.stop)
            try:
                first = next(blocks, b"")
            except Unsupported:
                self._give_back(slow, segment)
                return
            self._read(segment, _chain(first, blocks))

    def _take_over(self) -> tuple[_Segment, _Segment] | None:
        with self._changed:
            slow = max(self._segments, key=lambda segment: segment.stop - segment.position)
            left = slow.stop - slow.position
            if left < _SMALL or not self._ranges or self._failure is not None:
                return None
            segment = _Segment(slow.position + left // 2 // _STEP * _STEP, slow.stop)
            slow.stop = segment.position
            self._segments.append(segment)
            self._segments.sort(key=lambda each: each.position)
            return slow, segment

    def _give_back(self, slow: _Segment, segment: _Segment) -> None:
        """There are no ranges: the one that was helped has to go on alone."""
        with self._changed:
            self._ranges = False
            self._segments.remove(segment)
            alone = slow.position >= slow.stop
            slow.stop = segment.stop
        if alone:  # it came to its end already, so that its stream is closed
            self._read(slow, self._blob.open(slow.position))

    # ── the hash ────────────────────────────────────────────────────────────────────────────────────────

    def _hash(self, result: list[str]) -> None:
        found, hashed = self._blob.descriptor.digest.hasher(), 0
        while hashed < self._size:
            with self._changed:
                while self._failure is None and (ready := self._ready(hashed)) is None:
                    self._changed.wait()
                if self._failure is not None:
                    return
            while ready is not None and hashed < ready:
                count = min(_WINDOW, ready - hashed)
                with mmap.mmap(self._file, count, prot=mmap.PROT_READ, offset=hashed) as window:
                    found.update(window)
                hashed += count
        result.append(found.hexdigest())

    def _ready(self, hashed: int) -> int | None:
        """Up to where the file can be hashed; None where that is not far enough to be worth it."""
        for segment in self._segments:
            if segment.position < segment.stop:
                frontier = segment.position // _STEP * _STEP
                return frontier if frontier >= hashed + _STEP else None
        return self._size


def _chain(first: bytes, rest: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    if first:
        yield first
    yield from rest  # closing this closes `rest`
