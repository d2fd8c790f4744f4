"""The fixtures for real servers and clients. Factories stop what they started when the test ends."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.docker_registry import DockerRegistry, start_docker_registry
from tests.support.nginx import Nginx, start_nginx
from tests.support.proxy import Proxy
from tests.support.skopeo import Skopeo
from tests.support.tokens import TokenServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def docker_registry(tmp_path: Path) -> Iterator[Callable[..., DockerRegistry]]:
    """Starts docker-registries: see `start_docker_registry` for the options."""
    with contextlib.ExitStack() as stack:
        numbers = itertools.count()

        def start(**options: Any) -> DockerRegistry:
            started = start_docker_registry(tmp_path / f"docker-registry-{next(numbers)}", **options)
            stack.callback(started.stop)
            return started

        yield start


@pytest.fixture(scope="session")
def shared_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """One docker-registry for all tests, in memory, open to everybody. Use repositories named for the
    test."""
    started = start_docker_registry(tmp_path_factory.mktemp("shared-registry"), storage="inmemory")
    yield started
    started.stop()


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., Nginx]]:
    """Starts nginxes: see `start_nginx` for the options."""
    with contextlib.ExitStack() as stack:
        numbers = itertools.count()

        def start(**options: Any) -> Nginx:
            started = start_nginx(tmp_path / f"nginx-{next(numbers)}", **options)
            stack.callback(started.stop)
            return started

        yield start


@pytest.fixture
def token_server(tmp_path: Path) -> Iterator[Callable[..., TokenServer]]:
    """Starts token servers: see `TokenServer` for the options."""
    with contextlib.ExitStack() as stack:
        numbers = itertools.count()

        def start(**options: Any) -> TokenServer:
            directory = tmp_path / f"token-server-{next(numbers)}"
            directory.mkdir()
            started = TokenServer(directory, **options)
            stack.callback(started.origin.close)
            return started

        yield start


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    """Starts TCP proxies in front of a `host:port`: see `Proxy` for the options."""
    with contextlib.ExitStack() as stack:

        def start(target: str, **options: Any) -> Proxy:
            started = Proxy(target, **options)
            stack.callback(started.close)
            return started

        yield start


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    """skopeo with a home of its own."""
    return Skopeo.in_directory(tmp_path / "skopeo")
