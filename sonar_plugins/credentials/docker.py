"""Credentials from docker's `config.json`, which `docker login` and `sonar auth login` write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonar_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from sonar_core.auth_types import Credentials
    from sonar_core.reference import Registry, Repository
    from sonar_core.settings import Settings


@hookimpl
def sonar_credentials(registry: Registry, repository: Repository | None, settings: Settings) -> Credentials | None:
    """Raises AuthError for a file that can't be read and for a helper that fails."""
    from .auth_file import AuthFile, docker_config

    return AuthFile.load(docker_config()).credentials(registry, repository, seconds=settings.timeout)
