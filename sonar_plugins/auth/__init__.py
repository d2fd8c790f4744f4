"""`sonar auth`: log in, log out, and see who one is."""

from __future__ import annotations

from sonar_core.hookspecs import Command, hookimpl

_COMMANDS = "sonar_plugins.auth.commands:"


@hookimpl
def sonar_commands() -> list[Command]:
    return [
        Command(
            ("auth", "login"), f"{_COMMANDS}login", "Check credentials and keep them", text=f"{_COMMANDS}login_text"
        ),
        Command(("auth", "logout"), f"{_COMMANDS}logout", "Remove what login keeps", text=f"{_COMMANDS}logout_text"),
        Command(("auth", "whoami"), f"{_COMMANDS}whoami", "Show who one is at a registry, and where that is kept"),
        Command(
            ("auth", "token"), f"{_COMMANDS}token", "Print a bearer token, for scripts", text=f"{_COMMANDS}token_text"
        ),
    ]
