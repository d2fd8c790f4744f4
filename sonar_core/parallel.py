"""The same work for many items, several at a time, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(function: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[R]:
    """`function` of each item, in the order of `items`, with at most `jobs` at work at the same time.

    Items are taken as they are needed, a few ahead. The first error ends it: what has not begun is not begun.
    Closing the iterator does the same, without waiting for what is at work.
    """
    if jobs <= 1:
        yield from map(function, items)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    source = iter(items)
    executor = ThreadPoolExecutor(jobs, thread_name_prefix="sonar")
    waiting: deque[Future[R]] = deque()
    try:
        waiting.extend(executor.submit(function, item) for item in islice(source, 2 * jobs))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(executor.submit(function, item) for item in islice(source, 1))
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
