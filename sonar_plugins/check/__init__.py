"""`GET /v2/`: does it speak the distribution API, and what does it ask for (distribution-spec, end-1)."""

from __future__ import annotations

from sonar_core.hookspecs import Command, Endpoint, hookimpl


@hookimpl
def sonar_endpoints() -> list[Endpoint]:
    return [Endpoint("check", "sonar_plugins.check.endpoint:Check")]


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(
            ("check",),
            "sonar_plugins.check.commands:check",
            "Ask a registry whether it answers, and how it wants to be authenticated to",
            text="sonar_plugins.check.commands:text",
        )
    ]
