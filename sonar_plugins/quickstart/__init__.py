"""`sonar quickstart`: the tour. An embedded registry, a real image in it, each step printed and run."""

from __future__ import annotations

from sonar_core.hookspecs import Command, hookimpl


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(
            ("quickstart",),
            "sonar_plugins.quickstart.commands:quickstart",
            "Take the tour: an embedded registry, an image in it, each step shown",
            text="sonar_plugins.quickstart.commands:text",
        )
    ]
