"""SIGTERM and SIGHUP end a run as Ctrl-C does: what was begun is taken back, and the exit code is 128 and its number.

CI jobs are cancelled by SIGTERM, terminals that are closed send SIGHUP. While the program starts there is nothing to
take back, and an exception may be raised where the interpreter drops it (a callback of the import system): it ends at
once then.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT


class Ended(KeyboardInterrupt):
    """A signal other than Ctrl-C's wants the run to end. `exit_code` is what the shell would report for it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def prepare() -> None:
    """End at the first of the signals, but for those that someone, as `nohup`, wants ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def begin() -> None:
    """From here on there may be something to take back: the signals raise KeyboardInterrupt."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _end)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"sonar: interrupted\n")
    os._exit(128 + number)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise Ended(number)
