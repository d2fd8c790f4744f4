"""The scheme `Basic`: user and password with every request (RFC 7617)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonar_core.auth_types import Grant

if TYPE_CHECKING:
    from sonar_core.auth_types import AuthContext, AuthFlow, Credentials


def flow(context: AuthContext) -> AuthFlow:
    """Without credentials there is nothing to prove: a grant of no headers."""
    who = context.credentials
    return Grant({"Authorization": authorization(who)} if who else {})
    yield  # no request is needed, and a flow is a generator


def authorization(who: Credentials) -> str:
    """The value of the header `Authorization`. Raises AuthError where there is no user, or one with a colon."""
    from base64 import b64encode

    from sonar_core.errors import AuthError

    if not who.username and not who.password:
        raise AuthError(f"the credentials from {who.source} are a token, and the registry asks for user and password")
    if ":" in who.username:
        raise AuthError(f"the user name from {who.source} holds a colon, which Basic can't carry (RFC 7617)")
    return "Basic " + b64encode(f"{who.username}:{who.password}".encode()).decode()
