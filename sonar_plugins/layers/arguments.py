"""Arguments that the commands have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from sonar_core.errors import ContentError, UsageError

from .paths import clean


def parse_path(text: str) -> bytes:
    """A path inside an image, with or without a slash at the begin. Raises UsageError."""
    try:
        return clean(text.encode("utf-8", "surrogateescape"))
    except ContentError as error:
        raise UsageError(error.message, hint="write it from the root of the image on") from error


LocationArgument = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="A reference, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME:TAG].",
        show_default=False,
    ),
]
PathsArgument = Annotated[
    list[bytes] | None,
    typer.Argument(
        parser=parse_path, metavar="[PATH...]", help="Only these, and what lies below them.", show_default=False
    ),
]
