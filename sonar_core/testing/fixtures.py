"""The pytest fixtures; `pytest_plugins = ["sonar_core.testing.fixtures"]` loads them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from sonar_core.plugins import Plugins
from sonar_core.testing.certificates import Authority, Certificate
from sonar_core.testing.program import Sonar
from sonar_core.testing.scripted import Origin

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sonar_core.client import Client
    from sonar_plugins.serve.server import EmbeddedRegistry


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private CA; `authority.cert` is the file for `--ca-file`. Skips where there is no `openssl`
    program."""
    try:
        return Authority(tmp_path_factory.mktemp("authority"))
    except FileNotFoundError as problem:
        pytest.skip(f"TLS is not tested: {problem}")


@pytest.fixture(scope="session")
def server_certificate(authority: Authority) -> Certificate:
    """A certificate for localhost, 127.0.0.1 and ::1."""
    return authority.issue("server")


@pytest.fixture(scope="session")
def client_certificate(authority: Authority) -> Certificate:
    """A client's certificate and key, for `--cert` and `--key`."""
    return authority.issue("client")


@pytest.fixture
def origins() -> Iterator[Callable[..., Origin]]:
    """Makes as many origins as a test wants: `origins()`, `origins(tls=context)`,
    `origins(address="127.0.0.2")`."""
    with contextlib.ExitStack() as stack:

        def make(*, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Origin:
            return stack.enter_context(Origin(address, tls))

        yield make


@pytest.fixture
def scripted(origins: Callable[..., Origin]) -> Origin:
    """One scripted origin over plain http."""
    return origins()


@pytest.fixture
def scripted_tls(origins: Callable[..., Origin], authority: Authority, server_certificate: Certificate) -> Origin:
    """One scripted origin over https, with a certificate of `authority`."""
    return origins(tls=authority.server_context(server_certificate))


@pytest.fixture
def sonar_registry() -> Iterator[EmbeddedRegistry]:
    """An embedded registry on a free loopback port, empty, in memory. `sonar_registry.host` is its name."""
    from sonar_plugins.serve.server import EmbeddedRegistry

    with EmbeddedRegistry() as registry:
        yield registry


@pytest.fixture
def sonar_plugin_set() -> Callable[..., Plugins]:
    """Makes a plugin manager with just the plugins named: `sonar_plugin_set("tags", "manifests", mine=module)`.

    Positional: entry-point names of installed plugins. By keyword: modules or objects with hook implementations.
    """

    def make(*names: str, **plugins: object) -> Plugins:
        made = Plugins.discover(only=names)
        for name, plugin in plugins.items():
            made.register(plugin, name)
        return made

    return make


@pytest.fixture
def sonar_client(sonar_registry: EmbeddedRegistry) -> Iterator[Client]:
    """A Client of `sonar_registry` with all installed plugins and default settings."""
    from sonar_core.client import Client
    from sonar_core.settings import Settings

    with Client(sonar_registry.host, settings=Settings()) as client:
        yield client


@pytest.fixture
def sonar(tmp_path: Path) -> Sonar:
    """Runs the program: `sonar("tag", "ls", "localhost:5000/app")` returns its exit code, stdout and stderr."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return Sonar(home)
