"""One upload of one blob: a session, what was sent, where it stands, and how it goes on after a failure.

OCI distribution-spec, "Pushing blobs": end-4a POST opens the session, end-5 PATCH sends a chunk, end-13 GET asks
where it stands, end-6 PUT closes it with the digest, end-14 DELETE gives it up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urljoin

from sonar_core.announced import check_stored
from sonar_core.auth import push
from sonar_core.errors import ConnectionFailed, ProtocolError, ResponseError, SonarError, TimedOut
from sonar_core.redaction import redact_url
from sonar_core.reference import check_path
from sonar_core.transport import split_url

from .feed import Feed
from .persistence import Persistence

if TYPE_CHECKING:
    from sonar_core.client import Client
    from sonar_core.content import Digest
    from sonar_core.sources import Source
    from sonar_core.transport import Response

_RANGE = re.compile(r"(?:bytes[= ])?0-(\d{1,19})", re.IGNORECASE)
_BROKEN = frozenset({408, 416, 500, 502, 503, 504})  # after these it is worth asking where the session stands
_LARGEST_MINIMUM = 1024**3  # bytes; a registry that wants larger chunks (OCI-Chunk-Min-Length) is not followed
_FAREWELL = 1.5  # seconds for giving a session up


class Session:
    """An upload session that the registry opened. `url` is where the next request goes, `offset` where it stands."""

    def __init__(self, client: Client, path: str, response: Response) -> None:
        self._client = client
        self._scopes = (push(path),)
        self.url = ""
        self.offset = 0
        minimum = response.headers.get("OCI-Chunk-Min-Length", "").strip()
        plain = minimum.isascii() and minimum.isdigit() and len(minimum) < 20
        #: The smallest chunk that the registry takes, but the last, in bytes.
        self.minimum = min(int(minimum), _LARGEST_MINIMUM) if plain else 0
        self.move(response, required=True)

    def move(self, response: Response, *, required: bool = False) -> None:
        """Follow the `Location`, relative or absolute, its query kept."""
        location = response.headers.get("Location", "").strip()
        if not location:
            if required:
                raise ProtocolError(f"{redact_url(response.url)} opened an upload without a Location")
            return
        try:
            url = urldefrag(urljoin(response.url, location.replace(" ", "%20"))).url
        except ValueError:
            raise ProtocolError(f"{redact_url(response.url)} gave a Location that is no URL") from None
        if split_url(url).scheme == "http" and response.url.startswith("https:"):
            raise ProtocolError(
                f"{redact_url(response.url)} sends the upload to plain http, {redact_url(url)}",
                hint="a registry behind a TLS proxy must be told its own address",
            )
        self.url = url

    def patch(self, feed: Feed, length: int) -> Response:
        """Send the next `length` bytes (end-5)."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{self.offset}-{self.offset + length - 1}",
        }
        return self._client.request(
            "PATCH",
            self.url,
            headers=headers,
            body=feed.piece(self.offset, length),
            length=length,
            scopes=self._scopes,
            expect=(200, 201, 202, 204),
        )

    def put(self, digest: Digest, feed: Feed, length: int) -> Response:
        """Close it (end-6), with `length` bytes of content, which are all, or with none."""
        body = feed.piece(0, length) if length else None
        return self._client.request(
            "PUT",
            f"{self.url}{'&' if '?' in self.url else '?'}digest={digest}",
            headers={"Content-Type": "application/octet-stream"},
            body=body,
            length=length if length else None,
            scopes=self._scopes,
            expect=(200, 201, 204),
            repeatable=False if length else None,  # where it broke, the session says how much came
        )

    def ask(self) -> int | None:
        """How many bytes the registry has (end-13); None where it does not say."""
        with self._client.request("GET", self.url, scopes=self._scopes, expect=(200, 202, 204)) as response:
            self.move(response)
            return stands(response)

    def cancel(self) -> None:
        """Give it up (end-14), if that can be done in a moment. Raises nothing."""
        for _ in range(2):  # a kept connection may turn out to be closed
            try:
                self._client.request(
                    "DELETE", self.url, scopes=self._scopes, expect=(200, 202, 204), patience=_FAREWELL
                ).close()
            except ConnectionFailed:
                continue
            except SonarError:
                return
            return


def begin(client: Client, path: str) -> Session:
    """Open a session (end-4a)."""
    with client.request("POST", uploads_url(path), scopes=[push(path)], expect=(202,), repeatable=True) as response:
        return Session(client, path, response)


def uploads_url(path: str) -> str:
    """The path below `/v2/` where sessions are opened. Raises BadReference."""
    return f"{check_path(path)}/blobs/uploads/"


def stands(response: Response) -> int | None:
    """The number of bytes that a `Range` header reports; None without one.

    `0-0` is what distribution says of an empty session, too, and is taken for that.
    """
    match = _RANGE.fullmatch(response.headers.get("Range", "").strip())
    if match is None:
        return None
    return int(match[1]) + 1 if int(match[1]) else 0


class Upload:
    """Sends `source`, `size` bytes with `digest`, to `path`; `chunk`: in pieces of so many bytes."""

    def __init__(self, client: Client, path: str, digest: Digest, source: Source, size: int, chunk: int | None) -> None:
        self._client = client
        self._path = path
        self._digest = digest
        self._size = size
        self._chunk = chunk
        self._feed = Feed(source, size)
        self._persistence = Persistence(client)
        self._session: Session | None = None
        self._restarted = False
        self._believes = False  # that chunks arrived whole, whatever `Range` says
        self._sent = 0  # bytes up to the end of the last chunk that was accepted
        self._final = False  # whether everything was sent, so that it may be there already
        self._early = False  # whether the last chunk was answered as if that were all (ECR's 201)
        self._resumed = False

    def run(self, session: Session | None = None) -> None:
        """Do it, in `session` if one was opened already. On an error, or Ctrl-C, the session is given up."""
        self._session = session
        try:
            while not self._advance():
                pass
        except BaseException:
            if self._session is not None:
                self._session.cancel()
            raise
        finally:
            self._feed.close()

    def _advance(self) -> bool:
        """Send the next request, or mend what went wrong with it. True when the blob is there."""
        if self._session is None:
            self._session = begin(self._client, self._path)
        try:
            return self._send(self._session)
        except SonarError as error:
            if self._feed.failure is not None:
                raise self._feed.failure from None
            return self._mend(self._session, error)

    def _send(self, session: Session) -> bool:
        left = self._size - session.offset
        if left and (self._chunk or session.offset):
            length = min(max(self._chunk or left, session.minimum), left)
            self._final = self._final or length == left
            with session.patch(self._feed, length) as response:
                session.move(response)
                self._accepted(session, response, session.offset + length)
            return False
        self._final = True
        with session.put(self._digest, self._feed, left) as response:
            check_stored(response, self._digest)
        return True

    def _accepted(self, session: Session, response: Response, sent: int) -> None:
        """A chunk went through. Where the registry reports less than that, ask; what doesn't move is not believed.

        ECR answers 201, and its `Range` stays at the end of the first chunk while it keeps them all
        (aws/containers-roadmap#2831).
        """
        reported = stands(response)
        offset = sent
        self._early = response.status == 201
        if reported not in (None, sent) and sent > 1 and not self._early and not self._believes:
            try:
                reported = session.ask()
            except ResponseError:
                reported = None
            if reported is not None and session.offset < reported < sent:
                offset = reported
            elif reported != sent:
                self._believes = True
        session.offset, self._sent = offset, sent

    def _mend(self, session: Session, error: SonarError) -> bool:
        """After `error`, get ready to go on. True where the blob is there after all. Raises what can't be mended."""
        if isinstance(error, (ConnectionFailed, TimedOut)):
            return self._resume(session, error)
        if not isinstance(error, ResponseError):
            raise error
        if (error.status == 404 or self._early) and self._is_there():
            return True
        if error.status in _BROKEN:
            return self._resume(session, error)
        if error.status == 404 or (error.status == 400 and self._resumed):
            if self._restarted:
                raise error
            self._restarted = True
            self._begin_again(session)
            return False
        if error.status == 413:
            error.hint = "smaller pieces may pass: --chunk"
        raise error

    def _resume(self, session: Session, error: SonarError) -> bool:
        """Go on from where the session stands; from the beginning where it does not say, or has gone."""
        tried = session.offset
        try:
            reported = session.ask()
        except ResponseError:
            if self._is_there():
                return True
            reported = self._size + 1
        offset = self._sent if reported is None else reported
        if getattr(error, "status", None) == 416 and offset == tried:
            offset = self._sent  # it refuses a chunk at the very place where it says to stand
        if offset > self._size:
            self._persistence.failed(0, error)
            self._begin_again(session)
        else:
            self._persistence.failed(offset, error)
            self._resumed, self._believes = True, False
            session.offset = offset
        return False

    def _begin_again(self, session: Session) -> None:
        """Forget the session; the next request opens another."""
        session.cancel()
        self._session = None
        self._sent, self._believes, self._final, self._early, self._resumed = 0, False, False, False, False

    def _is_there(self) -> bool:
        """Whether the blob was stored, though the answer that says so did not come."""
        if not self._final:
            return False
        try:
            self._client.request("HEAD", f"{self._path}/blobs/{self._digest}", scopes=[push(self._path)]).close()
        except ResponseError:
            return False
        return True
