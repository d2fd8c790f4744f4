"""Credential helpers: programs named `docker-credential-NAME` that keep logins (docker-credential-helpers' protocol).

The action is the argument (`get`, `store`, `erase`), the registry or a JSON document goes to stdin, and what comes
back on stdout is a secret, or an error that is not ours to show.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from sonar_core import strict_json
from sonar_core.errors import AuthError, ContentError
from sonar_core.hookspecs import Credentials

if TYPE_CHECKING:
    from typing import NoReturn

TOKEN_USER = "<token>"  # noqa: S105 - the user name that says: the secret is an identity token

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_NOT_FOUND = b"credentials not found"


def get(name: str, server: str, *, seconds: float, named_by: str) -> Credentials | None:
    """What the helper has for `server`; None where it says that it has nothing. Raises AuthError where it fails.

    `seconds` is how long it may take, `named_by` the file that names it, for errors.
    """
    done = _run(name, "get", server.encode(), seconds, named_by)
    if done.returncode:
        if done.stdout.strip().lower().startswith(_NOT_FOUND):
            return None
        _fail(
            name,
            named_by,
            f"failed with exit status {done.returncode}",
            f"echo {server} | docker-credential-{name} get",
        )
    try:
        answer = strict_json.loads(done.stdout, what="it")
        username, secret = answer["Username"], answer["Secret"]
    except (ContentError, KeyError, TypeError):
        username, secret = None, None
    if not isinstance(username, str) or not isinstance(secret, str):
        _fail(name, named_by, "answered with something that is not credentials")
    if not secret:
        return None
    source = f"docker-credential-{name} (named by {named_by})"
    if username == TOKEN_USER:
        return Credentials(username, identity_token=secret, source=source)
    return Credentials(username, secret, source=source)


def store(name: str, server: str, who: Credentials, *, seconds: float, named_by: str) -> None:
    """Give the helper credentials to keep. Raises AuthError."""
    document = {
        "ServerURL": server,
        "Username": TOKEN_USER if who.identity_token else who.username,
        "Secret": who.identity_token or who.password,
    }
    done = _run(name, "store", json.dumps(document).encode(), seconds, named_by)
    if done.returncode:
        _fail(name, named_by, f"did not store the credentials: exit status {done.returncode}")


def erase(name: str, server: str, *, seconds: float, named_by: str) -> bool:
    """Make the helper forget `server`; False where it says that it had nothing. Raises AuthError."""
    done = _run(name, "erase", server.encode(), seconds, named_by)
    missing = done.stdout.strip().lower().startswith(_NOT_FOUND)
    if done.returncode and not missing:
        _fail(name, named_by, f"did not erase the credentials: exit status {done.returncode}")
    return not missing


def _run(name: str, action: str, data: bytes, seconds: float, named_by: str) -> subprocess.CompletedProcess[bytes]:
    if not _NAME.fullmatch(name):
        raise AuthError(f"{named_by} names a credential helper that can't be one: {name[:80]!r}")
    program = shutil.which(f"docker-credential-{name}")
    if program is None:
        _fail(name, named_by, "is not installed")
    try:
        # Its stderr is not shown either: a script that traces itself would print the secret there.
        return subprocess.run([program, action], input=data, capture_output=True, timeout=seconds, check=False)  # noqa: S603 - the name is checked, no shell
    except subprocess.TimeoutExpired:
        _fail(name, named_by, f"did not answer within {seconds:g} s", "--timeout allows more")
    except OSError as error:
        _fail(name, named_by, f"can't be run: {error.strerror}")


def _fail(name: str, named_by: str, what: str, try_next: str = "") -> NoReturn:
    """`from None` everywhere: the exceptions of subprocess carry the output."""
    raise AuthError(
        f"the credential helper docker-credential-{name}, named by {named_by}, {what}", hint=try_next or None
    ) from None
