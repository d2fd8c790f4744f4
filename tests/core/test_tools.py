"""Small tools: plain data, parallel work, import strings."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sonar_core.content import Descriptor, Digest
from sonar_core.imports import load
from sonar_core.parallel import ordered_map
from sonar_core.plain import to_plain
from sonar_core.platforms import Platform
from sonar_core.reference import Reference

DIGEST = Digest.of(b"x")


@dataclass(frozen=True)
class Row:
    name: str
    api_version: str | None
    created_at: datetime
    parts: tuple[Any, ...] = ()


def test_plain_data() -> None:
    """Dataclasses are objects with names as the OCI specs write them; what has to_json says itself how."""
    row = Row("a", None, datetime(2026, 1, 2, tzinfo=UTC), (1, 2.5, True, Path("/x"), b"\xff", {"k": DIGEST}))
    assert to_plain(row) == {
        "name": "a",
        "apiVersion": None,
        "createdAt": "2026-01-02T00:00:00+00:00",
        "parts": [1, 2.5, True, "/x", "\ufffd", {"k": str(DIGEST)}],
    }
    descriptor = Descriptor("a/b", DIGEST, 5)
    assert to_plain([descriptor]) == [{"mediaType": "a/b", "digest": str(DIGEST), "size": 5}]
    assert to_plain(Reference.parse("nginx")) == "docker.io/library/nginx:latest"
    assert to_plain(Platform.parse("linux/arm64")) == {"os": "linux", "architecture": "arm64"}
    assert to_plain(object).startswith("<class")


def test_results_come_in_order() -> None:
    """Whoever is quicker; at most `jobs` at a time, and all of them."""
    working, most, lock = 0, 0, threading.Lock()
    together = threading.Barrier(4)

    def work(number: int) -> int:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        if number < 4:
            together.wait(10)
        with lock:
            working -= 1
        return number * number

    assert list(ordered_map(work, range(50), 4)) == [number * number for number in range(50)]
    assert most == 4


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def source() -> Any:
        for number in itertools.count():
            taken.append(number)
            yield number

    results = ordered_map(str, source(), 3)
    assert next(results) == "0"
    assert len(taken) <= 13
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= 13


@pytest.mark.parametrize("jobs", [0, 1, 3])
def test_the_first_error_ends_it(jobs: int) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        if number == 5:
            raise KeyError(number)
        done.append(number)
        return number

    results = ordered_map(work, range(1000), jobs)
    with pytest.raises(KeyError):
        list(results)
    assert len(done) < 30


def test_an_error_of_the_source_ends_it() -> None:
    def source() -> Any:
        yield from range(10)
        raise OSError("no more")

    results = ordered_map(str, source(), 2)
    assert next(results) == "0"
    with pytest.raises(OSError, match="no more"):
        list(results)


def test_one_job_needs_no_thread() -> None:
    threads = set(ordered_map(lambda _: threading.current_thread(), range(3), 1))
    assert threads == {threading.current_thread()}


def test_import_strings() -> None:
    assert load("os.path:join") is __import__("os").path.join
    assert load("sonar_core.reference:Registry.parse").__name__ == "parse"
    assert load(len) is len


@pytest.mark.parametrize("target", ["os.path", "os.path:", "", ":x", "no.such.module:x", "json:", "a..b:c", "..:x"])
def test_import_strings_that_name_nothing(target: str) -> None:
    with pytest.raises((ImportError, ValueError, TypeError)):
        load(target)


def test_a_name_that_the_module_lacks() -> None:
    with pytest.raises(AttributeError):
        load("json:nothing")
