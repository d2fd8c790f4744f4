"""Referrers: the manifests that are about a manifest, as signatures are (distribution-spec, end-12)."""

from __future__ import annotations

from sonar_core.hookspecs import Command, Endpoint, hookimpl

_COMMANDS = "sonar_plugins.referrers.commands"


@hookimpl
def sonar_endpoints() -> list[Endpoint]:
    return [Endpoint("referrers", "sonar_plugins.referrers.endpoint:Referrers")]


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(
            ("referrer", "ls"),
            f"{_COMMANDS}:ls",
            "List what refers to a manifest: signatures, SBOMs, attestations",
            text=f"{_COMMANDS}:referrer_text",
        )
    ]
