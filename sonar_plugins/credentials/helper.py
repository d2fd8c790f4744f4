"""Credential helpers: programs named `docker-credential-NAME` that keep logins (docker-credential-helpers' protocol).

The action is the argument (`get`, `store`, `erase`), the registry or a JSON document goes to stdin, and what comes
back on stdout is a secret, or an error that is not ours to show.
"""

from __future__ import annotations

import json
import re
import selectors
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

from sonar_core import strict_json
from sonar_core.auth_types import Credentials
from sonar_core.errors import AuthError, ContentError

if TYPE_CHECKING:
    from typing import NoReturn

TOKEN_USER = "<token>"  # noqa: S105 - the user name that says: the secret is an identity token

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_NOT_FOUND = b"credentials not found"
_LARGEST = 1024 * 1024  # bytes that a helper may answer


def get(name: str, server: str, *, seconds: float, named_by: str) -> Credentials | None:
    """What the helper has for `server`; None where it says that it has nothing. Raises AuthError where it fails.

    `seconds` is how long it may take, `named_by` the file that names it, for errors.
    """
    done = _run(name, "get", server.encode(), seconds, named_by)
    if done.not_found:
        return None
    if done.status:
        what = f"failed with exit status {done.status}"
        _fail(name, named_by, what, f"to see why: echo {server} | docker-credential-{name} get")
    try:
        answer = strict_json.loads(done.output, what="it")
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
    if done.status:
        _fail(name, named_by, f"did not store the credentials: exit status {done.status}")


def erase(name: str, server: str, *, seconds: float, named_by: str) -> bool:
    """Make the helper forget `server`; False where it says that it had nothing. Raises AuthError."""
    done = _run(name, "erase", server.encode(), seconds, named_by)
    if done.status and not done.not_found:
        _fail(name, named_by, f"did not erase the credentials: exit status {done.status}")
    return not done.not_found


@dataclass(frozen=True)
class _Done:
    """How a helper ended, and its output, which is never shown: it is a secret or may quote one."""

    status: int
    output: bytes = field(repr=False)
    errors: bytes = field(repr=False)

    @property
    def not_found(self) -> bool:
        """Whether it says that it has nothing: on stdout by the protocol, on stderr by some."""
        said = (self.output, self.errors)
        return self.status != 0 and any(text.strip().lower().startswith(_NOT_FOUND) for text in said)


def _run(name: str, action: str, data: bytes, seconds: float, named_by: str) -> _Done:
    if not _NAME.fullmatch(name):
        raise AuthError(f"{named_by} names a credential helper with other characters than A-Z a-z 0-9 . _ -")
    program = shutil.which(f"docker-credential-{name}")
    if program is None:
        _fail(name, named_by, "is not installed")
    try:
        process = subprocess.Popen(  # noqa: S603 - the name is checked, no shell
            [program, action], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
    except OSError as error:
        _fail(name, named_by, f"can't be run: {error.strerror}")
    try:
        output, errors = _converse(process, data, time.monotonic() + seconds)
        return _Done(process.wait(seconds), output, errors)
    except (TimeoutError, subprocess.TimeoutExpired):
        _fail(name, named_by, f"did not answer within {seconds:g} s", "--timeout allows more")
    except BufferError:
        _fail(name, named_by, "answered with something that is not credentials")
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            cast(IO[bytes], pipe).close()
        process.wait()


def _converse(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Give the process `data`, and take stdout and stderr up to their ends. Raises TimeoutError, BufferError.

    Not `communicate()`: that would take whatever comes, and a helper's child may keep a pipe open.
    """
    stdin, stdout, stderr = (cast(IO[bytes], pipe) for pipe in (process.stdin, process.stdout, process.stderr))
    with suppress(BrokenPipeError):
        stdin.write(data)
    stdin.close()
    taken = {stdout: bytearray(), stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in taken:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                pipe = cast(IO[bytes], key.fileobj)
                piece = pipe.read(_LARGEST)
                taken[pipe] += piece
                if not piece:
                    selector.unregister(pipe)
                if len(taken[pipe]) > _LARGEST:
                    raise BufferError
    return bytes(taken[stdout]), bytes(taken[stderr])


def _fail(name: str, named_by: str, what: str, try_next: str = "") -> NoReturn:
    raise AuthError(
        f"the credential helper docker-credential-{name}, named by {named_by}, {what}", hint=try_next or None
    ) from None
