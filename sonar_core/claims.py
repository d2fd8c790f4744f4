"""What plugins declare, each under a name: whether it is well-formed, its key, and how it is called in messages."""

from __future__ import annotations

from typing import Any, TypeVar

from .hookspecs import AuthScheme, Command, Endpoint, StoreScheme

T = TypeVar("T")

# The hooks that declare something, and what each declares.
DECLARED: dict[str, type] = {
    "sonar_auth_schemes": AuthScheme,
    "sonar_endpoints": Endpoint,
    "sonar_commands": Command,
    "sonar_stores": StoreScheme,
}


def checked(value: Any, kind: type[T]) -> T:
    """`value`, if it is a well-formed `kind`. Raises TypeError, ValueError: it would break what others declared."""
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    match value:
        case Command():
            if not isinstance(value.path, tuple) or not value.path or not all(map(_is_word, value.path)):
                raise ValueError(f"{value.path!r} is no path of a command, as ('tag', 'ls')")
            if not isinstance(value.summary, str):
                raise TypeError(f"the summary of {words_for(value)} is no text")
        case Endpoint():
            if not isinstance(value.name, str) or not value.name.isidentifier():
                raise ValueError(f"{value.name!r} is no name of an endpoint")
            if not isinstance(value.registries, tuple) or not all(isinstance(r, str) for r in value.registries):
                raise TypeError(f"the registries of {words_for(value)} are no tuple of texts")
        case AuthScheme():
            if not _is_word(value.name):
                raise ValueError(f"{value.name!r} is no name of an auth scheme")
        case StoreScheme():
            if not isinstance(value.prefix, str) or set(value.prefix) & set(":/ "):
                raise ValueError(f"{value.prefix!r} is no prefix of a store")
    return value


def _is_word(text: object) -> bool:
    return isinstance(text, str) and text.isprintable() and text != "" and " " not in text and text[0] != "-"


def key_of(value: Any) -> object:
    """What no other claim of the same kind may have."""
    match value:
        case Command():
            return value.path
        case Endpoint():
            return value.name, value.registries
        case AuthScheme():
            return value.name.lower()
    return value.prefix


def words_for(value: Any) -> str:
    """What it is called in a message, and by `plugin ls`."""
    match value:
        case Command():
            return f"command {' '.join(value.path)}"
        case Endpoint():
            where = f" for {', '.join(value.registries)}" if value.registries else ""
            return f"endpoint {value.name}{where}"
        case AuthScheme():
            return f"scheme {value.name}"
    return f"store {value.prefix or 'of plain references'}"
