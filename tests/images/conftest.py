"""What the tests of images share: sample images of every kind, and a registry whose requests are recorded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_plugins.images import copy
from tests.images import samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_plugins.images import CopyResult
    from tests.support.docker_registry import DockerRegistry
    from tests.support.images import Image
    from tests.support.proxy import Proxy

_REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|PATCH|DELETE) (/v2/\S*) HTTP/1\.1\r\n")


@dataclass
class Wire:
    """A registry behind a proxy that records what is sent to it."""

    proxy: Proxy

    @property
    def host(self) -> str:
        return self.proxy.host

    def requests(self) -> list[tuple[str, str]]:
        """Method and path of every request since the last call."""
        recorded = self.proxy.recorded
        assert recorded is not None
        found = [(match[1].decode(), match[2].decode()) for match in _REQUEST.finditer(bytes(recorded))]
        recorded.clear()
        return found

    def count(self) -> dict[str, int]:
        """How many requests of each method since the last call."""
        methods = [method for method, _ in self.requests()]
        return {method: methods.count(method) for method in sorted(set(methods))}


@pytest.fixture
def wire(proxy: Callable[..., Proxy]) -> Callable[[str], Wire]:
    """Puts a recording proxy before a registry, given as `host:port`."""
    return lambda host: Wire(proxy(host, recorded=bytearray()))


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    """The installed plugins."""
    return Plugins.discover()


@pytest.fixture
def move(plugins: Plugins) -> Callable[..., CopyResult]:
    """`copy` with the default settings."""

    def run(source: str, target: str, *, settings: Settings | None = None, **options: object) -> CopyResult:
        return copy(source, target, settings=settings or Settings(), plugins=plugins, **options)  # type: ignore[arg-type]

    return run


@pytest.fixture(params=sorted(samples.ALL))
def sample(request: pytest.FixtureRequest) -> Image:
    """An image of each kind, one after the other."""
    return samples.ALL[request.param]()


@pytest.fixture
def registry(shared_registry: DockerRegistry) -> str:
    """The host of a docker-registry that all tests share."""
    return shared_registry.host
