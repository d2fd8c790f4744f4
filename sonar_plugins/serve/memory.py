"""Storage in memory: what is pushed is gone when the registry stops."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

from .body import PIECE
from .index import Index

if TYPE_CHECKING:
    import socket
    from contextlib import AbstractContextManager

    from sonar_core.content import Digest


class MemoryContent:
    """Bytes in memory, open for sending."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.size = len(data)

    def send(self, connection: socket.socket, offset: int, count: int) -> None:
        end = offset + count
        for start in range(offset, end, PIECE):  # a socket's timeout bounds one `sendall`, not one piece of it
            connection.sendall(self._data[start : min(start + PIECE, end)])

    def read(self) -> bytes:
        return bytes(self._data)

    def close(self) -> None:
        pass


class MemoryIncoming:
    """Bytes that come in, in one growing buffer, which is kept as it is when it is adopted."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self._data = bytearray()

    @property
    def size(self) -> int:
        return len(self._data)

    def write(self, piece: memoryview) -> None:
        self._data += piece

    def hexdigest(self, algorithm: str) -> str:
        return hashlib.new(algorithm, self._data).hexdigest()

    def pause(self) -> None:
        pass

    def keep(self, repository: str, digest: Digest) -> None:
        self._storage.create(repository).content[digest] = memoryview(self._data)
        self._data = bytearray()

    def discard(self) -> None:
        self._data = bytearray()


class MemoryRepository:
    """One repository in memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.index = Index()
        self.content: dict[Digest, memoryview] = {}
        self._lock = threading.RLock()

    def locked(self) -> AbstractContextManager[object]:
        return self._lock

    def save(self, index: Index) -> None:
        self.index = index

    def has(self, digest: Digest) -> bool:
        return digest in self.content

    def open(self, digest: Digest) -> MemoryContent | None:
        data = self.content.get(digest)
        return None if data is None else MemoryContent(data)

    def remove(self, digest: Digest) -> bool:
        return self.content.pop(digest, None) is not None


class MemoryStorage:
    """Repositories in memory."""

    def __init__(self) -> None:
        self._repositories: dict[str, MemoryRepository] = {}

    def names(self) -> list[str]:
        return sorted(self._repositories)

    def find(self, name: str) -> MemoryRepository | None:
        return self._repositories.get(name)

    def create(self, name: str) -> MemoryRepository:
        return self._repositories.setdefault(name, MemoryRepository(name))

    def incoming(self) -> MemoryIncoming:
        return MemoryIncoming(self)

    def share(self, digest: Digest, source: str, target: str) -> bool:
        repository = self._repositories.get(source)
        data = repository.content.get(digest) if repository else None
        if data is not None:
            self.create(target).content[digest] = data
        return data is not None

    def close(self) -> None:
        pass
