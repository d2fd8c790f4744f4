"""`sonar plugin ls`: what is installed."""

from __future__ import annotations

from sonar_core.hookspecs import Command, hookimpl


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(
            ("plugin", "ls"),
            "sonar_plugins.plugin.commands:ls",
            "Show the plugins that are installed, and what is wrong with them",
            text="sonar_plugins.plugin.commands:text",
        )
    ]
