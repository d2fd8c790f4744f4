"""Blobs: get, head, put, mount, delete (distribution-spec, end-2, end-4 to end-6, end-10, end-11)."""

from __future__ import annotations

from sonar_core.hookspecs import Command, Endpoint, hookimpl

_COMMANDS = "sonar_plugins.blobs.commands"


@hookimpl
def sonar_endpoints() -> list[Endpoint]:
    return [Endpoint("blobs", "sonar_plugins.blobs.endpoint:Blobs")]


@hookimpl
def sonar_commands() -> list[Command]:
    digest = f"{_COMMANDS}:digest_text"
    return [
        Command(("blob", "get"), f"{_COMMANDS}:get", "Fetch a blob, to stdout or a file", text=digest),
        Command(
            ("blob", "head"),
            f"{_COMMANDS}:head",
            "Show whether blobs are there, and their size",
            text=f"{_COMMANDS}:size_text",
        ),
        Command(("blob", "put"), f"{_COMMANDS}:put", "Push a file as a blob", text=digest),
        Command(("blob", "mount"), f"{_COMMANDS}:mount", "Take a blob over from another repository", text=digest),
        Command(("blob", "rm"), f"{_COMMANDS}:rm", "Delete blobs"),
    ]
