"""What a command returned, on stdout: as text, as JSON, or through a template."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sonar_core.command import Raw
from sonar_core.errors import UsageError
from sonar_core.plain import to_plain
from sonar_core.redaction import printable, printable_lines

from . import output
from .options import Common

_IN_MEMORY = 4 * 1024 * 1024  # characters of a JSON array that are kept in memory
_BLOCK = 1024 * 1024

_BLOCK_ENCODERS = (str, bytes, Mapping)


class Renderer:
    """Shows results as the common options say. `text` turns one item into what is shown; `item` is what a template
    calls one that has no fields."""

    def __init__(self, common: Common, text: Callable[[Any], str] | None = None, item: str = "value") -> None:
        self._json = common.output == "json"
        self._template = None if common.format is None else _checked(common.format)
        self._text = text
        self._item = item

    def show(self, result: Any) -> None:
        """Show what a command returned. JSON is shown when all of it is there, lines as they come."""
        if isinstance(result, Raw):
            if self._json or self._template is not None:
                option = "-o json" if self._json else "--format"
                raise UsageError(f"the result is bytes as they are, which {option} does not apply to")
            output.write_bytes(result.blocks)
        elif self._json:
            if _is_list(result):
                _show_array(result)
            elif result is not None:
                output.write(json.dumps(to_plain(result), indent=2) + "\n")
        elif result is not None:
            items = result if _is_list(result) else (result,)
            output.write_lines(self._line(item) + "\n" for item in items)

    def _line(self, item: Any) -> str:
        if self._template is not None:
            return printable_lines(_fill(self._template, _named(self._item, to_plain(item))))
        if self._text is not None:
            return printable_lines(self._text(item))
        plain = to_plain(item)
        if isinstance(plain, dict):
            width = max((len(name) for name in plain), default=0)
            return "\n".join(f"{name + ':':{width + 1}} {_value(value)}" for name, value in plain.items())
        return _value(plain)


def _show_array(items: Iterable[Any]) -> None:
    """A JSON array, shown when all of it is there; kept as text meanwhile, on disk where it is long."""
    from tempfile import SpooledTemporaryFile

    with SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8") as kept:
        count = 0
        for item in items:
            text = json.dumps(to_plain(item), indent=2).replace("\n", "\n  ")
            kept.write(f"{',' if count else '['}\n  {text}")
            count += 1
        kept.write("\n]\n" if count else "[]\n")
        kept.seek(0)
        while block := kept.read(_BLOCK):
            output.write(block)


def _is_list(result: Any) -> bool:
    return isinstance(result, (list, tuple, Iterator)) or (
        isinstance(result, Iterable)
        and not isinstance(result, _BLOCK_ENCODERS)
        and not hasattr(result, "to_json")
        and not hasattr(type(result), "__dataclass_fields__")
    )


def _value(value: Any) -> str:
    if isinstance(value, str):
        return printable(value)
    if value is None:
        return "-"
    return printable(json.dumps(value, ensure_ascii=False))


class _Fields(string.Formatter):
    """`{config.labels.name}` reads keys and positions of plain data, and nothing else."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        value: Any = kwargs["item"]
        for part in field_name.split(".") if field_name else ():
            if isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            elif isinstance(value, dict) and part in value:
                value = value[part]
            else:
                known = ", ".join(value) if isinstance(value, dict) else "none here"
                raise UsageError(f"--format: there is no field {field_name!r}", hint=f"there are: {known}")
        plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
        return (value if plain else json.dumps(value)), field_name


def _named(name: str, item: Any) -> dict[str, Any]:
    return item if isinstance(item, dict) else {name: item}


def _fill(template: str, fields: dict[str, Any]) -> str:
    try:
        return _Fields().vformat(template, (), {"item": fields})
    except (ValueError, KeyError, IndexError) as error:
        raise UsageError(f"--format: {error}") from error


def _checked(template: str) -> str:
    """The template with its escapes. Raises UsageError where its braces do not match, before anything is sent."""
    template = template.replace("\\t", "\t").replace("\\n", "\n")
    try:
        list(_Fields().parse(template))
    except ValueError as error:
        raise UsageError(f"--format: {error}") from error
    return template
