"""Credentials from `auth.json`, which podman, buildah and skopeo keep logins in (containers-auth.json(5))."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sonar_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from sonar_core.auth_types import Credentials
    from sonar_core.reference import Registry, Repository
    from sonar_core.settings import Settings


@hookimpl
def sonar_credentials(registry: Registry, repository: Repository | None, settings: Settings) -> Credentials | None:
    """Raises AuthError for a file that can't be read and for a helper that fails."""
    from .auth_file import AuthFile

    for path in auth_files():
        found = AuthFile.load(path).credentials(registry, repository, seconds=settings.timeout)
        if found is not None:
            return found
    return None


def auth_files() -> tuple[Path, ...]:
    """Where these tools look: `REGISTRY_AUTH_FILE` alone, else the run-time directory, then the config directory."""
    named = os.environ.get("REGISTRY_AUTH_FILE")
    if named:
        return (Path(named),)
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    runtime = Path(run) / "containers" if os.environ.get("XDG_RUNTIME_DIR") else Path(run)
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return (runtime / "auth.json", config / "containers" / "auth.json")
