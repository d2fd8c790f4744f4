"""SIGTERM and SIGHUP end a run as Ctrl-C does: what was begun is taken back, and the exit code is 128 and its number.

CI jobs are cancelled by SIGTERM, terminals that are closed send SIGHUP.
"""

from __future__ import annotations

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
    """Turn the signals into exceptions, but for those that someone, as `nohup`, wants ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise Ended(number)
