"""`Link` headers: where the next page of a list is (RFC 8288; OCI distribution-spec, "Listing Tags")."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LINK = re.compile(r"<([^<>]*)>((?:[^,<\"]|\"(?:[^\"\\]|\\.)*\")*)")
_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)


def next_link(headers: Iterable[str]) -> str | None:
    """The target whose `rel` is `next`, quoted or not, in the values of one or more `Link` headers."""
    for header in headers:
        for target, parameters in _LINK.findall(header[: 64 * 1024]):
            found = _REL.search(parameters)
            if found and "next" in (found[1] or found[2] or "").lower().split():
                return str(target).strip()
    return None
