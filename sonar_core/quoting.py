"""Strangers' values inside our messages: escaped, so that they can't drive a terminal, and cut to stay short."""

from __future__ import annotations


def quoted(value: object, longest: int = 100) -> str:
    """Text as `repr` shows it, `'ngi\\x1bnx'`, cut after `longest` characters; other JSON values by their kind."""
    match value:
        case str():
            return repr(value) if len(value) <= longest else repr(value[:longest] + "…")
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value) if abs(value) < 2**64 else "a huge number"
        case dict():
            return "an object"
        case list():
            return "an array"
    return "nothing"


def escaped(text: str, longest: int = 100) -> str:
    """`text` as `quoted` shows it, without the quotes: for text that is nearly always plain."""
    return quoted(text, longest)[1:-1]
