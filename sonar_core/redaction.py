"""What must not be shown is taken out: user info, signed queries, and characters that drive a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

# Query parameters whose values are known to hold no secret (distribution-spec, docker token flow).
_PLAIN = frozenset(
    {
        "n",
        "last",
        "digest",
        "mount",
        "from",
        "artifactType",
        "tag",
        "service",
        "scope",
        "account",
        "client_id",
    }
)

# C0, DEL, C1, and the marks that reorder text (Unicode UAX #9; "Trojan Source", CVE-2021-42574), line and
# paragraph separators, and lone surrogates, which no UTF-8 terminal can be sent.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def redact_url(url: str) -> str:
    """`url` without user info and fragment, and with `…` for the values of queries that may be secret."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(a malformed URL)"
    query = "&".join(_redact_parameter(parameter) for parameter in parts.query.split("&") if parameter)
    prefix = f"{parts.scheme}://{host}" if host else ""
    return printable(prefix + parts.path + (f"?{query}" if query else ""))


def _redact_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if name in _PLAIN:
        return f"{name}={quote(unquote(value), safe='/:@,*._-')}"
    return f"{name[:40]}{equals}…" if equals else "…"


def without(text: str, secrets: Iterable[str]) -> str:
    """`text` with each of `secrets` shown as `…`: a server may repeat what it was told."""
    for secret in secrets:
        text = text.replace(secret, "…") if secret else text
    return text


def printable(text: str) -> str:
    """`text` with everything that could drive a terminal, or start a new line, shown as an escape."""
    if text.isascii() and text.isprintable():  # nearly always
        return text
    return _UNSAFE.sub(lambda match: _escape(match[0]), text)


def printable_lines(text: str) -> str:
    """As `printable`, but line ends and tabs stay: for text of several lines that sonar itself laid out."""
    return _UNSAFE.sub(lambda match: match[0] if match[0] in "\n\t" else _escape(match[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
