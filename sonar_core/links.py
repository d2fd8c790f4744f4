"""`Link` headers: where the next page of a list is (RFC 8288; OCI distribution-spec, "Listing Tags")."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LINK = re.compile(r"<([^<>]*)>((?:[^,<\"]|\"(?:[^\"\\]|\\.)*\")*)")
_PARAMETER = re.compile(r";\s*([^\s=;,\"]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]*))")


def next_link(headers: Iterable[str]) -> str | None:
    """The target whose `rel` is `next`, quoted or not, in the values of one or more `Link` headers."""
    for header in headers:
        for target, parameters in _LINK.findall(header[: 64 * 1024]):
            for name, quoted, bare in _PARAMETER.findall(parameters):
                if name.lower() == "rel":  # the first counts (RFC 8288, section 3.3)
                    if "next" in (quoted or bare).lower().split():
                        return str(target).strip()
                    break
    return None
