"""Names as an archive has them, made into paths that can't lead out of the root."""

from __future__ import annotations

from sonar_core.errors import ContentError

MAX_NAME = 255  # NAME_MAX of Linux: no file system could hold a longer one
MAX_PATH = 4096  # PATH_MAX
MAX_DEPTH = 256

WHITEOUT = b".wh."
"""A name that begins so hides a lower layer's name (OCI image-spec, layer.md, "Whiteouts")."""
OPAQUE = b".wh..wh..opq"
"""Hides all that lower layers have in its directory."""
AUFS = b".wh..wh."
"""What AUFS kept for itself; old images carry it, and nobody reads it."""

_UNCLEAN = (b"//", b"/.", b"\0")


def show(path: bytes) -> str:
    """A path for a message: quoted, with everything that is not printable ASCII escaped."""
    return repr(path)[1:]


def clean(raw: bytes, what: str = "path") -> bytes:
    """The path below the root that `raw` names: no leading slash, no empty part, no `.`.

    Raises ContentError for `..`, for a NUL, and for what is longer than Linux allows.
    """
    path = raw.removeprefix(b"./").removesuffix(b"/")
    if 0 < len(path) <= MAX_NAME and path[0] not in b"./" and not any(map(path.__contains__, _UNCLEAN)):
        return path  # nearly all: nothing to clean, nothing too long
    parts = [part for part in raw.split(b"/") if part and part != b"."]
    if len(raw) > MAX_PATH or len(parts) > MAX_DEPTH:
        raise ContentError(f"a {what} is too long: {len(raw)} bytes, {len(parts)} parts")
    for part in parts:
        if part == b"..":
            raise ContentError(f"the {what} {show(raw)} has '..' in it")
        if len(part) > MAX_NAME:
            raise ContentError(f"a {what} has a part of {len(part)} bytes, more than {MAX_NAME}")
    path = b"/".join(parts)
    if b"\0" in path:
        raise ContentError(f"the {what} {show(raw)} has a NUL in it")
    return path


def join(parent: bytes, name: bytes) -> bytes:
    """`name` in the directory `parent`."""
    return parent + b"/" + name if parent else name


def ancestors(path: bytes) -> list[bytes]:
    """The directories above `path`, from the top, without the root: `a`, `a/b` for `a/b/c`."""
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]
