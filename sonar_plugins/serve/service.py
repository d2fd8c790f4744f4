"""What the operations share: the storage, the open uploads, the options; and how they find what was asked for."""

from __future__ import annotations

import base64
import bisect
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from sonar_core.content import Digest
from sonar_core.errors import BadReference

from .messages import Fault, Headers, Request
from .uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .referrers import Referrer
    from .storage import Repository, Storage


@dataclass(frozen=True)
class Options:
    """How the registry behaves. The defaults are the whole of the spec; the rest is what real registries do.

    `page_size`: how many entries of a list come in one answer where the client gives no `n`. `users`: passwords by
    name; where there are any, Basic authentication is asked for. `sparse`: take manifests whose content is missing.
    """

    read_only: bool = False
    tag_delete: bool = True
    referrers: bool = True
    sparse: bool = False
    page_size: int = 1000
    users: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Target:
    """What a path points to. `reference` is the last part of it, decoded and not yet checked."""

    repository: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Service:
    """One registry, without its HTTP."""

    storage: Storage
    options: Options
    uploads: Uploads
    subjects: dict[Digest, Referrer | None] = field(default_factory=dict)  # what manifests refer to, once read

    def repository(self, target: Target) -> Repository:
        """The repository. Raises `Fault` (404) if there is none of that name."""
        repository = self.storage.find(target.repository)
        if repository is None:
            raise Fault(404, "NAME_UNKNOWN", f"there is no repository {target.repository}")
        return repository

    def authorize(self, request: Request) -> None:
        """Raises `Fault` (401) unless the request is by one of the users, if there are any (RFC 7617)."""
        users = self.options.users
        if not users:
            return
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(secret).decode().partition(":")
            except ValueError:
                name = password = ""
            if hmac.compare_digest(users.get(name, "").encode(), password.encode()) and name in users:
                return
        challenge = (("WWW-Authenticate", 'Basic realm="sonar"'),)
        raise Fault(401, "UNAUTHORIZED", "authentication required", headers=challenge)


def digest_of(text: str | None) -> Digest:
    """A digest from a request. Raises `Fault` (400)."""
    try:
        return Digest.parse(text or "")
    except BadReference as error:
        raise Fault(400, "DIGEST_INVALID", error.message) from None


def read(repository: Repository, digest: Digest) -> bytes | None:
    """The bytes of a manifest, or None if it is not there."""
    content = repository.open(digest)
    if content is None:
        return None
    try:
        return content.read()
    finally:
        content.close()


def page(items: Sequence[str], request: Request, size: int) -> tuple[Sequence[str], Headers]:
    """The part of a sorted list that `n` and `last` ask for, and the `Link` to the next one (spec, end-8b)."""
    number, last = request.parameter("n"), request.parameter("last")
    if number is not None:
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise Fault(400, "PAGINATION_NUMBER_INVALID", "n is not a number")
        size = int(number)
    start = bisect.bisect_right(items, last) if last else 0
    part = items[start : start + size]
    if not part or start + size >= len(items):
        return part, ()
    return part, (link(request, n=str(size), last=part[-1]),)


def link(request: Request, **parameters: str) -> tuple[str, str]:
    """The header `Link` to the next page (RFC 8288), relative to the registry."""
    return "Link", f'<{request.path}?{urlencode(parameters)}>; rel="next"'
