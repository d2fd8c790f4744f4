"""A download that goes on where it stopped, and is checked before its last block is given out."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from sonar_core.announced import check_announced
from sonar_core.auth import pull
from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.errors import ConnectionFailed, IntegrityError, ProtocolError, ResponseError, TimedOut, Unsupported
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
    A whole blob is verified: its last block comes only when digest and size are right. Of a part, or with
    `verify=False`, the number of bytes alone is checked. Raises IntegrityError, and what a request raises.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        digest: Digest,
        *,
        size: int | None = None,
        offset: int = 0,
        stop: int | None = None,
        verify: bool = True,
    ) -> None:
        self._client = client
        self._path = path
        self._url = f"{check_path(path)}/blobs/{digest}"
        self.digest = digest
        self._position = offset
        self._stop = stop
        response = self._request()
        #: Of the whole blob, in bytes; None where neither the caller nor the registry has said it.
        self.size = size if size is not None else self._declared(response)
        self._end = self.size if stop is None else stop
        self._response: Response | None = response
        blocks = self._read()
        self._blocks = verified(blocks, digest) if verify and not offset and stop is None else blocks

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
        last = "" if self._stop is None else self._stop - 1
        partly = self._position > 0 or self._stop is not None
        response = self._client.request(
            "GET",
            self._url,
            headers={"Range": f"bytes={self._position}-{last}"} if partly else None,
            scopes=[pull(self._path)],
            expect=(200, 206) if partly else (200,),
        )
        try:
            check_announced(response, self.digest)
            if response.status == 200 and self._stop is not None:
                url = redact_url(response.url)
                raise Unsupported(f"{url} gives no part of a blob, only the whole", status=200, url=url)
        except BaseException:
            response.close()
            raise
        return response

    def _declared(self, response: Response) -> int | None:
        """The size of the whole blob, by what an answer to a request without end says."""
        if response.length is None or self._stop is not None:
            return None
        return response.length if response.status == 200 else self._position + response.length

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
                        if self._end is not None and self._position > self._end:
                            raise self._wrong(f"is longer than its {self._end} bytes")
                        yield block
                    failure: Exception = self._too_short()
                    complete = self._end is None
                except (ConnectionFailed, TimedOut) as error:
                    failure, complete = error, False
                if complete or self._position == self._end:
                    return
                self._response.close()
                self._response = None
                persistence.failed(self._position, failure)
        except ResponseError as error:
            if error.status != 416:
                raise
            # The registry has nothing from here on, so this is the end where the size is not known.
            if self._end is not None:
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
        return BLOCK if self._end is None else min(BLOCK, self._end - self._position + 1)

    def _too_short(self) -> IntegrityError:
        return self._wrong(f"ends after {self._position} of its {self._end} bytes")

    def _wrong(self, what: str) -> IntegrityError:
        return IntegrityError(f"the blob {self.digest} of {self._client.registry}/{self._path} {what}")

    def _release(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
