"""Results as plain data, the kind that JSON has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any


def to_plain(value: Any) -> Any:
    """`value` as dicts, lists, texts, numbers, booleans and None.

    What has `to_json()` says itself how; other dataclasses become objects with their field names in lower camel
    case, the way the OCI specs write them.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "to_json"):
        return to_plain(value.to_json())
    if is_dataclass(value):
        return {_camel(field.name): to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(entry) for name, entry in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Iterable):
        return [to_plain(entry) for entry in value]
    return str(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
