"""The merged tree of an image made on disk, in a directory of its own."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from sonar_core.errors import SonarError, UsageError

from .disk import Disk, Extracted
from .limits import Budget
from .paths import show
from .unpack import Selection, unpack_layers

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from .source import LayerSource


def extract(
    sources: Sequence[LayerSource],
    directory: Path,
    *,
    paths: Collection[bytes] = (),
    same_owner: bool = False,
    budget: Budget | None = None,
) -> Extracted:
    """Make the merged tree of the layers, the lowest first, in `directory`: a new one or an empty one.

    With `paths`: only these and what lies below them. `same_owner` as in `Disk`. On any error what was made is removed.

    Raises UsageError where the directory is not empty or the user may not keep owners, ContentError, IntegrityError
    where a layer has not its diff ID, Missing for a path that is not there, SonarError where the disk refuses.
    """
    if same_owner and os.geteuid() != 0:
        raise UsageError("only root can give files to other owners", hint="leave --same-owner out")
    is_new = not directory.exists()
    root = _open_empty(directory)
    disk = Disk(root, same_owner=same_owner)
    try:
        unpack_layers(sources, disk, budget or Budget(), Selection(paths))
        return disk.finish()
    except BaseException as error:
        disk.close()
        _clear(root)
        if is_new:
            with suppress(OSError):
                directory.rmdir()
        if isinstance(error, OSError):
            raise SonarError(f"{show(disk.at)} can't be made in {directory}: {error.strerror}") from error
        raise
    finally:
        os.close(root)


def _open_empty(directory: Path) -> int:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{directory} can't be used: {error.strerror}") from error
    if os.listdir(root):  # noqa: PTH208 (a descriptor has no Path)
        os.close(root)
        raise UsageError(f"{directory} is not empty", hint="give a new directory, or an empty one")
    return root


def _clear(root: int) -> None:
    """Remove all that lies in a directory, without following links (all of it was made here)."""
    for name in os.listdir(root):
        with suppress(OSError):
            if stat.S_ISDIR(os.lstat(name, dir_fd=root).st_mode):
                shutil.rmtree(name, ignore_errors=True, dir_fd=root)
            else:
                os.unlink(name, dir_fd=root)
