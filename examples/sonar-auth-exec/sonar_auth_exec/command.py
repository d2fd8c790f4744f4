"""Who I am: what a command prints, for a registry that has a table in `[plugin.auth-exec]`."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from sonar_core import AuthError, Credentials, Registry, SettingsError


def credentials(registry: Registry, table: Any, *, seconds: float) -> Credentials:
    """Run the command of `table`, which has `seconds`. Raises SettingsError, and AuthError where it fails."""
    command, username = _read(registry, table)
    where = f"the command {command[0]} for {registry} (plugin auth-exec)"
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, and no shell
            command,
            env={**os.environ, "SONAR_REGISTRY_HOST": registry.host},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AuthError(f"{where} did not end within {seconds:g} s", hint="--timeout allows more") from None
    except OSError as error:
        raise AuthError(f"{where} can't be run: {error.strerror}") from None
    if done.returncode:
        # Neither of its outputs is shown: one is the secret, the other may be a trace that has it.
        raise AuthError(f"{where} failed with exit status {done.returncode}", hint="run it by hand to see why")
    secret = done.stdout.decode(errors="replace").partition("\n")[0].strip()
    if not secret or not secret.isprintable():
        raise AuthError(f"{where} printed nothing that can be a secret on its first line")
    if username:
        return Credentials(username, secret, source=where)
    return Credentials(token=secret, source=where)


def _read(registry: Registry, table: Any) -> tuple[list[str], str]:
    where = f'[plugin.auth-exec."{registry.key}"]'
    command = table.get("command") if isinstance(table, dict) else None
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise SettingsError(f'{where} needs `command`, a list of texts as ["pass", "show", "work/registry"]')
    username = table.get("username", "")
    if not isinstance(username, str):
        raise SettingsError(f"{where}: `username` is not a text")
    return command, username
