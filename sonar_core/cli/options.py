"""The options that every command has, after its name (DESIGN, "The command line")."""

from __future__ import annotations

from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer


class Common(NamedTuple):
    """The common options of one run. A named tuple, for it is defined at every start."""

    output: Literal["text", "json"] = "text"
    format: str | None = None
    timeout: float | None = None
    plain_http: bool | None = None
    insecure: bool | None = None
    ca_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    config: Path | None = None
    progress: Literal["auto", "bar", "plain", "json", "none"] = "auto"
    verbose: bool = False
    quiet: bool = False
    no_plugin: list[str] | None = None


NAMES = Common._fields
# Those that are settings: they go before the environment and the config file.
SETTINGS = ("timeout", "plain_http", "insecure", "ca_file", "cert", "key")


def parameters(without: frozenset[str] = frozenset()) -> list[Parameter]:
    """The common options as keyword-only parameters of a function, but for those named in `without`."""
    return [
        Parameter(name, Parameter.KEYWORD_ONLY, default=Common._field_defaults[name], annotation=annotation)
        for name, annotation in _annotations().items()
        if name not in without
    ]


def _annotations() -> dict[str, Any]:
    """For typer. Objects, where `Common` has texts: evaluating those takes longer than all else."""
    option = typer.Option
    file = Path | None
    return {
        "output": Annotated[Literal["text", "json"], option("--output", "-o", help="How the result is shown.")],
        "format": Annotated[
            str | None, option(metavar="TEMPLATE", help="Show each result as this, with {field} filled in.")
        ],
        "timeout": Annotated[
            float | None,
            option(metavar="SECONDS", help="Longest wait for a connection, an answer, the next bytes. [30]"),
        ],
        "plain_http": Annotated[bool | None, option("--plain-http", help="Speak http instead of https.")],
        "insecure": Annotated[bool | None, option("--insecure", help="Do not verify TLS certificates.")],
        "ca_file": Annotated[file, option(metavar="FILE", help="Certificate authorities to trust, PEM.")],
        "cert": Annotated[file, option(metavar="FILE", help="Client certificate, PEM.")],
        "key": Annotated[file, option(metavar="FILE", help="Key of the client certificate, PEM.")],
        "config": Annotated[file, option(metavar="FILE", help="Config file to use.")],
        "progress": Annotated[
            Literal["auto", "bar", "plain", "json", "none"], option(help="How progress is shown, on stderr.")
        ],
        "verbose": Annotated[bool, option("--verbose", "-v", help="One line for each HTTP exchange, on stderr.")],
        "quiet": Annotated[bool, option("--quiet", "-q", help="No progress, no remarks; errors only.")],
        "no_plugin": Annotated[list[str] | None, option(metavar="NAME", help="Leave out a plugin.")],
    }
