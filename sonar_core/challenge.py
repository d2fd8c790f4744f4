"""`WWW-Authenticate`: what a server asks for, parsed (RFC 9110, sections 11.2 to 11.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SPACE = re.compile(r"[ \t]*")
_LONGEST = 16 * 1024


@dataclass(frozen=True)
class Challenge:
    """One challenge. `scheme` is in lower case ("bearer"); the names in `parameters` are too."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    token68: str = ""

    @property
    def realm(self) -> str:
        """The `realm` parameter, or an empty text."""
        return self.parameters.get("realm", "")


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """All the challenges in the values of one or more `WWW-Authenticate` headers, in their order.

    What is malformed is passed over; what was understood before it counts. Never raises.
    """
    return tuple(challenge for header in headers for challenge in _parse(header[:_LONGEST]))


def _parse(text: str) -> Iterator[Challenge]:
    position = 0
    while position < len(text):
        position = _skip(text, position)
        found = _TOKEN.match(text, position)
        if not found:
            position += 1
            continue
        scheme = found[0].lower()
        position = _SPACE.match(text, found.end()).end()  # type: ignore[union-attr]
        token68 = ""
        bare = _TOKEN68.match(text, position)
        # A word behind a comma is the next scheme ("Negotiate, Basic …"): here a blank stands before it.
        if bare and position > found.end() and not _parameter(text, position):
            token68, position = bare[0], bare.end()
        parameters, position = _parameters(text, position)
        yield Challenge(scheme, parameters, token68)


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t,":
        position += 1
    return position


def _parameter(text: str, position: int) -> tuple[str, str, int] | None:
    """The parameter `name = value` that starts at `position`, and where it ends."""
    name = _TOKEN.match(text, position)
    if not name:
        return None
    equals = _SPACE.match(text, name.end()).end()  # type: ignore[union-attr]
    if text[equals : equals + 1] != "=":
        return None
    start = _SPACE.match(text, equals + 1).end()  # type: ignore[union-attr]
    quoted = _QUOTED.match(text, start)
    if quoted:
        return name[0].lower(), re.sub(r"\\(.)", r"\1", quoted[1]), quoted.end()
    # Registries leave out the quotes, also around a realm: take all up to the comma.
    bare = re.compile(r'[^,\s"=][^,\s"]*').match(text, start)
    return (name[0].lower(), bare[0], bare.end()) if bare else None


def _parameters(text: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    while True:
        start = _skip(text, position)
        found = _parameter(text, start)
        if found is None:
            return parameters, start
        name, value, position = found
        parameters.setdefault(name, value)
