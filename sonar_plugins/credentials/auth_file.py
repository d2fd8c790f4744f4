"""The file of logins that docker and podman share the format of, and which entry of it counts for a registry.

    {
      "auths": {"registry.example.com": {"auth": "BASE64 of user:password"}, "ghcr.io/team": {"identitytoken": "…"}},
      "credHelpers": {"gcr.io": "gcloud"},
      "credsStore": "pass"
    }

Asked in the order `credHelpers`, `credsStore`, `auths`; among keys, the most specific first: `host/team/app`,
`host/team`, `host`. A key may be spelled as an address (`https://host/v1/`), then it means its host.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sonar_core import strict_json
from sonar_core.auth_types import Credentials
from sonar_core.errors import AuthError, ContentError
from sonar_core.reference import DOCKER_HUB, Registry

from . import helper

if TYPE_CHECKING:
    from sonar_core.reference import Repository

T = TypeVar("T")

DOCKER_HUB_KEY = "https://index.docker.io/v1/"  # what docker keeps Docker Hub under

_LARGEST = 8 * 1024 * 1024


def docker_config() -> Path:
    """Where docker keeps logins: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def shown(path: Path) -> str:
    """A path for a person: with `~` for the home directory."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def key_of(registry: Registry) -> str:
    """The key that docker writes for a registry, also as what a helper is asked for."""
    return DOCKER_HUB_KEY if registry.key == DOCKER_HUB else registry.key


@dataclass(frozen=True)
class AuthFile:
    """One such file, read; empty where there is none."""

    path: Path
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: Path) -> AuthFile:
        """Raises AuthError for a file that can't be read or is not what it should be."""
        try:
            with path.open("rb") as file:
                data = file.read(_LARGEST)
        except (FileNotFoundError, NotADirectoryError):
            return cls(path)
        except OSError as error:
            raise AuthError(f"cannot read {shown(path)}: {error.strerror}") from None
        if not data.strip():
            return cls(path)
        try:
            document = strict_json.loads(data, what=shown(path))
        except ContentError:
            # The reason may quote what stands there, which may be a secret.
            raise AuthError(f"{shown(path)} is not valid JSON") from None
        if not isinstance(document, dict):
            raise AuthError(f"{shown(path)} is not a JSON object")
        return cls(path, document)

    def table(self, name: str) -> dict[str, Any]:
        """The object of that name; empty where there is none. Raises AuthError where it is something else."""
        value = self.document.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise AuthError(f"`{name}` in {shown(self.path)} is not an object")
        return value

    def helper(self, registry: Registry) -> str | None:
        """The name of the credential helper for a registry: its own, else the one for all."""
        own = next(_matches(self.table("credHelpers"), registry, None), None)
        name = own[1] if own else self.document.get("credsStore") or None
        if name is not None and not isinstance(name, str):
            raise AuthError(f"{shown(self.path)} names a credential helper that is not a text")
        return name or None

    def credentials(self, registry: Registry, repository: Repository | None, *, seconds: float) -> Credentials | None:
        """Who the user is there. A helper gets `seconds` to answer. Raises AuthError."""
        name = self.helper(registry)
        if name is not None:
            found = helper.get(name, key_of(registry), seconds=seconds, named_by=shown(self.path))
            if found is not None:
                return found
        for key, entry in _matches(self.table("auths"), registry, repository):
            found = self._decode(key, entry)
            if found is not None:
                return found
        return None

    def keys(self, registry: Registry) -> tuple[str, ...]:
        """The keys of `auths` that mean the registry as a whole, however they are spelled."""
        return tuple(key for key, _ in _matches(self.table("auths"), registry, None))

    def _decode(self, key: str, entry: object) -> Credentials | None:
        """None for an entry that holds nothing: docker writes such where a helper has the secret."""
        where = f"the entry {key!r} in {shown(self.path)}"
        if not isinstance(entry, dict):
            raise AuthError(f"{where} is malformed")
        names = ("auth", "username", "password", "identitytoken", "registrytoken")
        values = [entry.get(name) or "" for name in names]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < len(values):
            raise AuthError(f"{where} is malformed")
        auth, username, password, identity, token = texts
        if auth:
            username, password = _decode_pair(auth, where)
        if token:
            return Credentials(token=token, source=shown(self.path))
        if identity:
            return Credentials(username, identity_token=identity, source=shown(self.path))
        if not (username and password):
            return None
        return Credentials(username, password, source=shown(self.path))


def _decode_pair(auth: str, where: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(auth.strip(), validate=True).decode()
    except ValueError:
        raise AuthError(f"{where} is malformed: `auth` is not base64 of UTF-8") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise AuthError(f"{where} is malformed: `auth` has no colon between user and password")
    return username, password.rstrip("\0")  # old docker clients padded it


def _matches(table: Mapping[str, T], registry: Registry, repository: Repository | None) -> Iterator[tuple[str, T]]:
    """The entries that count, the most specific first; among equals the key that docker itself writes."""
    exact = key_of(registry)
    ordered = sorted(table.items(), key=lambda item: item[0] != exact)
    for wanted in _names(registry, repository):
        yield from ((key, value) for key, value in ordered if _normal(key) == wanted)


def _names(registry: Registry, repository: Repository | None) -> Iterator[str]:
    """`host/team/app`, `host/team`, `host`."""
    parts = repository.path.split("/") if repository else []
    for count in range(len(parts), -1, -1):
        yield "/".join([registry.key, *parts[:count]])


def _normal(key: str) -> str:
    """A key in its plain spelling. With a scheme, or the API's version as path, it is the address of a registry."""
    _, scheme, address = key.rpartition("://")
    host, _, path = address.partition("/")
    path = path.strip("/")
    if scheme or path in ("v1", "v2"):
        path = ""
    host = host.lower()
    if host in ("index.docker.io", "registry-1.docker.io"):
        host = DOCKER_HUB
    return f"{host}/{path}" if path else host
