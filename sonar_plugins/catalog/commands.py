"""`sonar repo ls`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from sonar_core.cli.arguments import RegistryArgument
from sonar_core.command import Connect, default_registry

from .endpoint import Catalog


def ls(
    connect: Connect,
    registry: RegistryArgument = None,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Only those that begin with this.")] = "",
    limit: Annotated[int | None, typer.Option(min=0, metavar="N", help="At most so many.")] = None,
) -> Iterator[str]:
    """List the repositories of a registry, every page."""
    return Catalog(connect(registry or default_registry())).list(prefix=prefix, limit=limit)
