"""Files made below one directory, and nothing outside it, whatever the names and links in it say.

Every step is taken from the descriptor of a directory that was opened without following links, so neither a link in
the image nor one that somebody puts there meanwhile leads elsewhere (CVE-2021-21272 and its kind).
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .model import ROOT, Entry, Kind
from .packed import is_implied, pack, unpack
from .sparse import placed

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_OPEN = 100

# What OverlayFS and SELinux keep in attributes belongs to the machine, not to an image.
_NEVER_SET = ("trusted.overlay.", "user.overlay.", "security.selinux")


@dataclass
class Extracted:
    """What was made on disk."""

    files: int = 0
    directories: int = 0
    others: int = 0
    """Symbolic links, hard links, FIFOs and devices."""
    size: int = 0
    """Bytes written."""
    skipped: list[bytes] = field(default_factory=list)
    """Devices that were not made."""
    attributes_left_out: int = 0
    """Extended attributes that were not set, because of the policy or the file system."""


class Disk:
    """The sink of `unpack` that makes files below the directory with the descriptor `root`, which stays the caller's.

    With `same_owner` (only root can): owners, set-id bits, devices and all extended attributes as in the image.
    Without it: everything belongs to the one who runs this, set-id bits are cleared, devices are skipped, and only
    `user.*` attributes are set.
    """

    def __init__(self, root: int, *, same_owner: bool = False) -> None:
        self.made = Extracted()
        self.at = ROOT
        """The path in work, for messages."""
        self._same_owner = same_owner
        self._modes = 0o7777 if same_owner else 0o1777
        self._open = {ROOT: root}
        self._directories: dict[bytes, bytes] = {}
        self._skipped: set[bytes] = set()

    def file(self, entry: Entry, content: Iterator[memoryview]) -> None:
        parent, name = self._begin(entry.path)
        descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            if entry.sparse is None:
                for piece in content:
                    _write(descriptor, piece)
            else:
                for offset, part in placed(entry.sparse, content):
                    os.lseek(descriptor, offset, os.SEEK_SET)
                    _write(descriptor, part)
                os.ftruncate(descriptor, entry.size)
            self._set_metadata(descriptor, entry)
        finally:
            os.close(descriptor)
        self.made.files += 1
        self.made.size += entry.size

    def other(self, entry: Entry) -> None:
        parent, name = self._begin(entry.path)
        if entry.kind is Kind.SYMLINK:
            os.symlink(entry.target, name, dir_fd=parent)
        elif entry.kind is Kind.FIFO:
            os.mkfifo(name, 0o600, dir_fd=parent)
        elif self._same_owner:
            kind = stat.S_IFCHR if entry.kind is Kind.CHAR else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(*(entry.device or (0, 0))), dir_fd=parent)
        else:
            self._skip(entry.path)
            return
        self._set_metadata_by_name(parent, name, entry)
        self.made.others += 1

    def link(self, path: bytes, target: bytes) -> None:
        if target in self._skipped:
            self._skip(path)
            return
        parent, name = self._begin(path)
        directory, _, existing = target.rpartition(b"/")
        source = self._directory(directory)
        os.link(existing, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        self.made.others += 1

    def directory(self, entry: Entry) -> None:
        self._begin(entry.path)
        self._directory(entry.path)
        self._directories[entry.path] = pack(entry)

    def drop(self, entry: Entry) -> None:
        parent, name = self._begin(entry.path)
        with suppress(FileNotFoundError):  # a directory that nothing was put in, a device that was skipped
            if entry.kind is not Kind.DIRECTORY:
                os.unlink(name, dir_fd=parent)
                return
            if entry.path in self._open:
                os.close(self._open.pop(entry.path))
            os.rmdir(name, dir_fd=parent)

    def finish(self) -> Extracted:
        """Give the directories their owners, modes and times: last, since all that is made in one changes them."""
        for path in sorted(self._directories, reverse=True):  # what lies in a directory comes before it
            packed = self._directories[path]
            if path == ROOT and is_implied(packed):
                continue
            self._begin(path)
            self._set_metadata(self._directory(path), unpack(path, packed))
        self.made.directories = len(self._directories)
        self.close()
        return self.made

    def close(self) -> None:
        """Close all descriptors but the root's."""
        for path in [path for path in self._open if path != ROOT]:
            os.close(self._open.pop(path))

    def _skip(self, path: bytes) -> None:
        self.made.skipped.append(path)
        self._skipped.add(path)

    def _begin(self, path: bytes) -> tuple[int, bytes]:
        """The descriptor of the directory that `path` lies in, and its name there."""
        self.at = path
        if len(self._open) > _MOST_OPEN:
            self.close()
        parent, _, name = path.rpartition(b"/")
        return self._directory(parent), name

    def _directory(self, path: bytes) -> int:
        """The descriptor of a directory below the root, made where it is missing, with all above it."""
        descriptor = self._open.get(path)
        if descriptor is None:
            above, _, name = path.rpartition(b"/")
            parent = self._directory(above)
            try:
                descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
            except FileNotFoundError:
                os.mkdir(name, 0o700, dir_fd=parent)
                descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
            self._open[path] = descriptor
        return descriptor

    def _set_metadata(self, descriptor: int, entry: Entry) -> None:
        if self._same_owner:
            os.fchown(descriptor, entry.uid, entry.gid)
        os.fchmod(descriptor, entry.mode & self._modes)  # after chown, which clears set-id bits
        if entry.xattrs:
            self._set_xattrs(descriptor, entry)
        os.utime(descriptor, ns=(entry.mtime, entry.mtime))

    def _set_metadata_by_name(self, parent: int, name: bytes, entry: Entry) -> None:
        """For what can't be opened: links, devices and FIFOs."""
        if self._same_owner:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.kind is not Kind.SYMLINK or entry.xattrs:
            with _itself(name, parent) as itself:
                if entry.kind is not Kind.SYMLINK:
                    itself.chmod(entry.mode & self._modes)
                self._set_xattrs(itself, entry)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _set_xattrs(self, where: int | Path, entry: Entry) -> None:
        for name, value in entry.xattrs:
            try:
                if name.startswith(_NEVER_SET) or not (self._same_owner or name.startswith("user.")):
                    raise PermissionError(name)
                os.setxattr(where, name, value)
            except (OSError, ValueError, AttributeError):  # a name with a NUL; no attributes here; not Linux
                self.made.attributes_left_out += 1


@contextmanager
def _itself(name: bytes, parent: int) -> Iterator[Path]:
    """A path that is a link, device or FIFO itself: there is no call that sets a mode and follows no link."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _write(descriptor: int, piece: bytes | memoryview) -> None:
    while piece:
        piece = piece[os.write(descriptor, piece) :]
