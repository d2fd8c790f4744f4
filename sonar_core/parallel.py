"""The same work for many items, several at a time, results in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from typing import Generic, TypeVar

# Seconds. To wake up for each result costs as much as a tenth of a quick request, so a few are let come together
# while enough is left to do.
_NAP = 0.002

T = TypeVar("T")
R = TypeVar("R")


class _Task(Generic[T, R]):
    """An item, and what became of it once `done` can be acquired."""

    __slots__ = ("done", "error", "item", "result")

    def __init__(self, item: T) -> None:
        self.item = item
        self.result: R
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def run(self, function: Callable[[T], R]) -> None:
        try:
            self.result = function(self.item)
        except BaseException as error:
            self.error = error
        self.done.release()


def ordered_map(function: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[R]:
    """`function` of each item, in the order of `items`, with at most `jobs` at work at the same time.

    Items are taken as they are needed, a few ahead. The first error ends it: what has not begun is not begun.
    Closing the iterator does the same, without waiting for what is at work.
    """
    if jobs <= 1:
        yield from map(function, items)
        return
    # Half the work of concurrent.futures, whose locks are felt where each item is one quick request.
    source = iter(items)
    todo: SimpleQueue[_Task[T, R] | None] = SimpleQueue()
    waiting: deque[_Task[T, R]] = deque()
    started = ended = False

    def work() -> None:
        while (task := todo.get()) is not None and not ended:
            task.run(function)

    def take(count: int) -> None:
        for item in islice(source, count):
            task: _Task[T, R] = _Task(item)
            waiting.append(task)
            todo.put(task)
            if len(waiting) <= jobs and not started:
                threading.Thread(target=work, name=f"sonar_{len(waiting)}", daemon=True).start()

    try:
        take(4 * jobs)
        started = True
        while waiting:
            task = waiting.popleft()
            if not task.done.acquire(blocking=False):
                task.done.acquire()
                if len(waiting) > jobs:
                    time.sleep(_NAP)
            if task.error is not None:
                raise task.error
            yield task.result
            take(1)
    finally:
        ended = True
        for _ in range(jobs):
            todo.put(None)
