"""Upload sessions: bytes that come in one after the other, hashed on the way, until a digest closes them."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .messages import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sonar_core.content import Digest

    from .body import Body
    from .storage import Incoming, Storage

FORGOTTEN = 3600.0  # seconds after which a session that nobody used is thrown away
PATIENCE = 5.0  # seconds that a request waits for the one before it on the same session to end


class Session:
    """One upload. At most one request at a time adds to it."""

    def __init__(self, repository: str, incoming: Incoming, algorithm: str) -> None:
        self.id = uuid.uuid4().hex
        self.repository = repository
        self.used = time.monotonic()
        self._incoming = incoming
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """How many bytes have come."""
        return self._incoming.size

    @property
    def range(self) -> str:
        """The header `Range`: `0-LAST`. An empty session is `0-0` too, as everywhere: there is no other way."""
        return f"0-{max(self.size - 1, 0)}"

    def forgotten(self, since: float) -> bool:
        """Whether nobody has used it since then."""
        return self.used < since and not self._lock.locked()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for another request on this session to end: its client may have gone away. `Fault` if it does not."""
        if not self._lock.acquire(timeout=PATIENCE):
            raise Fault(409, "BLOB_UPLOAD_INVALID", "another request is still writing to this upload")
        try:
            self.used = time.monotonic()
            yield
        finally:
            self.used = time.monotonic()
            self._lock.release()

    def append(self, body: Body) -> None:
        """Add a body. What came before a client went away stays, so that the upload can be resumed."""
        buffer = body.buffer()
        try:
            while count := body.readinto(buffer):
                piece = buffer[:count]
                self._incoming.write(piece)
                self._hash.update(piece)
        finally:
            self._incoming.pause()

    def keep(self, digest: Digest) -> None:
        """Make it a blob. Raises `Fault` where its bytes have another digest."""
        ours = digest.algorithm == self._algorithm
        actual = self._hash.hexdigest() if ours else self._incoming.hexdigest(digest.algorithm)
        if actual != digest.hex:
            message = f"the bytes that came have the digest {digest.algorithm}:{actual}"
            raise Fault(400, "DIGEST_INVALID", message, detail={"digest": str(digest)})
        self._incoming.keep(self.repository, digest)

    def discard(self) -> None:
        """Throw away what came."""
        self._incoming.discard()


class Uploads:
    """The sessions that are open."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def start(self, repository: str, algorithm: str = "sha256") -> Session:
        """A new session, which is not found by others before it is `offer`ed."""
        return Session(repository, self._storage.incoming(), algorithm)

    def offer(self, session: Session) -> None:
        """Let further requests find a session; throw away those that nobody used for an hour."""
        oldest = time.monotonic() - FORGOTTEN
        with self._lock:
            forgotten = [other for other in self._sessions.values() if other.forgotten(oldest)]
            for other in forgotten:
                del self._sessions[other.id]
            self._sessions[session.id] = session
        for other in forgotten:
            other.discard()

    def find(self, repository: str, identity: str) -> Session:
        """The session, if it is one of this repository. Raises `Fault` (404)."""
        session = self._sessions.get(identity)
        if session is None or session.repository != repository:
            raise Fault(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload; start it again")
        return session

    def close(self, session: Session) -> None:
        """End a session and throw away what came and was not kept."""
        with self._lock:
            self._sessions.pop(session.id, None)
        session.discard()
