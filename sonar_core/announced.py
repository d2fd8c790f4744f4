"""What an answer says that content is called: `Docker-Content-Digest`, `Location`, `OCI-Subject`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .content import Digest
from .errors import BadReference, IntegrityError
from .quoting import quoted
from .redaction import redact_url

if TYPE_CHECKING:
    from .transport import Response

_HEADER = "Docker-Content-Digest"


def announced_digest(response: Response) -> Digest | None:
    """The `Docker-Content-Digest`; None where there is none. Raises IntegrityError where it is no digest."""
    text = response.headers.get(_HEADER, "").strip()
    if not text:
        return None
    try:
        return Digest.parse(text)
    except BadReference:
        raise IntegrityError(f"{redact_url(response.url)} answered with {_HEADER} {quoted(text)}") from None


def check_announced(response: Response, wanted: Digest) -> None:
    """Raises IntegrityError where the answer names content by another digest of the same algorithm than `wanted`."""
    found = announced_digest(response)
    if found is not None and found.algorithm == wanted.algorithm and found != wanted:
        raise IntegrityError(f"{redact_url(response.url)} answered with digest {found}, not {wanted}")


def check_stored(response: Response, wanted: Digest) -> None:
    """As `check_announced`, for the answer to a PUT: where no header names the digest, the `Location` may."""
    check_announced(response, wanted)
    if response.headers.get(_HEADER):
        return
    last = response.headers.get("Location", "").partition("?")[0].rpartition("/")[2].replace("%3A", ":")
    try:
        found = Digest.parse(last)
    except BadReference:
        return  # a tag, or an address elsewhere
    if found.algorithm == wanted.algorithm and found != wanted:
        raise IntegrityError(f"{redact_url(response.url)} was stored under digest {found}, not {wanted}")


def announced_subject(response: Response) -> Digest | None:
    """The `OCI-Subject`: a registry that sends it lists the manifest among the referrers of its subject.

    Distribution-spec, "Pushing Manifests with Subject".
    """
    try:
        return Digest.parse(response.headers.get("OCI-Subject", "").strip())
    except BadReference:
        return None
