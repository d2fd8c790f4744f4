"""Credentials from `SONAR_USERNAME` and `SONAR_PASSWORD`, or `SONAR_TOKEN`, for the one registry `SONAR_AUTH_REGISTRY`.

They are for one named registry, so that a job that speaks to two does not show the one's password to the other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sonar_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from sonar_core.auth_types import Credentials
    from sonar_core.reference import Registry


@hookimpl(tryfirst=True)
def sonar_credentials(registry: Registry) -> Credentials | None:
    """Raises SettingsError where the variables make no sense together."""
    username, password, token = (
        os.environ.get(name, "") for name in ("SONAR_USERNAME", "SONAR_PASSWORD", "SONAR_TOKEN")
    )
    if not (username or password or token):
        return None

    from sonar_core.auth_types import Credentials
    from sonar_core.errors import SettingsError
    from sonar_core.reference import Registry

    named = os.environ.get("SONAR_AUTH_REGISTRY", "")
    if not named:
        given = "SONAR_TOKEN" if token else "SONAR_USERNAME" if username else "SONAR_PASSWORD"
        raise SettingsError(f"{given} is set, but not for which registry", hint="set SONAR_AUTH_REGISTRY to its host")
    if Registry.parse(named).key != registry.key:
        return None
    if token and (username or password):
        raise SettingsError(
            "SONAR_TOKEN is set together with a user or password",
            hint="it is a bearer token that is sent as it is; an access token of an account goes into SONAR_PASSWORD",
        )
    if not token and not (username and password):
        missing = "SONAR_PASSWORD" if username else "SONAR_USERNAME"
        raise SettingsError(f"{missing} is not set, and credentials for {registry} need both user and password")
    kind = "SONAR_TOKEN" if token else "SONAR_USERNAME and SONAR_PASSWORD"
    remedy = "set these variables anew, or unset them"
    return Credentials(username, password, token=token, source=f"the environment ({kind})", remedy=remedy)
