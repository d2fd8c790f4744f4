"""Completion of repositories and tags by asking the registry: quick, and silent where that fails."""

from __future__ import annotations

from itertools import islice

from sonar_core.plugins import Plugins
from sonar_core.settings import Settings

_SECONDS = 2.0
_MOST = 200


def complete_repository(incomplete: str) -> list[str]:
    """Repositories that begin with what was typed, where that names a registry."""
    host, slash, prefix = incomplete.partition("/")
    if not slash:
        return []
    try:
        from sonar_core.client import Client

        with Client(host, settings=_settings(), plugins=_plugins()) as client:
            found = (path for path in client.catalog.list() if path.startswith(prefix))
            return [f"{host}/{path}" for path in islice(found, _MOST)]
    except Exception:
        return []


def complete_reference(incomplete: str) -> list[str]:
    """Tags behind a colon, repositories before one."""
    name, colon, prefix = incomplete.rpartition(":")
    if not colon or "/" not in name:
        return complete_repository(incomplete)
    try:
        from sonar_core.client import Client
        from sonar_core.reference import Repository

        repository = Repository.parse(name)
        with Client(repository.registry, settings=_settings(), plugins=_plugins()) as client:
            found = (tag for tag in client.tags.list(repository.path) if tag.startswith(prefix))
            return [f"{name}:{tag}" for tag in islice(found, _MOST)]
    except Exception:
        return []


def _plugins() -> Plugins:
    return Plugins.discover(report=lambda problem: None)


def _settings() -> Settings:
    return Settings.load().with_options(timeout=_SECONDS, attempts=1)
