"""The options that every command has, after its name (DESIGN, "The command line")."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


@dataclass(frozen=True)
class Common:
    """The common options of one run."""

    output: Annotated[Literal["text", "json"], typer.Option("--output", "-o", help="How the result is shown.")] = "text"
    format: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="Show each result as this, with {field} filled in.")
    ] = None
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Longest wait for a connection, an answer, the next bytes. [30]"),
    ] = None
    plain_http: Annotated[bool | None, typer.Option("--plain-http", help="Speak http instead of https.")] = None
    insecure: Annotated[bool | None, typer.Option("--insecure", help="Do not verify TLS certificates.")] = None
    ca_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate authorities to trust, PEM.")] = None
    cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Client certificate, PEM.")] = None
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Key of the client certificate, PEM.")] = None
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Config file to use.")] = None
    progress: Annotated[
        Literal["auto", "bar", "plain", "json", "none"], typer.Option(help="How progress is shown, on stderr.")
    ] = "auto"
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="One line for each HTTP exchange, on stderr.")] = (
        False
    )
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no remarks; errors only.")] = False
    no_plugin: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Leave out a plugin.")] = None


NAMES = tuple(field.name for field in fields(Common))
# Those that are settings: they go before the environment and the config file.
SETTINGS = ("timeout", "plain_http", "insecure", "ca_file", "cert", "key")


def parameters() -> list[inspect.Parameter]:
    """The common options as keyword-only parameters of a function."""
    hints = _hints()
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(Common)
    ]


def _hints() -> dict[str, Any]:
    from typing import get_type_hints

    return get_type_hints(Common, include_extras=True)
