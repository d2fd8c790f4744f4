"""`--platform`: apart from the other arguments, for most commands have no use for platforms."""

from __future__ import annotations

from typing import Annotated

import typer

from sonar_core.platforms import Platform

PlatformOption = Annotated[
    Platform | None,
    typer.Option(
        "--platform", parser=Platform.parse, metavar="OS/ARCH", help="Of an index, the entry for this platform."
    ),
]
