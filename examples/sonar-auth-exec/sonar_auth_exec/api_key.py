"""How I prove it: `WWW-Authenticate: ApiKey header="X-Registry-Key"` is answered with that header."""

from __future__ import annotations

import re

from sonar_core import AuthContext, AuthError, AuthFlow, Grant

_HEADER = re.compile(r"X-[A-Za-z0-9-]{1,60}", re.IGNORECASE)


def flow(context: AuthContext) -> AuthFlow:
    """Needs no request of its own. sonar attaches the header, to this registry's origin and to no other."""
    name = context.challenge.parameters.get("header", "X-Api-Key")
    if not _HEADER.fullmatch(name):
        raise AuthError(f"{context.registry} wants its key in a header that does not begin with X-")
    who = context.credentials
    if who is None:
        return Grant({})  # nothing to prove: the registry's refusal stands, and sonar says how to log in
    return Grant({name: who.token or who.password})
    yield  # what makes a generator of it
