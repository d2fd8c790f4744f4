"""`sonar tag ls`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Annotated, Literal

import typer

from sonar_core.cli.arguments import RepositoriesArgument
from sonar_core.command import Connect
from sonar_core.errors import UsageError
from sonar_core.redaction import printable
from sonar_core.reference import Repository

from .endpoint import Tag, Tags
from .order import ORDERS


def ls(
    repositories: RepositoriesArgument,
    connect: Connect,
    include: Annotated[
        list[str] | None, typer.Option(metavar="REGEX", help="Only tags in which this is found; may be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="REGEX", help="No tags in which this is found; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=0, metavar="N", help="At most so many of each repository.")] = None,
    sort: Annotated[
        Literal["name", "semver", "created"] | None,
        typer.Option(help="The order; unless given, the registry's. `created` reads each image's config."),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round: newest first.")] = False,
    digests: Annotated[bool, typer.Option("--digests", help="With the digest that each tag points to.")] = False,
) -> Iterator[str] | Iterator[Tag]:
    """List the tags of repositories, every page.

    Of several repositories, tags are shown as REPO:TAG. With --digests, tag and digest are separated by a tab.
    """
    chosen = _Choice(include or (), exclude or ())
    columns = digests or sort == "created"
    found = (
        replace(tag, tag=f"{repository}:{tag.tag}") if len(repositories) > 1 else tag
        for repository in repositories
        for tag in _of(repository, connect, chosen, limit, sort, reverse, digests)
    )
    return found if columns else (tag.tag for tag in found)


def _of(
    repository: Repository,
    connect: Connect,
    chosen: _Choice,
    limit: int | None,
    sort: str | None,
    reverse: bool,
    digests: bool,
) -> Iterator[Tag]:
    """The tags of one repository: chosen, then put in order, then cut, then looked up; what it can, as they come."""
    tags = Tags(connect(repository.registry))
    names: Iterable[str] = filter(chosen, tags.list(repository.path))
    if sort == "created":
        dated = sorted(tags.created(repository.path, names), key=ORDERS[sort], reverse=reverse)
        yield from dated[:limit]
        return
    if sort is not None:
        names = [tag.tag for tag in sorted(map(Tag, names), key=ORDERS[sort], reverse=reverse)]
    elif reverse:
        names = list(names)[::-1]
    names = islice(names, limit)
    yield from tags.digests(repository.path, names) if digests else map(Tag, names)


class _Choice:
    """Whether a tag is wanted."""

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        self._include = [_compile(pattern, "--include") for pattern in include]
        self._exclude = [_compile(pattern, "--exclude") for pattern in exclude]

    def __call__(self, tag: str) -> bool:
        wanted = not self._include or any(pattern.search(tag) for pattern in self._include)
        return wanted and not any(pattern.search(tag) for pattern in self._exclude)


def _compile(pattern: str, option: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{option} {pattern!r} is no regular expression: {error}") from error


def text(tag: str | Tag) -> str:
    """The tag alone, or with digest and time, separated by tabs."""
    if isinstance(tag, str):
        return printable(tag)
    created = tag.created.isoformat() if tag.created else None
    return "\t".join(printable(str(part)) for part in (tag.tag, tag.digest, created) if part is not None)
