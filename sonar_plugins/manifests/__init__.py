"""Manifests and indexes: get, head, put, delete (distribution-spec, end-3, end-7, end-9)."""

from __future__ import annotations

from sonar_core.hookspecs import Command, Endpoint, hookimpl

_COMMANDS = "sonar_plugins.manifests.commands"


@hookimpl
def sonar_endpoints() -> list[Endpoint]:
    return [Endpoint("manifests", "sonar_plugins.manifests.endpoint:Manifests")]


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(
            ("manifest", "get"), f"{_COMMANDS}:get", "Show manifests and indexes", text=f"{_COMMANDS}:document_text"
        ),
        Command(
            ("manifest", "head"),
            f"{_COMMANDS}:head",
            "Show the digests that names have",
            text=f"{_COMMANDS}:digest_text",
        ),
        Command(
            ("manifest", "put"), f"{_COMMANDS}:put", "Push a manifest from a file", text=f"{_COMMANDS}:digest_text"
        ),
        Command(("manifest", "rm"), f"{_COMMANDS}:rm", "Delete manifests, or tags", text=f"{_COMMANDS}:removed_text"),
    ]
