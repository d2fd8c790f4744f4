"""The scheme `Bearer`: a token of the realm's token server (distribution, "Token Authentication", RFC 6750).

| credentials                  | how a token is asked for                                                         |
|------------------------------|----------------------------------------------------------------------------------|
| none                         | GET                                                                              |
| user and password            | GET with Basic; where that is 404 or 405, POST with `grant_type=password`        |
| identity token               | POST with `grant_type=refresh_token`; where that is 404 or 405, GET with Basic   |
| a token (`registrytoken`)    | not at all: it is sent as it is                                                  |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonar_core.auth_types import Grant, TokenRequest

if TYPE_CHECKING:
    from collections.abc import Generator

    from sonar_core.auth_types import AuthContext, AuthFlow, Credentials, TokenAnswer

CLIENT_ID = "sonar"

_ABSENT = frozenset({404, 405})  # what a token server without this method answers


def flow(context: AuthContext) -> AuthFlow:
    """Raises AuthError where the challenge names no usable realm, or the token server refuses."""
    from .token_answer import read_token

    who = context.credentials
    if who is not None and who.token:
        return _grant(who.token, None, None)
    answer = yield from _ask(context)
    token, life = read_token(answer, context)
    return _grant(token, life, context.scopes)


def _grant(token: str, life: float | None, scopes: frozenset[str] | None) -> Grant:
    return Grant({"Authorization": f"Bearer {token}"}, expires_in=life, scopes=scopes)


def _ask(context: AuthContext) -> Generator[TokenRequest, TokenAnswer, TokenAnswer]:
    who = context.credentials
    get, post = _get(context), _post(context, who) if who else None
    if post is None:
        return (yield get)
    first, second = (post, get) if who and who.identity_token else (get, post)
    answer = yield first
    return (yield second) if answer.status in _ABSENT else answer


def _get(context: AuthContext) -> TokenRequest:
    """The GET of the docker token flow: each scope is a parameter of its own."""
    from urllib.parse import urlencode, urlsplit

    who = context.credentials
    query = [("service", context.challenge.parameters.get("service", ""))]
    query += [("scope", scope) for scope in sorted(context.scopes)]
    query += [("account", who.username if who else ""), ("client_id", CLIENT_ID)]
    parts = urlsplit(_realm(context))
    added = urlencode([(name, value) for name, value in query if value], safe=":/,*")
    joined = f"{parts.query}&{added}" if parts.query else added
    return TokenRequest(parts._replace(query=joined).geturl(), headers=_basic(who) if who else {})


def _basic(who: Credentials) -> dict[str, str]:
    """An identity token goes as a password where OAuth2 is not spoken (containerd and ACR do the same)."""
    from dataclasses import replace

    from sonar_plugins.basic.flow import authorization

    return {"Authorization": authorization(replace(who, password=who.identity_token or who.password))}


def _post(context: AuthContext, who: Credentials) -> TokenRequest:
    """The POST of distribution's "Oauth2 Token Authentication" (RFC 6749, 4.3 and 6): scopes in one field."""
    form = {"client_id": CLIENT_ID, "service": context.challenge.parameters.get("service", "")}
    if who.identity_token:
        form |= {"grant_type": "refresh_token", "refresh_token": who.identity_token}
    else:
        form |= {"grant_type": "password", "username": who.username, "password": who.password}
    form["scope"] = " ".join(sorted(context.scopes))
    return TokenRequest(_realm(context), form={name: value for name, value in form.items() if value})


def _realm(context: AuthContext) -> str:
    """Where the challenge sends us. The core decides whether that may be followed; only its shape is judged here."""
    from urllib.parse import urlsplit

    from sonar_core.errors import AuthError
    from sonar_core.redaction import redact_url

    realm = context.challenge.realm
    try:
        parts = urlsplit(realm)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise AuthError(f"{context.registry} names no token server that can be used: realm {redact_url(realm)!r}")
    if "@" in parts.netloc:
        raise AuthError(f"{context.registry} names the realm {redact_url(realm)} with user info; not followed")
    return parts._replace(fragment="").geturl()
