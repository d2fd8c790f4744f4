"""What authentication is talked about in: who the user is, what a scheme wants sent, what it grants.

Apart from `sonar_core.hookspecs`, because most runs of the program need none of it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .challenge import Challenge
    from .reference import Registry


@dataclass(frozen=True)
class Credentials:
    """Who the user is, for one registry. `source` says where it was found, and is shown in errors.

    One of three kinds: `username` with `password`; an `identity_token` (an OAuth2 refresh token, docker's
    `identitytoken`); a `token` that is sent as it is (docker's `registrytoken`).

    `remedy` says how the user replaces them, where `sonar auth login` would not: what it keeps is asked for later.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    source: str = "unknown source"
    remedy: str = ""


@dataclass(frozen=True)
class AuthContext:
    """What an auth scheme has to go on: the challenge, for whom, for what, and the credentials if any."""

    challenge: Challenge
    registry: Registry
    scopes: frozenset[str] = frozenset()
    credentials: Credentials | None = None


@dataclass(frozen=True)
class TokenRequest:
    """A request that a scheme wants sent. `form`, where given, is sent url-encoded by POST.

    The core sends it under its own rules (realm, caps, redirects); `headers` go to the origin of `url` only.
    """

    url: str
    form: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class TokenAnswer:
    """What came back: the status, the headers (names in lower case), and at most 1 MiB of body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Grant:
    """Header values that open the registry. `expires_in` counts seconds from now; None: does not expire.

    `scopes`: the scopes that it is good for; None: good for everything on that registry.
    """

    headers: Mapping[str, str] = field(repr=False)
    expires_in: float | None = None
    scopes: frozenset[str] | None = None


AuthFlow = Generator[TokenRequest, TokenAnswer, Grant]
