"""The scheme `Bearer`: a token of the realm's token server (distribution, "Token Authentication")."""

from __future__ import annotations

from sonar_core.hookspecs import AuthScheme, hookimpl


@hookimpl
def sonar_auth_schemes() -> list[AuthScheme]:
    return [AuthScheme("Bearer", "sonar_plugins.bearer.flow:flow", priority=20)]
