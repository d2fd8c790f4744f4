"""Import strings, `"package.module:name"`: how plugins name what is heavy."""

from __future__ import annotations

from typing import Any


def load(target: Any) -> Any:
    """The object that an import string names; anything but a text is returned as it is.

    Raises ImportError or AttributeError, as Python does, where it names nothing.
    """
    if not isinstance(target, str):
        return target
    module, separator, name = target.partition(":")
    if not separator or not name:
        raise ImportError(f"{target!r} is no import string; write it as 'package.module:name'")
    from importlib import import_module

    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found
