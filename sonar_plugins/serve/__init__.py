"""`sonar serve`: an embedded registry, for trying things, for CI jobs and for tests; not for production."""

from __future__ import annotations

from sonar_core.hookspecs import Command, hookimpl


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(
            ("serve",),
            "sonar_plugins.serve.commands:serve",
            "Run a registry, for trying things and for tests",
            text="sonar_plugins.serve.commands:text",
        )
    ]
