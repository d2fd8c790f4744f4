"""The files of a layout: read with suspicion, written so that nothing half-written ever has a digest's name.

    DIR/oci-layout           says that this is a layout; writers of the index hold a `flock` on it
        index.json           replaced whole
        blobs/sha256/…       complete, or not there
        .sonar-…/            what one process is still writing, locked by it; whoever comes next removes what is not

There is no fsync: a process that is killed leaves a layout that is whole, a power cut may not.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from sonar_core import strict_json
from sonar_core.content import Digest
from sonar_core.errors import ContentError, Missing

from .index import Index
from .leftovers import lock, remove_leftover
from .reading import Region

LAYOUT = "oci-layout"
LAYOUT_VERSION = b'{"imageLayoutVersion": "1.0.0"}'
INDEX = "index.json"
BLOBS = "blobs"
_INCOMING = ".sonar-"
_INDEX_BYTES = 64 * 1024 * 1024  # as much as is read of an index.json
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe in the place of a file is not waited for


def check_layout_version(data: bytes, *, what: str) -> None:
    """Raises ContentError where the content of `oci-layout` is not that of version 1."""
    document = strict_json.loads(data, what=what)
    version = document.get("imageLayoutVersion") if isinstance(document, dict) else None
    if not isinstance(version, str) or not version.startswith("1."):
        raise ContentError(f"{what} is not that of an image layout of version 1")


class Files:
    """The files of the layout at `path`. Thread-safe. `create`: it is made when something is written, if need be."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._create = create
        self._lock = threading.RLock()
        self._incoming: Path | None = None
        self._incoming_lock: int | None = None
        self._held = False
        self._numbers = count()  # names of unfinished files
        self._directories: dict[str, Path] = {}  # where blobs are, by algorithm

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Raises Missing where there is no layout, ContentError where it is none of version 1."""
        if self._create and not (self.path / LAYOUT).exists():
            self._check_place()
            return
        if not self.path.is_dir():
            raise Missing(f"there is no layout at {self.path}")
        data = self._read(LAYOUT, 4096)
        if data is None:
            raise ContentError(f"{self.path} is no image layout: it has no {LAYOUT}")
        check_layout_version(data, what=str(self.path / LAYOUT))

    def index(self) -> Index:
        """The index. Raises ContentError where it is damaged or missing."""
        data = self._read(INDEX, _INDEX_BYTES)
        if data is None and self._create:
            return Index()
        if data is None:
            raise ContentError(f"{self.path} is damaged: it has no {INDEX}")
        return Index.from_json(data, what=str(self.path / INDEX))

    def open(self, digest: Digest) -> Region:
        """The file with that content. Raises Missing; ContentError for what is no regular file."""
        file = self._open(self.blob(digest))
        if file is None:
            raise Missing(f"{self.path} has no {digest}")
        return Region(file, 0, os.fstat(file).st_size)

    def release(self, region: Region) -> None:
        """Close the file."""
        os.close(region.file)

    def size(self, digest: Digest) -> int | None:
        """The size of the content with that digest in bytes; None where it is not there."""
        try:
            found = self.blob(digest).lstat()
        except FileNotFoundError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def blob(self, digest: Digest) -> Path:
        """Where content is, or would be. A `Digest` has been checked: it can't lead elsewhere.

        Raises ContentError where a directory on the way is a link.
        """
        directory = self._directories.get(digest.algorithm)
        if directory is None:
            directory = self.path / BLOBS / digest.algorithm
            for each in (directory.parent, directory):
                if each.is_symlink():
                    raise ContentError(f"{each} is a link, which is not followed")
            self._directories[digest.algorithm] = directory
        return directory / digest.hex

    def _read(self, name: str, limit: int) -> bytes | None:
        file = self._open(self.path / name)
        if file is None:
            return None
        with os.fdopen(file, "rb") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise ContentError(f"{self.path / name} is longer than the {limit} bytes that are read of it")
        return data

    def _open(self, path: Path) -> int | None:
        try:
            file = os.open(path, _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENOTDIR):
                raise ContentError(f"{path} is no regular file, and not followed") from error
            raise
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise ContentError(f"{path} is no regular file")
        return file

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────

    def _check_place(self) -> None:
        """Raises ContentError where a layout can't be made because something else is there."""
        if self.path.exists() and not self.path.is_dir():
            raise ContentError(f"{self.path} is no directory")
        if any(each.name not in (LAYOUT, INDEX, BLOBS) for each in self.path.glob("[!.]*")):
            raise ContentError(f"{self.path} is not empty and no image layout", hint="name another directory")

    def _make(self) -> None:
        """Make the layout, if there is none."""
        with self._lock:
            if not self._create:
                return
            if not (self.path / LAYOUT).exists():
                self._check_place()
                (self.path / BLOBS / "sha256").mkdir(parents=True, exist_ok=True)
                temporary = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.path))
                (temporary / LAYOUT).write_bytes(LAYOUT_VERSION)
                with suppress(FileExistsError):  # a link appears whole, and never replaces what others have locked
                    os.link(temporary / LAYOUT, self.path / LAYOUT)
                shutil.rmtree(temporary, ignore_errors=True)
            self._create = False
            self.check()
            with self.locked():
                if not (self.path / INDEX).exists():
                    self.save(Index())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that changes the layout, of all threads and processes."""
        import fcntl

        self._make()
        with self._lock:
            if self._held:
                yield
                return
            with (self.path / LAYOUT).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._held = True
                try:
                    yield
                finally:
                    self._held = False

    def save(self, index: Index) -> None:
        """Replace the index. Call it while `locked`."""
        temporary = self.incoming() / INDEX
        temporary.write_bytes(index.to_json())
        temporary.replace(self.path / INDEX)

    def incoming(self) -> Path:
        """The directory for what is not complete yet. What others left behind when they were killed is removed."""
        self._make()
        with self._lock:
            if self._incoming is None:
                with self.locked():
                    for left in self.path.glob(f"{_INCOMING}*"):
                        remove_leftover(left)
                    self._incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.path))
                    self._incoming_lock = os.open(self._incoming, os.O_RDONLY | os.O_CLOEXEC)
                    lock(self._incoming_lock)
            return self._incoming

    @contextmanager
    def new(self, digest: Digest) -> Iterator[int]:
        """A descriptor of an empty file, which gets the name of `digest` at the end, and is removed after an error."""
        target = self.blob(digest)
        path = self.incoming() / str(next(self._numbers))
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            yield file
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)

    def remove(self, digest: Digest) -> None:
        """Remove content; nothing happens where there is none."""
        self.blob(digest).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove what is not complete."""
        with self._lock:
            if self._incoming is not None:
                shutil.rmtree(self._incoming, ignore_errors=True)
                self._incoming = None
            if self._incoming_lock is not None:
                os.close(self._incoming_lock)
                self._incoming_lock = None
