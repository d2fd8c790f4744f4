"""For tests of endpoints and their commands: registries, a Client that keeps a record, the program without a process.

A conftest imports the fixtures that it wants.
"""

from __future__ import annotations

import io
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sonar_core.cli.main import run
from sonar_core.client import Client
from sonar_core.exchange import Exchange
from sonar_core.hookspecs import hookimpl
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.testing.program import Run
from sonar_plugins.serve.server import EmbeddedRegistry

if TYPE_CHECKING:
    from tests.support.docker_registry import DockerRegistry


class Recorder:
    """A plugin that keeps the exchanges."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    @hookimpl
    def sonar_exchange(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    @property
    def methods(self) -> list[str]:
        return [exchange.method for exchange in self.exchanges]


Connect = Callable[..., tuple[Client, Recorder]]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes Clients with quick retries and a record: `client, record = connect("127.0.0.1:5000")`."""
    with ExitStack() as stack:

        def make(host: str, **options: float) -> tuple[Client, Recorder]:
            record = Recorder()
            plugins = Plugins.discover(only=("basic", "bearer", "blobs", "manifests", "referrers"))
            plugins.register(record, "recorder")
            settings = Settings(**{"timeout": 5.0, "backoff": 0.01, **options})  # type: ignore[arg-type]
            return stack.enter_context(Client(host, settings=settings, plugins=plugins)), record

        yield make


@pytest.fixture(scope="session")
def embedded() -> Iterator[EmbeddedRegistry]:
    """One embedded registry for all tests. Use repositories named for the test."""
    with EmbeddedRegistry() as registry:
        yield registry


@pytest.fixture(params=["embedded", "docker-registry"])
def host(request: pytest.FixtureRequest) -> str:
    """Each kind of registry in turn."""
    if request.param == "embedded":
        running: EmbeddedRegistry = request.getfixturevalue("embedded")
        return running.host
    real: DockerRegistry = request.getfixturevalue("shared_registry")
    return real.host


@pytest.fixture
def path() -> str:
    """The path of a repository that nobody else uses."""
    return f"tests/{uuid.uuid4().hex}"


class Program:
    """Runs the program in this process, which takes a tenth of the time of one of its own. Called as `Sonar` is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capture = capture

    def __call__(self, *arguments: str, stdin: str = "") -> Run:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self._capture.readouterr()
        code = run(list(arguments))
        out, err = self._capture.readouterr()
        return Run(code, out, err)


@pytest.fixture
def sonar(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Program:
    """The program, with an empty home: `sonar("blob", "head", "localhost:5000/app@sha256:…")`."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SONAR_BACKOFF", "0.01")
    return Program(monkeypatch, capfd)
