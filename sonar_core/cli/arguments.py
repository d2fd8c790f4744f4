"""Arguments that commands have in common, parsed and completed.

def ls(repository: RepositoryArgument, connect: Connect) -> Iterator[str]: ...
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sonar_core.reference import Reference, Registry, Repository

from .completion import complete_reference, complete_repository


def registry_argument(unless_given: str) -> Any:
    """A registry that need not be given; `unless_given` says what holds then."""
    return typer.Argument(
        parser=Registry.parse,
        metavar="[REGISTRY]",
        help=f"A host, as ghcr.io or localhost:5000{unless_given}",
        show_default=False,
    )


RegistryArgument = Annotated[Registry | None, registry_argument(". [$SONAR_REGISTRY, else localhost]")]
RepositoryArgument = Annotated[
    Repository,
    typer.Argument(
        parser=Repository.parse,
        metavar="REPO",
        help="A repository, as ghcr.io/owner/name.",
        autocompletion=complete_repository,
        show_default=False,
    ),
]
RepositoriesArgument = Annotated[
    list[Repository],
    typer.Argument(
        parser=Repository.parse,
        metavar="REPO...",
        help="Repositories, as ghcr.io/owner/name.",
        autocompletion=complete_repository,
        show_default=False,
    ),
]
ReferenceArgument = Annotated[
    Reference,
    typer.Argument(
        parser=Reference.parse,
        metavar="REF",
        help="A name with a tag or a digest, as ghcr.io/owner/name:v1.",
        autocompletion=complete_reference,
        show_default=False,
    ),
]
ReferencesArgument = Annotated[
    list[Reference],
    typer.Argument(
        parser=Reference.parse,
        metavar="REF...",
        help="Names with a tag or a digest, as ghcr.io/owner/name:v1.",
        autocompletion=complete_reference,
        show_default=False,
    ),
]
