"""A download that goes on where it stopped, and is checked before its last block is given out."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from sonar_core.auth import pull
from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.errors import ConnectionFailed, IntegrityError, ProtocolError, ResponseError, TimedOut
from sonar_core.hashing import verified
from sonar_core.quoting import quoted
from sonar_core.redaction import redact_url
from sonar_core.reference import check_path
from sonar_core.transport import BLOCK, Response

from .persistence import Persistence

if TYPE_CHECKING:
    from types import TracebackType

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(?:\d{1,19}|\*)", re.IGNORECASE)


class BlobStream:
    """The bytes of one blob, as an iterator of blocks of at most 1 MiB, once. A context manager: close it.

    Breaks are mended: the rest is asked for from where it stopped, `settings.attempts` times without progress.
    Read from the beginning, the last block comes only when digest and size are right; read from an offset, the
    size alone is checked. Raises IntegrityError, and what a request raises.
    """

    def __init__(self, client: Client, path: str, digest: Digest, *, size: int | None = None, offset: int = 0) -> None:
        self._client = client
        self._path = path
        self._url = f"{check_path(path)}/blobs/{digest}"
        self.digest = digest
        self._position = offset
        response = self._request()
        #: In bytes; None where neither the caller nor the registry has said it.
        self.size = size if size is not None else self._declared(response)
        self._response: Response | None = response
        blocks = self._read()
        self._blocks = blocks if offset else verified(blocks, digest)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        """Stop here. The connection is given back, or dropped where the rest is still to come."""
        self._blocks.close()
        self._release()

    def __enter__(self) -> BlobStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _request(self) -> Response:
        """Ask for the blob from the position on."""
        begun = self._position > 0
        return self._client.request(
            "GET",
            self._url,
            headers={"Range": f"bytes={self._position}-"} if begun else None,
            scopes=[pull(self._path)],
            expect=(200, 206) if begun else (200,),
        )

    def _declared(self, response: Response) -> int | None:
        """The size of the whole blob, by what an answer says."""
        if response.length is None or response.status == 200:
            return response.length
        return self._position + response.length

    def _read(self) -> Generator[bytes, None, None]:
        """The blocks from the position to the end, across breaks."""
        persistence = Persistence(self._client, self._position)
        try:
            while True:
                if self._response is None:
                    self._response = self._request()
                try:
                    self._seek(self._response)
                    while block := self._response.read_block(self._room()):
                        self._position += len(block)
                        if self.size is not None and self._position > self.size:
                            raise IntegrityError(f"the blob {self.digest} is longer than its {self.size} bytes")
                        yield block
                except (ConnectionFailed, TimedOut) as error:
                    failure: Exception = error
                else:
                    if self.size is None or self._position == self.size:
                        return
                    failure = self._too_short()
                self._response.abandon()
                self._response = None
                persistence.failed(self._position, failure)
        except ResponseError as error:
            if error.status != 416:
                raise
            # The registry has nothing from here on, so this is the end where the size is not known.
            if self.size is not None:
                raise self._too_short() from error
        finally:
            self._release()

    def _seek(self, response: Response) -> None:
        """Make the next byte of a fresh answer the one at the position."""
        if response.status == 206:
            stated = response.headers.get("Content-Range", "").strip()
            match = _CONTENT_RANGE.fullmatch(stated)
            if match is None or int(match[1]) != self._position:
                asked = f"{redact_url(response.url)}, asked for the bytes from {self._position} on,"
                raise ProtocolError(f"{asked} answered with the range {quoted(stated)}")
            return
        left = self._position  # a 200: all of it, from the beginning
        while left and (skipped := response.read_block(min(left, BLOCK))):
            left -= len(skipped)

    def _room(self) -> int:
        """How much to read at most: one byte more than there may be shows that it is too long."""
        return BLOCK if self.size is None else min(BLOCK, self.size - self._position + 1)

    def _too_short(self) -> IntegrityError:
        return IntegrityError(f"the blob {self.digest} ends after {self._position} of its {self.size} bytes")

    def _release(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
