"""The scheme `Basic`: user and password with every request (RFC 7617)."""

from __future__ import annotations

from sonar_core.hookspecs import AuthScheme, hookimpl


@hookimpl
def sonar_auth_schemes() -> list[AuthScheme]:
    return [AuthScheme("Basic", "sonar_plugins.basic.flow:flow", priority=10)]
