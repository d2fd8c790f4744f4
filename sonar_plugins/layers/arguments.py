"""Arguments that the commands have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from sonar_core.errors import ContentError, UsageError
from sonar_plugins.blobs.commands import parse_size

from .limits import Budget
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
MaxSizeOption = Annotated[
    int | None,
    typer.Option("--max-size", parser=parse_size, metavar="SIZE", help="The most it may unpack to. [64GiB]"),
]
MaxEntriesOption = Annotated[
    int | None, typer.Option("--max-entries", min=1, metavar="N", help="The most entries it may have. [2000000]")
]


def budget(max_size: int | None, max_entries: int | None) -> Budget:
    """The limits for one image, as the options say."""
    standard = Budget()
    return Budget(max_size or standard.size, max_entries or standard.entries)
