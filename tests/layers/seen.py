"""What lies on a disk, in a form that can be compared."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """One path. `mtime` is None for directories: unpacking into one changes it."""

    type: str
    mode: int
    uid: int
    gid: int
    content: str
    """Of a file, in hexadecimal; the text of a link; the numbers of a device."""
    mtime: int | None
    names: tuple[str, ...]
    """All paths of the same file, where there are several."""
    xattrs: tuple[tuple[str, str], ...]


_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


def look(root: str | os.PathLike[str]) -> dict[str, Seen]:
    """All that lies below `root`, by path."""
    base = os.fspath(root)
    paths = []
    for directory, directories, files in os.walk(base):
        here = [os.path.join(directory, name) for name in directories + files]  # noqa: PTH118
        # The kernel lists a whiteout in a directory that only one layer has, and says then that it is not there.
        paths += [path for path in here if os.path.lexists(path)]
    stats = {path: os.lstat(path) for path in paths}
    names = defaultdict(list)
    for path, status in stats.items():
        if stat.S_ISREG(status.st_mode):
            names[status.st_dev, status.st_ino].append(os.path.relpath(path, base))
    seen = {}
    for path, status in stats.items():
        same = names.get((status.st_dev, status.st_ino), ())
        seen[os.path.relpath(path, base)] = Seen(
            _TYPES[stat.S_IFMT(status.st_mode)],
            0o777 if stat.S_ISLNK(status.st_mode) else stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            _content(path, status),
            None if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns,
            tuple(sorted(same)) if len(same) > 1 else (),
            _xattrs(path),
        )
    return seen


def _content(path: str, status: os.stat_result) -> str:
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read().hex()
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)  # noqa: PTH115
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return f"{os.major(status.st_rdev)},{os.minor(status.st_rdev)}"
    return ""


def _xattrs(path: str) -> tuple[tuple[str, str], ...]:
    names = [name for name in os.listxattr(path, follow_symlinks=False) if ".overlay." not in name]
    return tuple((name, os.getxattr(path, name, follow_symlinks=False).hex()) for name in sorted(names))


def to_json(seen: dict[str, Seen]) -> dict[str, Any]:
    return {path: list(one) for path, one in seen.items()}


def from_json(obj: dict[str, Any]) -> dict[str, Seen]:
    return {
        path: Seen(kind, mode, uid, gid, content, mtime, tuple(names), tuple((name, value) for name, value in xattrs))
        for path, (kind, mode, uid, gid, content, mtime, names, xattrs) in obj.items()
    }
