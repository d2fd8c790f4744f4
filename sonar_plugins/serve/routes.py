"""Which operation a method and a path mean. Paths are read from their end: a repository may be called `a/blobs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sonar_core.errors import BadReference
from sonar_core.reference import check_path

from . import blobs, manifests, referrers
from .messages import Fault, Request, Response
from .service import Service, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

Operation = Callable[[Service, Request, Target], Response]


def ping(service: Service, request: Request, target: Target) -> Response:
    """GET /v2/ (end-1)."""
    return Response.of_json({})


PING: Mapping[str, Operation] = {"GET": ping}
CATALOG: Mapping[str, Operation] = {"GET": manifests.list_repositories}
TAGS: Mapping[str, Operation] = {"GET": manifests.list_tags}
MANIFESTS: Mapping[str, Operation] = {
    "GET": manifests.get_manifest,
    "PUT": manifests.put_manifest,
    "DELETE": manifests.delete_manifest,
}
REFERRERS: Mapping[str, Operation] = {"GET": referrers.list_referrers}
BLOBS: Mapping[str, Operation] = {"GET": blobs.get_blob, "DELETE": blobs.delete_blob}
NEW_UPLOAD: Mapping[str, Operation] = {"POST": blobs.start_upload}
UPLOAD: Mapping[str, Operation] = {
    "GET": blobs.get_upload,
    "PATCH": blobs.append_upload,
    "PUT": blobs.finish_upload,
    "DELETE": blobs.cancel_upload,
}


def answer(service: Service, request: Request) -> Response:
    """Do what a request asks for. Raises `Fault`."""
    service.authorize(request)
    operations, target = find(request.path)
    operation = operations.get("GET" if request.method == "HEAD" else request.method)
    if operation is None:
        allowed = (("Allow", ", ".join(operations)),)
        raise Fault(405, "UNSUPPORTED", f"{request.method} means nothing here", headers=allowed)
    if service.options.read_only and request.method not in ("GET", "HEAD"):
        raise Fault(405, "UNSUPPORTED", "this registry is read-only")
    return operation(service, request, target)


def find(path: str) -> tuple[Mapping[str, Operation], Target]:
    """The operations by method, and what they are about. Raises `Fault`: 404, or 400 for the name.

    The path is split before it is decoded, so that nothing is decoded into a slash.
    """
    parts = [unquote(part) for part in path.split("/")]
    if any("/" in part for part in parts):
        raise Fault(400, "NAME_INVALID", "a slash in a path is written as it is")
    match parts:
        case ["", "v2"] | ["", "v2", ""]:
            return PING, Target()
        case ["", "v2", "_catalog"]:
            return CATALOG, Target()
        case ["", "v2", *name, "blobs", "uploads", ""] | ["", "v2", *name, "blobs", "uploads"]:
            return NEW_UPLOAD, _target(name)
        case ["", "v2", *name, "blobs", "uploads", identity]:
            return UPLOAD, _target(name, identity)
        case ["", "v2", *name, "tags", "list"]:
            return TAGS, _target(name)
        case ["", "v2", *name, "manifests", reference]:
            return MANIFESTS, _target(name, reference)
        case ["", "v2", *name, "blobs", digest]:
            return BLOBS, _target(name, digest)
        case ["", "v2", *name, "referrers", digest]:
            return REFERRERS, _target(name, digest)
    raise Fault(404, "UNSUPPORTED", "there is nothing at this path")


def _target(name: Sequence[str], reference: str = "") -> Target:
    try:
        return Target(check_path("/".join(name)), reference)
    except BadReference as error:
        raise Fault(400, "NAME_INVALID", error.message) from None
