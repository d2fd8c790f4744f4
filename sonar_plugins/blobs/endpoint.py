"""Blobs of a registry (OCI distribution-spec, end-2, end-4 to end-6, end-10, end-11, end-13, end-14)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sonar_core.announced import check_announced, check_stored
from sonar_core.answers import HEAD_REFUSED
from sonar_core.auth import delete, pull, push
from sonar_core.client import Client
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import AuthError, ResponseError
from sonar_core.media_types import essence
from sonar_core.reference import check_path
from sonar_core.sources import Source

from .feed import Feed
from .stream import BlobStream
from .upload import Session, Upload, uploads_url

#: Answers to a mount after which an ordinary upload is worth a try.
_NO_MOUNT = frozenset({400, 401, 403, 404, 405, 501})
_BLOB = "application/octet-stream"


class Blobs:
    """`client.blobs`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def head(self, path: str, digest: Digest) -> Descriptor:
        """Whether it is there, and its size in bytes, by HEAD; by GET where that is refused or says no size (end-2).

        Raises NotFound; IntegrityError where the registry names another digest.
        """
        try:
            with self._client.request("HEAD", _url(path, digest), scopes=[pull(path)]) as response:
                check_announced(response, digest)
                if response.length is not None:
                    return Descriptor(
                        essence(response.headers.get("Content-Type", "")) or _BLOB, digest, response.length
                    )
        except ResponseError as error:
            if error.status not in HEAD_REFUSED:
                raise
        with self.get(path, digest) as stream:
            size = stream.size
            return Descriptor(_BLOB, digest, sum(map(len, stream)) if size is None else size)

    def get(
        self,
        path: str,
        digest: Digest,
        *,
        size: int | None = None,
        offset: int = 0,
        stop: int | None = None,
        verify: bool = True,
    ) -> BlobStream:
        """Its bytes, from `offset` on, with breaks mended (end-2). `size`, where known, is that of the whole blob.

        `stop`: up to there, by a range. `verify=False`: whoever reads it checks the digest.
        Raises NotFound and other errors of the request at once; what comes later, and IntegrityError, the stream.
        """
        return BlobStream(self._client, path, digest, size=size, offset=offset, stop=stop, verify=verify)

    def source(self, path: str, digest: Digest, size: int) -> Source:
        """The blob as what an upload is made of."""
        return _BlobSource(self, path, digest, size)

    def put(
        self,
        path: str,
        digest: Digest,
        body: Source,
        size: int,
        *,
        chunk: int | None = None,
        mount_from: str | None = None,
        single: bool = False,
    ) -> bool:
        """Store the `size` bytes of `body`: one POST and one PUT (end-4a, end-6). True where it was mounted instead.

        `chunk`: in pieces of so many bytes, or more if the registry wants more (end-5). `mount_from`: a repository
        to take it over from, which costs one POST if it goes well, and no request more if not (end-11). `single`:
        with the POST alone, where the registry knows that (end-4b). Breaks are mended, and an upload that fails is
        taken back.

        Raises IntegrityError where `body` is shorter or longer, or the registry names another digest;
        ResponseError, TransportError, and what `body` raises.
        """
        session, done = None, False
        if mount_from is not None:
            session, done = self._mount(path, digest, mount_from, refused=_NO_MOUNT)
        elif single:
            session, done = self._post(path, digest, body, size)
        if not done:
            Upload(self._client, path, digest, body, size, chunk).run(session)
        return done and mount_from is not None

    def mount(self, path: str, digest: Digest, source_path: str) -> bool:
        """Take a blob over from another repository of the registry (end-11). False where it does not do that.

        Raises Unauthorized and Forbidden.
        """
        session, mounted = self._mount(path, digest, source_path, refused=_NO_MOUNT - {401, 403})
        if session is not None:
            session.cancel()
        return mounted

    def delete(self, path: str, digest: Digest) -> None:
        """Remove it from the repository (end-10). Raises NotFound, Unsupported."""
        self._client.request("DELETE", _url(path, digest), scopes=[delete(path)], expect=(200, 202, 204)).close()

    def _mount(
        self, path: str, digest: Digest, source_path: str, *, refused: frozenset[int]
    ) -> tuple[Session | None, bool]:
        """The session that the registry opened instead, if it did, and whether the blob was mounted.

        An answer whose status is in `refused` means that it was not.
        """
        url = f"{uploads_url(path)}?mount={digest}&from={check_path(source_path)}"
        try:
            with self._client.request(
                "POST", url, scopes=[push(path), pull(source_path)], expect=(201, 202), repeatable=True
            ) as response:
                if response.status == 201:
                    check_stored(response, digest)
                    return None, True
                opened = Session(self._client, path, response) if response.headers.get("Location") else None
                return opened, False
        except AuthError:  # a token for both repositories, perhaps, where one for this alone can be had
            if 401 not in refused:
                raise
            return None, False
        except ResponseError as error:
            if error.status not in refused:
                raise
            return None, False

    def _post(self, path: str, digest: Digest, body: Source, size: int) -> tuple[Session | None, bool]:
        """The session that a registry opens that does not know end-4b, and whether the blob was stored."""
        feed = Feed(body, size)
        try:
            with self._client.request(
                "POST",
                f"{uploads_url(path)}?digest={digest}",
                headers={"Content-Type": _BLOB},
                body=feed.piece(0, size),
                length=size,
                scopes=[push(path)],
                expect=(201, 202),
            ) as response:
                if response.status == 202:
                    return Session(self._client, path, response), False
                check_stored(response, digest)
                return None, True
        finally:
            feed.close()


@dataclass(frozen=True)
class _BlobSource:
    """A blob of a registry, opened anew by a request with a `Range`."""

    blobs: Blobs = field(repr=False)
    path: str
    digest: Digest
    size: int

    def open(self, offset: int) -> Iterator[bytes]:
        with self.blobs.get(self.path, self.digest, size=self.size, offset=offset) as stream:
            yield from stream


def _url(path: str, digest: Digest) -> str:
    """The path below `/v2/`, of parts that were checked. Raises BadReference."""
    return f"{check_path(path)}/blobs/{digest}"
