"""What a command may ask for, and what it may return. No typer here: see `sonar_core.cli.arguments` for arguments.

A command is a plain function that returns data. Parameters annotated with one of these types are filled in by the
shell; all others are arguments and options of the command:

- `Connect`: call it with a `Registry` to get a `Client` that has the user's settings; the shell closes it
- `Report`: call it with a text to tell the user something that is no result (on stderr, not with `--quiet`)
- `Progress`: call it with a `sonar_core.progress.Event` to tell how far a long piece of work is
- `sonar_core.Settings`, `sonar_core.Plugins`: what is in force

It returns None, one value, or an iterable of values, which is shown as it comes. A value is a dataclass, a text, a
number, a dict, or something with `to_json()`; `Raw` for bytes that are the result.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .client import Client
    from .progress import Event
    from .reference import Registry


class Connect(Protocol):
    """Opens Clients, one for each registry, with the user's settings and plugins."""

    def __call__(self, registry: Registry) -> Client:
        """The Client of `registry`; the same one each time."""
        ...


class Report(Protocol):
    """Tells the user something that is no result."""

    def __call__(self, message: str) -> None:
        """Show `message`, one line, on stderr."""
        ...


class Progress(Protocol):
    """Shows how far the work is, on stderr, the way the user wants it. May be called by any thread."""

    def __call__(self, event: Event) -> None:
        """Take in `event`."""
        ...


@dataclass(frozen=True)
class Raw:
    """Bytes that are the result, written to stdout as they are."""

    blocks: Iterable[bytes]


def default_registry() -> Registry:
    """`SONAR_REGISTRY`, else `localhost` over http. Raises BadReference."""
    from .reference import Registry

    return Registry.parse(os.environ.get("SONAR_REGISTRY") or "http://localhost")
