"""Transports and Clients on scripted registries, closed when the test ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from sonar_core.client import Client
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.transport import Transport

# A machine that is busy is no bug.
hypothesis.settings.register_profile("sonar", deadline=None)
hypothesis.settings.load_profile("sonar")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonar_core.exchange import Exchange


@pytest.fixture
def transports() -> Iterator[Callable[..., Transport]]:
    """Makes Transports: `transports(origin.url, timeout=1.0)`, with the settings by name. Waits are short."""
    with contextlib.ExitStack() as stack:

        def make(home: str, *, observe: Callable[[Exchange], None] | None = None, **options: Any) -> Transport:
            settings = Settings(**{"timeout": 5.0, "backoff": 0.001, **options})
            made = Transport(settings, home, user_agent="test", observe=observe)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def clients() -> Iterator[Callable[..., Client]]:
    """Makes Clients without plugins: `clients(origin.host, timeout=1.0)`, with the settings by name."""
    with contextlib.ExitStack() as stack:

        def make(registry: str, *, plugins: Plugins | None = None, **options: Any) -> Client:
            settings = Settings(**{"timeout": 5.0, "backoff": 0.001, **options})
            made = Client(registry, settings=settings, plugins=Plugins() if plugins is None else plugins)
            return stack.enter_context(made)

        yield make
