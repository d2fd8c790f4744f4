"""What a registry keeps, as protocols: `memory` and `disk` are the two places to keep it.

A repository is a set of content, found by digest, and an `Index`, which says what of it is a manifest and which
tags there are: an OCI image layout. Content is visible in the repositories that it was put in, and in no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket
    from contextlib import AbstractContextManager

    from sonar_core.content import Digest

    from .index import Index


class Content(Protocol):
    """Stored bytes, open for sending."""

    size: int

    def send(self, connection: socket.socket, offset: int, count: int) -> None:
        """Send `count` bytes from `offset`. Every wait is bounded by the socket's timeout."""

    def read(self) -> bytes:
        """All of it: for manifests."""

    def close(self) -> None:
        """Let go of it."""


class Incoming(Protocol):
    """Bytes on their way in. Nobody sees them before they are kept."""

    @property
    def size(self) -> int:
        """How many bytes were written."""

    def write(self, piece: memoryview) -> None:
        """Add to the end."""

    def hexdigest(self, algorithm: str) -> str:
        """The hash of all that was written, computed anew."""

    def pause(self) -> None:
        """Hold no file open until the next `write`."""

    def keep(self, repository: str, digest: Digest) -> None:
        """Make it visible under its digest, which the caller has checked, in a repository, made if need be."""

    def discard(self) -> None:
        """Throw it away. Does nothing after it was kept."""


class Repository(Protocol):
    """One repository. All methods are safe to call from several threads."""

    name: str

    @property
    def index(self) -> Index:
        """The manifests and tags as they are now: a snapshot that never changes."""

    def locked(self) -> AbstractContextManager[object]:
        """Keep other writers of this repository out, from reading the index until it is saved."""

    def save(self, index: Index) -> None:
        """Replace the index. Only within `locked()`."""

    def has(self, digest: Digest) -> bool:
        """Whether there is such content."""

    def open(self, digest: Digest) -> Content | None:
        """The content, or None."""

    def remove(self, digest: Digest) -> bool:
        """Delete content; False if there was none."""


class Storage(Protocol):
    """All repositories."""

    def names(self) -> list[str]:
        """The repositories' names, sorted."""

    def find(self, name: str) -> Repository | None:
        """A repository that exists. The name has been checked."""

    def create(self, name: str) -> Repository:
        """A repository, made if need be. The name has been checked."""

    def incoming(self) -> Incoming:
        """A place for bytes to come in."""

    def share(self, digest: Digest, source: str, target: str) -> bool:
        """Make content of one repository visible in another, made if need be; False if the source lacks it."""

    def close(self) -> None:
        """Give up what is held: locks, temporary files."""
