"""A plugin: credentials from any command that the settings name, and the auth scheme `ApiKey`."""

from __future__ import annotations

from sonar_core import AuthScheme, Credentials, Registry, Settings, hookimpl


@hookimpl
def sonar_credentials(registry: Registry, settings: Settings) -> Credentials | None:
    table = settings.plugin("auth-exec").get(registry.key)
    if table is None:
        return None
    from .command import credentials

    return credentials(registry, table, seconds=settings.timeout)


@hookimpl
def sonar_auth_schemes() -> list[AuthScheme]:
    return [AuthScheme("ApiKey", "sonar_auth_exec.api_key:flow", priority=30)]
