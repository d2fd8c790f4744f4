"""Errors, as one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys

from sonar_core.errors import SonarError
from sonar_core.redaction import printable

from . import output
from .signals import INTERRUPTED, Ended


def exit_code_for(error: BaseException) -> int:
    """Tell the user of `error` and return the exit code. A traceback is shown with `SONAR_DEBUG=1` only."""
    if isinstance(error, BrokenPipeError):
        output.silence()
        return 0
    if os.environ.get("SONAR_DEBUG", "") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        tell("interrupted")
        return error.exit_code if isinstance(error, Ended) else INTERRUPTED
    if isinstance(error, SonarError):
        tell(str(error))
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        tell(f"{where}{error.strerror.lower()}")
        return 1
    tell(f"internal error: {type(error).__name__}: {error}; SONAR_DEBUG=1 shows where, please report it")
    return 1


def tell(message: str) -> None:
    """One line on stderr. Says nothing where stderr is closed."""
    try:
        print(f"sonar: {printable(message)}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return
