"""Storage on disk: one OCI image layout for each repository, which other tools can read and write too.

    ROOT/library/hello/oci-layout           the layout of the repository library/hello, as `oci:ROOT/library/hello:TAG`
                       index.json           its manifests and tags, replaced whole
                       blobs/sha256/…       its content
    ROOT/.incoming/…                        what is still being written; emptied at every start
    ROOT/.lock                              held while a registry runs on ROOT

A component of a repository's name that is a name in a layout (`blobs`, `index.json`, `oci-layout`) stands with `_` in
front, which no component begins with. Everything that appears in a layout was complete before: it is written in
`.incoming` and renamed. So a process that is killed leaves layouts that are whole (there is no fsync: a power cut may
not). Writers of an index take a `flock` on `oci-layout`; content that was mounted is a hard link.
"""

from __future__ import annotations

import bisect
import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sonar_core.errors import BadReference, UsageError
from sonar_core.reference import check_path

from .index import Index

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from sonar_core.content import Digest

LAYOUT = "oci-layout"
LAYOUT_VERSION = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
INDEX = "index.json"
BLOBS = "blobs"
RESERVED = frozenset({LAYOUT, INDEX, BLOBS})


class DiskContent:
    """A file, open for sending."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def send(self, connection: socket.socket, offset: int, count: int) -> None:
        connection.sendfile(self._file, offset, count)

    def read(self) -> bytes:
        return self._file.read()

    def close(self) -> None:
        self._file.close()


class DiskIncoming:
    """A file in `.incoming` that grows."""

    def __init__(self, storage: DiskStorage) -> None:
        self._storage = storage
        self._path = storage.temporary()
        self._file: BinaryIO | None = self._path.open("xb", buffering=0)
        self.size = 0

    def write(self, piece: memoryview) -> None:
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
        while piece:  # an unbuffered write may be a part of it
            written = self._file.write(piece)
            self.size += written
            piece = piece[written:]

    def hexdigest(self, algorithm: str) -> str:
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()

    def pause(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def keep(self, repository: str, digest: Digest) -> None:
        self.pause()
        target = self._storage.create(repository).path_of(digest)
        target.parent.mkdir(exist_ok=True)
        self._path.replace(target)

    def discard(self) -> None:
        self.pause()
        self._path.unlink(missing_ok=True)


class DiskRepository:
    """One repository on disk. The index is read again whenever another process has replaced it."""

    def __init__(self, name: str, path: Path, storage: DiskStorage) -> None:
        self.name = name
        self.path = path
        self._storage = storage
        self._lock = threading.RLock()
        self._read: tuple[tuple[int, int, int] | None, Index] = (None, Index())

    @property
    def index(self) -> Index:
        file = self.path / INDEX
        try:
            state = _state(file.stat())
        except FileNotFoundError:
            return Index()
        seen, index = self._read
        if state != seen:
            index = Index.from_json(file.read_bytes(), what=f"{self.name}/{INDEX}")
            self._read = state, index
        return index

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._lock, (self.path / LAYOUT).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def save(self, index: Index) -> None:
        temporary = self._storage.write(index.to_json())
        state = _state(temporary.stat())
        temporary.replace(self.path / INDEX)
        self._read = state, index

    def has(self, digest: Digest) -> bool:
        path = self.path_of(digest)
        return path.is_file() and not path.is_symlink()

    def open(self, digest: Digest) -> DiskContent | None:
        # A link may lead anywhere: content is a file, or it is not there.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return DiskContent(open(self.path_of(digest), "rb", opener=lambda path, _: os.open(path, flags)))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise

    def remove(self, digest: Digest) -> bool:
        try:
            self.path_of(digest).unlink()
        except FileNotFoundError:
            return False
        return True

    def path_of(self, digest: Digest) -> Path:
        """Where content is or would be. A `Digest` has been checked: it can't lead elsewhere."""
        return self.path / BLOBS / digest.algorithm / digest.hex


class DiskStorage:
    """Repositories on disk under `root`, made if need be. UsageError if it can't be, or if another registry uses it."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()
        self._incoming = self.root / ".incoming"
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            self._running = (self.root / ".lock").open("ab")
        except OSError as error:
            raise UsageError(
                f"can't keep a registry in {self.root}: {(error.strerror or str(error)).lower()}"
            ) from None
        try:
            fcntl.flock(self._running, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._running.close()
            raise UsageError(
                f"{self.root} is in use by another registry", hint="stop it, or give each its own --root"
            ) from None
        self._clear()
        self._lock = threading.Lock()
        self._repositories: dict[str, DiskRepository] = {}
        self._names = sorted(self._scan())

    def names(self) -> list[str]:
        return self._names.copy()

    def find(self, name: str) -> DiskRepository | None:
        known = self._repositories.get(name)
        if known is None and (self._path(name) / LAYOUT).is_file():
            known = self._remember(name)
        return known

    def create(self, name: str) -> DiskRepository:
        known = self.find(name)
        if known is not None:
            return known
        path = self._path(name)
        (path / BLOBS / "sha256").mkdir(parents=True, exist_ok=True)
        with self._lock:  # `oci-layout` comes last: a directory with it is a layout, one without is not
            if not (path / LAYOUT).is_file():
                if not (path / INDEX).is_file():
                    self.write(Index().to_json()).replace(path / INDEX)
                self.write(LAYOUT_VERSION).replace(path / LAYOUT)
        return self._remember(name)

    def incoming(self) -> DiskIncoming:
        return DiskIncoming(self)

    def share(self, digest: Digest, source: str, target: str) -> bool:
        repository = self.find(source)
        if repository is None or not repository.has(digest):
            return False
        there = self.create(target).path_of(digest)
        there.parent.mkdir(exist_ok=True)
        here = repository.path_of(digest)
        try:
            os.link(here, there, follow_symlinks=False)
        except FileExistsError:
            pass
        except FileNotFoundError:
            return False  # deleted in the meantime
        except OSError:  # a file system without hard links
            temporary = self.temporary()
            shutil.copyfile(here, temporary)
            temporary.replace(there)
        return True

    def temporary(self) -> Path:
        """The name of a file that does not exist, on the same file system as the layouts."""
        return self._incoming / uuid.uuid4().hex

    def write(self, data: bytes) -> Path:
        """A temporary file with these bytes, to be renamed."""
        path = self.temporary()
        path.write_bytes(data)
        return path

    def close(self) -> None:
        self._clear()
        self._running.close()

    def _remember(self, name: str) -> DiskRepository:
        with self._lock:
            known = self._repositories.get(name)
            if known is None:
                known = self._repositories[name] = DiskRepository(name, self._path(name), self)
                position = bisect.bisect_left(self._names, name)
                if self._names[position : position + 1] != [name]:
                    self._names.insert(position, name)
            return known

    def _path(self, name: str) -> Path:
        return self.root.joinpath(*(f"_{part}" if part in RESERVED else part for part in name.split("/")))

    def _scan(self) -> Iterator[str]:
        for directory, inside, files in os.walk(self.root):
            inside[:] = [name for name in inside if name != BLOBS and not name.startswith(".")]
            if LAYOUT in files:
                parts = Path(directory).relative_to(self.root).parts
                name = "/".join(part.removeprefix("_") if part[1:] in RESERVED else part for part in parts)
                with suppress(BadReference):
                    yield check_path(name)

    def _clear(self) -> None:
        for path in self._incoming.iterdir():
            path.unlink(missing_ok=True)


def _state(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
