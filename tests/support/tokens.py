"""A token server with real signed tokens, which docker-registry verifies through its root certificate bundle.

Specification: distribution "Token Authentication" (GET) and "Oauth2 Token Authentication" (POST).
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sonar_core.testing.scripted import Answer, Origin, Request
from tests.support.processes import require

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

# docker-registry 2.8 accepts a token for a minute after its `exp` (registry/auth/token: Leeway).
_LEEWAY = 60

Grants = Callable[[str | None, str, str], set[str]]


def pull_for_all(account: str | None, kind: str, name: str) -> set[str]:
    """Anybody pulls, an account does everything."""
    del name
    everything = {"pull", "push", "delete", "*"}
    return everything if account else {"pull"} if kind == "repository" else set()


@dataclass
class TokenServer:
    """Listens at once; what arrived is in `origin.requests`. Close it with `origin.close()`.

    `grants(account, type, name)` says which of the actions asked for are given. `life` is a token's life in
    seconds: the registry refuses it after that, without the minute of leeway; `expires_in` is what the answer
    says ("life": the truth, None: nothing). `fields` names the members that hold the token. `oauth2` is the
    status of POST: 200 supports it, 404 and 405 are what servers without it answer.
    """

    directory: Path
    users: Mapping[str, str] = field(default_factory=dict)
    grants: Grants = pull_for_all
    life: int = 300
    expires_in: int | str | None = "life"
    fields: tuple[str, ...] = ("token", "access_token")
    oauth2: int = 200
    service: str = "registry under test"
    tls: ssl.SSLContext | None = None
    refresh_tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._openssl = require("openssl")
        self._key = self.directory / "token.key"
        self.bundle = self.directory / "token.pem"
        self._run(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=token server"),
            *("-keyout", str(self._key), "-out", str(self.bundle)),
        )
        self.origin = Origin(tls=self.tls)
        self.origin.on("GET", "/token", self._get)
        self.origin.on("POST", "/token", self._post)

    @property
    def realm(self) -> str:
        return f"{self.origin.url}/token"

    def registry_settings(self) -> dict[str, str]:
        """The `auth: token:` section of docker-registry's configuration."""
        return {
            "realm": self.realm,
            "service": self.service,
            "issuer": "sonar's tests",
            "rootcertbundle": str(self.bundle),
        }

    def token(self, scopes: list[str], account: str | None = None) -> str:
        """A signed token (RFC 7519) with those of the actions in `scopes` that the account is granted."""
        now = int(time.time())
        claims = {
            "iss": "sonar's tests",
            "sub": account or "",
            "aud": self.service,
            "iat": now,
            "nbf": now - 1,
            "exp": now + self.life - _LEEWAY,
            "jti": secrets.token_hex(8),
            "access": self._access(scopes, account),
        }
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self._certificate()]}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = self._run("dgst", "-sha256", "-sign", str(self._key), "-binary", data=signed)
        return (signed + b"." + _base64url(signature)).decode()

    def _access(self, scopes: list[str], account: str | None) -> list[dict[str, Any]]:
        granted = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            allowed = sorted(set(actions.split(",")) & self.grants(account, kind, name))
            if allowed:
                granted.append({"type": kind, "name": name, "actions": allowed})
        return granted

    def _get(self, request: Request) -> Answer:
        account = None
        header = request.header("Authorization")
        if header is not None:
            name, _, password = base64.b64decode(header.partition(" ")[2]).decode().partition(":")
            if not header.lower().startswith("basic ") or self.users.get(name) != password:
                return _refused("invalid user or password")
            account = name
        scopes = " ".join(request.query.get("scope", [])).split()
        return self._grant(scopes, account, offline=request.query.get("offline_token") == ["true"])

    def _post(self, request: Request) -> Answer:
        if self.oauth2 != 200:
            return Answer(self.oauth2)
        form = {name: values[0] for name, values in request.form.items()}
        if form.get("service") != self.service or "client_id" not in form:
            return Answer(400, json={"error": "invalid_request"})
        if form.get("grant_type") == "refresh_token":
            account = self.refresh_tokens.get(form.get("refresh_token", ""))
        else:
            account = form.get("username")
            account = account if account and self.users.get(account) == form.get("password") else None
        if account is None:
            return _refused("invalid grant")
        return self._grant(form.get("scope", "").split(), account, offline=form.get("access_type") == "offline")

    def _grant(self, scopes: list[str], account: str | None, *, offline: bool) -> Answer:
        token = self.token(scopes, account)
        answer: dict[str, Any] = dict.fromkeys(self.fields, token)
        answer["issued_at"] = datetime.now(UTC).isoformat()
        if self.expires_in is not None:
            answer["expires_in"] = self.life if self.expires_in == "life" else self.expires_in
        if offline and account:
            answer["refresh_token"] = self.refresh_token(account)
        return Answer(200, json=answer)

    def refresh_token(self, account: str) -> str:
        """A new identity token, as `docker login` keeps it."""
        made = secrets.token_urlsafe(24)
        self.refresh_tokens[made] = account
        return made

    def _certificate(self) -> str:
        return "".join(line for line in self.bundle.read_text().splitlines() if not line.startswith("-----"))

    def _run(self, *arguments: str, data: bytes = b"") -> bytes:
        return subprocess.run([self._openssl, *arguments], input=data, capture_output=True, check=True).stdout


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _refused(message: str) -> Answer:
    return Answer(401, json={"errors": [{"code": "UNAUTHORIZED", "message": message}]})
