"""`sonar config show`: what is in force, and from where."""

from __future__ import annotations

from sonar_core.hookspecs import Command, hookimpl


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(
            ("config", "show"),
            "sonar_plugins.config.commands:show",
            "Show the settings in force, and where each comes from",
            text="sonar_plugins.config.commands:text",
        )
    ]
