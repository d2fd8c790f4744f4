"""stdout: what is written there, and what happens when it can't be."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from sonar_core.errors import SonarError


class OutputFailed(SonarError):
    """The result could not be written: a full disk, mostly."""


def write(text: str) -> None:
    """Write `text`, and send it off: whoever reads sees each line when it is there. Raises OutputFailed."""
    with failures():
        sys.stdout.write(text)
        sys.stdout.flush()


def write_lines(lines: Iterable[str]) -> None:
    """Write `lines`, each sent off when it is there. Raises OutputFailed, and what `lines` raises."""
    # Ten thousand of them are an ordinary result, so the two calls stand here bare.
    put, send = sys.stdout.write, sys.stdout.flush
    for line in lines:
        try:
            put(line)
            send()
        except OSError as error:
            _failed(error)


def write_bytes(blocks: Iterable[bytes]) -> None:
    """Write `blocks` as they are. Raises OutputFailed."""
    for block in blocks:
        with failures():
            sys.stdout.buffer.write(block)
    flush()


def flush() -> None:
    """Send off what was written. Raises OutputFailed."""
    with failures():
        sys.stdout.flush()


@contextmanager
def failures() -> Iterator[None]:
    """Turns what writing may raise into OutputFailed, but for a closed pipe, which is none."""
    try:
        yield
    except OSError as error:
        _failed(error)


def _failed(error: OSError) -> NoReturn:
    if isinstance(error, BrokenPipeError):
        raise error
    silence()
    raise OutputFailed(f"cannot write the result: {(error.strerror or str(error)).lower()}") from error


def silence() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def prepare() -> None:
    """Make stdout and stderr fit for any text, and put something in the place of one that is closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Opened at once: its descriptor would be given to the next file or socket.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        # A name from a file system or a registry may hold bytes that are no UTF-8: shown escaped, never a crash.
        getattr(sys, name).reconfigure(errors="backslashreplace")
