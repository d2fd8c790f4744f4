"""The bytes of a blob, verified on their way to a store that does not verify them itself."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from sonar_core.content import Descriptor
from sonar_core.errors import IntegrityError, Unsupported
from sonar_core.hashing import BackgroundHash
from sonar_core.stores import Reader


class Checked:
    """A `Reader` that hands over the last block only when digest and size were found right.

    It may be opened again, as an upload that goes on does, at an offset that was read before: what has been hashed is
    not hashed twice. Whoever could change bytes in between is found out by the store, which knows the digest.
    """

    def __init__(self, blob: Descriptor, read: Reader) -> None:
        self._blob = blob
        self._read = read
        self._hash = BackgroundHash(blob.digest.algorithm)
        self._hashed = 0

    def __call__(self, start: int, stop: int | None) -> Generator[bytes, None, None]:
        """The bytes from `start` to the end. Raises IntegrityError; Unsupported for a part from the middle."""
        if stop is not None:
            raise Unsupported(f"{self._blob.digest} is verified as a whole", status=0, url="")
        position = min(start, self._hashed)
        held = b""
        with closing(self._read(position, None)) as blocks, self._hash:
            for block in blocks:
                if new := block[max(0, self._hashed - position) :]:
                    self._hash.update(new)
                skipped = max(0, start - position)
                position += len(block)
                self._hashed = max(self._hashed, position)
                if position > self._blob.size:
                    raise IntegrityError(f"the blob {self._blob.digest} is longer than its {self._blob.size} bytes")
                if held:
                    yield held
                held = block[skipped:] if skipped else block
            self._check(position)
        if held:
            yield held

    def _check(self, total: int) -> None:
        wanted = self._blob.digest
        if total < self._blob.size:
            raise IntegrityError(f"the blob {wanted} ends after {total} of its {self._blob.size} bytes")
        if (found := self._hash.digest()) != wanted:
            raise IntegrityError(f"the blob {wanted} came with other content: its digest is {found}")
