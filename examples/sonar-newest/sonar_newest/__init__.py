"""A plugin: the tag that was made last, as `client.newest` and as `sonar tag newest REPO`."""

from __future__ import annotations

from sonar_core import Command, Endpoint, hookimpl


@hookimpl
def sonar_endpoints() -> list[Endpoint]:
    return [Endpoint("newest", "sonar_newest.endpoint:Newest")]


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(("tag", "newest"), "sonar_newest.commands:newest", "Show the tag whose image was made last"),
    ]
