"""`_catalog`: the repositories of a registry (not in the OCI spec; distribution, "Listing Repositories")."""

from __future__ import annotations

from sonar_core.hookspecs import Command, Endpoint, hookimpl


@hookimpl
def sonar_endpoints() -> list[Endpoint]:
    return [Endpoint("catalog", "sonar_plugins.catalog.endpoint:Catalog")]


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(
            ("repo", "ls"),
            "sonar_plugins.catalog.commands:ls",
            "List the repositories of a registry",
            item="repository",
        )
    ]
