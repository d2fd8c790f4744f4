"""The tags of a repository (OCI distribution-spec, end-8a and end-8b)."""

from __future__ import annotations

from sonar_core.hookspecs import Command, Endpoint, hookimpl


@hookimpl
def sonar_endpoints() -> list[Endpoint]:
    return [Endpoint("tags", "sonar_plugins.tags.endpoint:Tags")]


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(
            ("tag", "ls"),
            "sonar_plugins.tags.commands:ls",
            "List the tags of repositories, with their digests if wanted",
            text="sonar_plugins.tags.commands:text",
            item="tag",
        )
    ]
