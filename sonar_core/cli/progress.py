"""Progress on stderr: bars on a terminal, a line now and then elsewhere, or an event a line for programs."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

from sonar_core.progress import Event
from sonar_core.redaction import printable

from .options import Common

Mode = Literal["bar", "plain", "json", "none"]

_EVERY = 3.0  # seconds between two plain lines
_OFTEN = 0.1  # seconds between two events of one transfer, or two looks of a bar
_NARROW = 72  # columns
_SHOWN = 19  # characters of a digest


def mode_of(common: Common) -> Mode:
    """How progress is to be shown."""
    if common.quiet:
        return "none"
    if common.progress != "auto":
        return common.progress
    return "bar" if sys.stderr.isatty() else "plain"


def make_progress(common: Common) -> Display:
    """What shows progress, as the common options say."""
    mode = mode_of(common)
    if mode == "bar":
        try:
            return Bars()
        except ImportError:  # rich is an extra
            mode = "plain"
    return {"plain": Plain, "json": Json, "none": Display}[mode]()


@dataclass
class _State:
    """How far one piece of work is."""

    items: int = 0
    finished: int = 0
    bytes: int = 0
    done: int = 0


class Display:
    """Counts, and shows nothing. Those below show it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = _State()
        self._open: dict[str, int] = {}  # bytes that have arrived of each transfer
        self._sizes: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        """Take in `event`; may be called by any thread."""
        with self._lock:
            self._count(event)
            try:
                self.show(event)
            except (OSError, ValueError):
                return  # stderr is closed; the work goes on

    def _count(self, event: Event) -> None:
        state = self._state
        if event.kind == "plan":
            self._state = _State(event.items, bytes=event.bytes)
        elif event.kind == "start":
            self._open[event.item], self._sizes[event.item] = 0, event.bytes
        elif event.kind == "advance":
            before = self._open.get(event.item, 0)
            # What is fetched twice counts once.
            now = max(0, min(before + event.bytes, self._sizes.get(event.item, before + event.bytes)))
            self._open[event.item] = now
            state.done += now - before
        else:
            state.done += event.bytes - self._open.pop(event.item, 0)
            self._sizes.pop(event.item, None)
            state.finished += 1

    def show(self, event: Event) -> None:
        """Show it."""

    def close(self) -> None:
        """The work is over, well or not."""


class Plain(Display):
    """A line every few seconds; none for what takes no longer."""

    def __init__(self) -> None:
        super().__init__()
        self._next = time.monotonic() + _EVERY

    def show(self, event: Event) -> None:
        """Show it, when it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        state = self._state
        share = f" ({100 * state.done // state.bytes} %)" if state.bytes else ""
        size = f"{_mib(state.done)} of {_mib(state.bytes)} MiB{share}"
        print(f"sonar: {state.finished} of {state.items} done, {size}", file=sys.stderr, flush=True)


class Json(Display):
    """An event a line."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def show(self, event: Event) -> None:
        """Show it; an `advance` says how much of the transfer is there, and not too often."""
        line: dict[str, Any] = {"event": event.kind}
        if event.kind == "plan":
            line |= {"items": event.items, "bytes": event.bytes}
        else:
            line |= {"digest": printable(event.item), "bytes": event.bytes}
        if event.kind == "advance":
            now = time.monotonic()
            if now - self._last.get(event.item, 0.0) < _OFTEN:
                return
            self._last[event.item] = now
            line |= {"bytes": self._open.get(event.item, 0), "total": self._sizes.get(event.item, 0)}
        if event.kind == "finish":
            self._last.pop(event.item, None)
            line["outcome"] = event.outcome
        print(json.dumps(line), file=sys.stderr, flush=True)


class Bars(Display):
    """A bar for each transfer and one for the whole. Raises ImportError where rich is not installed."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import TransferSpeedColumn as Speed

        super().__init__()
        console = Console(stderr=True)
        # Where not all of it fits, rich would break each bar into several lines.
        narrow = console.width < _NARROW
        rest = (TaskProgressColumn(),) if narrow else (DownloadColumn(True), Speed(), TimeRemainingColumn())
        columns = (TextColumn("{task.description}", markup=False), BarColumn(None), *rest)
        self._make: Any = lambda: Progress(*columns, console=console, transient=True, expand=True)
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._last = 0.0

    def show(self, event: Event) -> None:
        """Draw it."""
        if event.kind == "plan":
            self.close()
            if event.items:
                self._bars = self._make()
                self._tasks[""] = self._bars.add_task("total", total=event.bytes)
                self._bars.start()
        elif self._bars is None:
            return
        elif event.kind == "start":
            name = printable(event.item)[:_SHOWN]
            self._tasks[event.item] = self._bars.add_task(name, total=event.bytes)
        elif event.kind == "advance":
            now = time.monotonic()
            if now - self._last > _OFTEN:
                self._last = now
                self._bars.update(self._tasks[""], completed=self._state.done)
                for item, count in self._open.items():
                    self._bars.update(self._tasks[item], completed=count)
        else:
            self._bars.remove_task(self._tasks.pop(event.item))
            self._bars.update(self._tasks[""], completed=self._state.done)
            if self._state.finished == self._state.items:
                self.close()

    def close(self) -> None:
        """Take the bars off the screen."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()


def _mib(count: int) -> str:
    return f"{count / 1024 / 1024:.1f}"
