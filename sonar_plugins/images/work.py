"""Tasks side by side, that end together: at the first error, or at Ctrl-C, the others are told to stop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from sonar_core.errors import SonarError

_POLITE = 0.3  # seconds in which they may end by themselves
_GRACE = 1.5  # seconds that the others have to take back what they began


class Cancelled(SonarError):
    """Another task failed, or the user wants it to end."""


class Work:
    """Runs tasks in at most `jobs` threads.

    `interrupt(seconds, wake)` is called when they are to end: nothing new is to begin, and with `wake` those that wait
    are to wait no longer.
    """

    def __init__(self, jobs: int, interrupt: Callable[[float, bool], None]) -> None:
        self._jobs = max(1, jobs)
        self._interrupt = interrupt
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = 0
        self._failure: BaseException | None = None
        self._cancelled = False

    def check(self) -> None:
        """Raises Cancelled where a task is to end. To be called often by the tasks."""
        if self._cancelled:
            raise Cancelled("interrupted")

    def spare(self) -> int:
        """How many threads have nothing to do at this moment."""
        with self._changed:
            return 0 if self._waiting else self._jobs - self._busy

    def run(self, tasks: Iterable[Callable[[], None]]) -> None:
        """Do all tasks. Raises the first error, when the others have ended or their time is up."""
        self._waiting.extend(tasks)
        count = min(self._jobs, len(self._waiting))
        try:
            if count == 1:
                self._busy = 1
                self._loop(main=True)
            else:
                for number in range(count):
                    with self._changed:
                        self._busy += 1
                    threading.Thread(target=self._loop, name=f"transfer {number}", daemon=True).start()
            with self._changed:
                while self._busy and self._failure is None:
                    self._changed.wait()
        except BaseException:
            self._stop(None)
            raise
        if self._failure is not None:
            self._stop(self._failure)
            raise self._failure

    def _loop(self, *, main: bool = False) -> None:
        while True:
            with self._changed:
                task = self._waiting.popleft() if self._waiting and not self._cancelled else None
                if task is None:
                    self._busy -= 1
                    self._changed.notify_all()
                    return
            try:
                task()
            except BaseException as error:
                with self._changed:
                    self._failure = self._failure or error
                    self._cancelled = True
                    if main and not isinstance(error, Exception):
                        self._busy -= 1
                        raise

    def _stop(self, failure: BaseException | None) -> None:
        with self._changed:
            self._failure = self._failure or failure
            self._cancelled = True
            self._waiting.clear()
            if self._busy:
                self._interrupt(_GRACE, False)
                # An answer that is on its way says what there is to be taken back: the session that a POST opened.
                self._changed.wait_for(lambda: not self._busy, timeout=_POLITE)
            if self._busy:
                self._interrupt(_GRACE, True)
                self._changed.wait_for(lambda: not self._busy, timeout=_GRACE - _POLITE)
