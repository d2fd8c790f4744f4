"""A plain HTTP caller, and embedded registries on both kinds of storage."""

from __future__ import annotations

import http.client
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sonar_plugins.serve.disk import DiskStorage
from sonar_plugins.serve.memory import MemoryStorage
from sonar_plugins.serve.server import EmbeddedRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_SECONDS = 20


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The first error code, of an answer in the spec's form."""
        error = self.json["errors"][0]
        assert set(error) <= {"code", "message", "detail"}
        assert error["message"]
        return str(error["code"])

    @property
    def location(self) -> str:
        return self.headers["Location"] or ""


class Caller:
    """One connection, kept open, on which every request goes out; it counts how often it had to be opened."""

    def __init__(self, host: str) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=_SECONDS)
        self.opened = 0

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        if self._connection.sock is None:
            self._connection.connect()
            self.opened += 1
        self._connection.request(method, path, body, dict(headers or {}))
        with self._connection.getresponse() as response:
            answer = Answer(response.status, response.headers, response.read())
            closing = response.will_close
        assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
        if closing:
            self.close()
        return answer

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="session", params=["memory", "disk"])
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRegistry]:
    """A registry for all tests, each kind of storage in turn: use `repository` for a name of your own."""
    storage = DiskStorage(tmp_path_factory.mktemp("root")) if request.param == "disk" else MemoryStorage()
    with EmbeddedRegistry(storage) as running:
        yield running


@pytest.fixture
def call(registry: EmbeddedRegistry) -> Iterator[Caller]:
    """A connection to `registry`."""
    caller = Caller(registry.host)
    yield caller
    caller.close()


_numbers = itertools.count()


@pytest.fixture
def repository() -> str:
    """The path of a repository that nobody else uses, below `/v2/`."""
    return f"tests/of-serve/number{next(_numbers)}"
