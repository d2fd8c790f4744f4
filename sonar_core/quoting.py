"""Strangers' text inside our messages: escaped, so that it can't drive a terminal, and cut, so that it stays one line."""

from __future__ import annotations

_LONGEST = 100


def escaped(text: str, longest: int = _LONGEST) -> str:
    """`text` with control characters, bidi marks and lone surrogates as `\\x1b`, cut after `longest` characters."""
    return quoted(text, longest)[1:-1]


def quoted(value: object, longest: int = _LONGEST) -> str:
    """`value` as `repr` shows it, cut after `longest` characters of text: `'ngi\\x1bnx'`."""
    if isinstance(value, str):
        return repr(value) if len(value) <= longest else repr(value[:longest] + "…")
    try:
        shown = repr(value)
    except (RecursionError, ValueError):  # nested very deeply; an int of more than 4300 digits
        return f"a {type(value).__name__}"
    return shown if len(shown) <= longest else shown[:longest] + "…"
