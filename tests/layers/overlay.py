"""The kernel's own overlay of layers: each is unpacked by itself with GNU tar, then all are mounted.

Run as a program in a mount namespace it answers, for each line with the names of archives (the lowest layer first),
what the kernel shows of them.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .seen import Seen, from_json, look, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Kernel:
    """Shows what the kernel makes of layers; None of its files outlive it."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self._directory = directory

    def merged(self, archives: Sequence[bytes]) -> dict[str, Seen]:
        """The merged tree of the archives, the lowest first."""
        names = []
        for index, archive in enumerate(archives):
            path = self._directory / f"{index}.tar"
            path.write_bytes(archive)
            names.append(str(path))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(names) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the helper in the mount namespace ended"
        return from_json(json.loads(line))


@contextmanager
def kernel() -> Iterator[Kernel | None]:
    """A mount namespace of our own, as root or in a user namespace; None where the machine does not allow it."""
    flags = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    with tempfile.TemporaryDirectory(prefix="sonar-overlay-") as directory:
        command = ["unshare", *flags, sys.executable, "-m", "tests.layers.overlay", directory]
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except FileNotFoundError:
            yield None
            return
        assert process.stdout is not None
        try:
            yield Kernel(process, Path(directory)) if process.stdout.readline() == "ready\n" else None
        finally:
            process.communicate()


def _mount(lower: Sequence[Path], at: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # userxattr: marks are user.* attributes, which need no privilege (Linux 5.11).
    options = "userxattr,lowerdir=" + ":".join(map(str, lower))
    if libc.mount(b"overlay", str(at).encode(), b"overlay", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def _unmount(at: Path) -> None:
    ctypes.CDLL(None).umount2(str(at).encode(), 0)


def _unpack(archive: str, directory: Path) -> None:
    """One layer by itself, its marks in the kernel's form."""
    directory.mkdir(0o755)
    subprocess.run(
        ["tar", "--extract", "--preserve-permissions", "--numeric-owner", "--xattrs", "--file", archive],
        cwd=directory,
        check=True,
    )
    for parent, _, names in os.walk(directory, topdown=False):
        for name in names:
            if not name.startswith(".wh."):
                continue
            Path(parent, name).unlink()
            hidden = Path(parent, name.removeprefix(".wh."))
            if name == ".wh..wh..opq":
                os.setxattr(parent, "user.overlay.opaque", b"y")
            elif hidden.is_dir() and not hidden.is_symlink():
                os.setxattr(hidden, "user.overlay.opaque", b"y")
            elif not os.path.lexists(hidden):
                os.mknod(hidden, 0o600 | 0o020000, 0)


def _show(archives: Sequence[str], scratch: Path) -> dict[str, Seen]:
    layers = [scratch / str(index) for index in range(len(archives))]
    try:
        for archive, directory in zip(archives, layers, strict=True):
            _unpack(archive, directory)
        below, bottom, merged = (scratch / name for name in ("below", "bottom", "merged"))
        for directory in (below, bottom, merged):
            directory.mkdir()
        _mount([*reversed(layers), below, bottom], merged)  # an overlay needs two layers at least
        try:
            return look(merged)
        finally:
            _unmount(merged)
    finally:
        for path in scratch.iterdir():
            shutil.rmtree(path)


def _serve(scratch: Path) -> None:
    try:
        _show([], scratch)
    except OSError:
        print("not allowed", flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(to_json(_show(json.loads(line), scratch))), flush=True)


if __name__ == "__main__":
    work = Path(sys.argv[1], "scratch")
    work.mkdir()
    _serve(work)
