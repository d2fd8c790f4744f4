"""`sonar tag newest`."""

from __future__ import annotations

from sonar_core import Connect
from sonar_core.cli.arguments import RepositoryArgument
from sonar_plugins.tags.endpoint import Tag

from .endpoint import Newest


def newest(repository: RepositoryArgument, connect: Connect) -> Tag:
    """Show the tag of a repository whose image was made last."""
    return Newest(connect(repository.registry))(repository.path)
