"""What a killed process leaves behind, told by its lock from what another one is still writing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def lock(file: int) -> bool:
    """Lock an open file or directory as long as it is open. False where it was removed before that."""
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX)
    return os.fstat(file).st_nlink > 0


def remove_leftover(path: Path) -> None:
    """Remove a file or a directory, unless somebody holds a lock on it."""
    import fcntl

    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return
    finally:
        os.close(file)
