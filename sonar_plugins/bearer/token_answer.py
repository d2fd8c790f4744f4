"""What a token server answered: the token and how long it is good for, or why there is none."""

from __future__ import annotations

import math
import re
import time
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sonar_core import strict_json
from sonar_core.errors import AuthError, ContentError
from sonar_core.redaction import printable, without

if TYPE_CHECKING:
    from sonar_core.auth_types import AuthContext, Credentials, TokenAnswer

LIFE = 60.0  # seconds, where the answer does not say (distribution, "Token Response Fields")

_LONGEST_LIFE = 7 * 24 * 3600.0  # a token may say more; it is asked for again
_TOKEN = re.compile(r"[\x21-\x7e]+")  # what a header can carry; RFC 6750 allows less


def read_token(answer: TokenAnswer, context: AuthContext) -> tuple[str, float]:
    """The token, and its life in seconds from now. Raises AuthError where the server gave none."""
    if answer.status != 200:
        raise _refused(answer, context)
    try:
        document = strict_json.loads(answer.body, what="it")
    except ContentError:
        hint = "a page of HTML: a log-in page?" if answer.body.lstrip()[:1] == b"<" else None
        raise AuthError(f"{_server(context)} answered with something that is not JSON", hint=hint) from None
    fields = document if isinstance(document, dict) else {}
    token = fields.get("token") or fields.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise AuthError(f"{_server(context)} answered without a token that can be used")
    return token, _life(fields, answer)


def _server(context: AuthContext) -> str:
    host = urlsplit(context.challenge.realm).netloc.rpartition("@")[2]
    return f"the token server {printable(host)} of {context.registry}"


def _life(fields: dict[str, Any], answer: TokenAnswer) -> float:
    """`expires_in` counts from `issued_at`, which may be a while ago where the answer comes from a cache.

    Its age is taken by the server's own clock, `Date`. One that would have ended the token already is a wrong clock.
    """
    life = _seconds(fields.get("expires_in"))
    issued = _moment(fields.get("issued_at"))
    if issued is None:
        return life
    left = life - max(0.0, _server_time(answer) - issued)
    return left if left > 0 else life


def _seconds(value: object) -> float:
    """A number, also as a text (some servers quote it). Anything else is the default."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    return min(seconds, _LONGEST_LIFE) if math.isfinite(seconds) and seconds > 0 else LIFE


def _moment(value: object) -> float | None:
    """An RFC 3339 time in seconds since the epoch."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if moment is None else (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _server_time(answer: TokenAnswer) -> float:
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return time.time()


def _refused(answer: TokenAnswer, context: AuthContext) -> AuthError:
    who = context.credentials
    login = f"`sonar auth login {context.registry}`"
    said = _reason(answer, context)
    if answer.status in (401, 403) and who is None:
        scopes = " ".join(sorted(context.scopes)) or "the registry"
        return AuthError(
            f"{_server(context)} gives no token for {scopes} to nobody (answered {answer.status}{said})",
            hint=f"no credentials were found: {login}",
        )
    if who is None:
        return AuthError(f"{_server(context)} gave no token: it answered {answer.status}{said}")
    if answer.status in (400, 401, 403):
        return AuthError(
            f"{_server(context)} refused the credentials from {who.source} (answered {answer.status}{said})",
            hint=f"to replace them: {who.remedy or login}",
        )
    return AuthError(f"{_server(context)} gave no token: it answered {answer.status}{said}")


def _reason(answer: TokenAnswer, context: AuthContext) -> str:
    """The server's own words, as a registry's error or an OAuth2 one, without anything that we sent in secret."""
    try:
        document = strict_json.loads(answer.body, what="it")
    except ContentError:
        return ""
    if not isinstance(document, dict):
        return ""
    errors = document.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    source = first if isinstance(first, dict) else document
    words = [source.get(name) for name in ("code", "message", "error", "error_description", "details")]
    text = ": ".join(dict.fromkeys(word for word in words if isinstance(word, str) and word))
    if context.credentials is not None:
        text = without(text, _secrets(context.credentials))
    return f": {printable(text)[:200]}" if text else ""


def _secrets(who: Credentials) -> list[str]:
    """What was sent in secret, also as Basic spells it."""
    secrets = [secret for secret in (who.password, who.identity_token) if secret]
    return secrets + [b64encode(f"{who.username}:{secret}".encode()).decode() for secret in secrets]
