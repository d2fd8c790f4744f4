"""Files that hold blobs: one that appears when it is complete, and one to read stdin again from."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sonar_core.sources import FileSource
from sonar_core.transport import BLOCK


def written(path: Path, blocks: Iterable[bytes]) -> int:
    """Write `blocks` to `path`, and return how many bytes. A file appears, or is replaced, when all is there.

    What is no regular file, as a pipe or a device, is written to in place. Raises OSError.
    """
    target = path.resolve()  # a symbolic link stays, and what it leads to is replaced
    if target.exists() and not target.is_file():
        with target.open("wb", buffering=0) as out:
            return _write(out.fileno(), blocks)
    temporary = target.with_name(f".{target.name[:200]}.{os.urandom(6).hex()}.part")
    try:
        out_fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None
    try:
        try:
            size = _write(out_fd, blocks)
        finally:
            os.close(out_fd)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return size


def _write(out: int, blocks: Iterable[bytes]) -> int:
    size = 0
    for block in blocks:
        left = memoryview(block)
        while left:
            left = left[os.write(out, left) :]
        size += len(block)
    return size


@contextmanager
def spooled(file: str) -> Iterator[FileSource]:
    """The content of `file`; `-` is stdin, kept in a temporary file, for an upload may have to read it again."""
    path = Path(file)
    if file != "-" and path.is_file():
        yield FileSource(path)
        return
    with tempfile.NamedTemporaryFile(prefix="sonar-") as kept:
        if file == "-":
            shutil.copyfileobj(sys.stdin.buffer, kept, BLOCK)
        else:
            with path.open("rb") as opened:
                shutil.copyfileobj(opened, kept, BLOCK)
        kept.flush()
        yield FileSource(Path(kept.name))
