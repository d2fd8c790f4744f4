"""The soak, short; the long one is `make soak`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.docker_registry import DockerRegistry

from .soak import Figures, soak


def check(figures: Figures) -> None:
    assert figures.wrong == [], str(figures)
    assert all(count <= 0 for count in figures.left.values()), str(figures)
    assert sum(figures.right.values()) + sum(figures.failed.values()) == figures.operations
    assert sum(figures.right.values()) > 0.9 * figures.operations, str(figures)
    assert all(figures.faults[name] > 0 for name in ("reset", "delay", "busy")), str(figures)


def test_each_result_is_right_or_a_typed_error_and_nothing_is_left(
    docker_registry: Callable[..., DockerRegistry],
) -> None:
    """ROBUSTNESS, "Transport" and "Moving blobs": what breaks is tried again, what is corrupt is never accepted."""
    check(soak(docker_registry(), operations=300, threads=16, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_long_soak(docker_registry: Callable[..., DockerRegistry], seed: int) -> None:
    figures = soak(docker_registry(), operations=2000, threads=16, seed=seed)
    print(figures)
    check(figures)
    assert figures.faults["corrupt"] > 0, str(figures)
    assert figures.grown < 20, str(figures)
