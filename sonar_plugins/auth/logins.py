"""Logins that are kept: by the credential helper that docker's config.json names, else in that file."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonar_core.auth_types import Credentials
from sonar_core.errors import AuthError
from sonar_core.reference import Registry
from sonar_plugins.credentials import helper
from sonar_plugins.credentials.auth_file import AuthFile, docker_config, key_of, shown


@dataclass(frozen=True)
class Stored:
    """Where a login is kept, in words, and whether it is plain text there."""

    place: str
    plain: bool


def keep(registry: Registry, who: Credentials, *, seconds: float) -> Stored:
    """Keep a user and password. A helper gets `seconds`. Raises AuthError where that can't be done."""
    path = docker_config()
    with _changing(path) as file:
        name, key, auths = file.helper(registry), key_of(registry), dict(file.table("auths"))
        if name is None:
            auths[key] = {"auth": base64.b64encode(f"{who.username}:{who.password}".encode()).decode()}
            _replace(file, auths)
            return Stored(shown(path), plain=True)
        helper.store(name, key, who, seconds=seconds, named_by=shown(path))
        _remove(file, registry)  # what an earlier login left there as plain text
        return Stored(f"docker-credential-{name}", plain=False)


def forget(registry: Registry, *, seconds: float) -> tuple[str, ...]:
    """Remove the login for a registry; says from where. Raises AuthError where that can't be done."""
    path, removed = docker_config(), []
    if not path.exists():
        return ()
    with _changing(path) as file:
        if _remove(file, registry):
            removed.append(shown(path))
        name = file.helper(registry)
        if name is not None and helper.erase(name, key_of(registry), seconds=seconds, named_by=shown(path)):
            removed.append(f"docker-credential-{name}")
    return tuple(removed)


def _remove(file: AuthFile, registry: Registry) -> bool:
    """Take the registry's entries out, however they are spelled; those for repositories in it stay."""
    keys = file.keys(registry)
    if keys:
        _replace(file, {key: entry for key, entry in file.table("auths").items() if key not in keys})
    return bool(keys)


@contextmanager
def _changing(path: Path) -> Iterator[AuthFile]:
    """The file, while no other sonar changes it: its directory is locked, and made if it is missing."""
    target = Path(os.path.realpath(path))
    with _failing(path):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(target.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield AuthFile.load(path)
    finally:
        os.close(directory)


def _replace(file: AuthFile, auths: dict[str, Any]) -> None:
    """Put the file in its place whole, with another `auths` and all else as it was; a link stays a link."""
    target = Path(os.path.realpath(file.path))
    document = {**file.document, "auths": auths}
    with _failing(file.path):
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as written:
                written.write(json.dumps(document, indent="\t", ensure_ascii=False) + "\n")
                written.flush()
                os.fsync(handle)
            with suppress(OSError):  # under sudo the file stays its owner's
                owner = target.stat()
                os.chown(temporary, owner.st_uid, owner.st_gid)
            Path(temporary).replace(target)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AuthError(f"cannot write {shown(path)}: {error.strerror}") from None
