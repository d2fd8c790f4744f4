"""`sonar tag ls`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Annotated, Literal, TypeVar

import typer

from sonar_core.cli.arguments import RepositoriesArgument
from sonar_core.command import Connect
from sonar_core.errors import UsageError
from sonar_core.redaction import printable
from sonar_core.reference import Repository

from .endpoint import Tag, Tags
from .order import ORDERS

T = TypeVar("T")


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
    reverse: Annotated[
        bool, typer.Option("--reverse", help="The other way round; by `created` and `semver`: newest first.")
    ] = False,
    digests: Annotated[bool, typer.Option("--digests", help="With the digest that each tag points to.")] = False,
) -> Iterator[str] | Iterator[Tag]:
    """List the tags of repositories, every page.

    Of several repositories, tags are shown as REPO:TAG. With --digests, tag and digest are separated by a tab.
    """
    chosen = _Choice(include or (), exclude or ())
    if digests or sort == "created":
        rows = _each(repositories, lambda one: _rows(one, connect, chosen, limit, sort, reverse))
        return (replace(tag, tag=f"{one}:{tag.tag}") if one else tag for one, tag in rows)
    names = _each(repositories, lambda one: _names(one, connect, chosen, limit, sort, reverse))
    return (f"{one}:{name}" if one else name for one, name in names)


def _each(repositories: list[Repository], find: Callable[[Repository], Iterable[T]]) -> Iterator[tuple[str, T]]:
    """What `find` finds in each, with the repository's name where there are several."""
    for repository in repositories:
        name = str(repository) if len(repositories) > 1 else ""
        for found in find(repository):
            yield name, found


def _names(
    repository: Repository, connect: Connect, chosen: _Choice, limit: int | None, sort: str | None, reverse: bool
) -> Iterator[str]:
    """The tags of one repository: chosen, then put in order, then cut; where it can, as they come."""
    names: Iterable[str] = filter(chosen, Tags(connect(repository.registry)).list(repository.path))
    if sort is not None:
        names = [tag.tag for tag in sorted(map(Tag, names), key=ORDERS[sort], reverse=reverse)]
    elif reverse:
        names = list(names)[::-1]
    return islice(names, limit)


def _rows(
    repository: Repository, connect: Connect, chosen: _Choice, limit: int | None, sort: str | None, reverse: bool
) -> Iterator[Tag]:
    """The same with what each tag points to."""
    tags = Tags(connect(repository.registry))
    if sort != "created":
        return tags.digests(repository.path, _names(repository, connect, chosen, limit, sort, reverse))
    dated = tags.created(repository.path, filter(chosen, tags.list(repository.path)))
    return islice(sorted(dated, key=ORDERS[sort], reverse=reverse), limit)


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
