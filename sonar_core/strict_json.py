"""JSON from strangers: UTF-8 (RFC 8259) and I-JSON (RFC 7493), so that every reader sees the same document.

Python's own reader takes NaN, infinite numbers, duplicate names, unpaired surrogates, UTF-16 and any depth. Each has
been a way to show one document to a checker and another to its user, or to crash the code that comes later.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from sonar_core.errors import ContentError
from sonar_core.quoting import escaped, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How many arrays and objects may stand in each other. An image config needs 4.
DEEPEST = 64

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(data: bytes, *, what: str) -> Any:
    """The value of the JSON document `data`; `what` names it in errors, as in "manifest of nginx:latest".

    Raises ContentError: not UTF-8, not JSON, NaN or infinite, a name twice in one object, half a surrogate pair,
    an integer of thousands of digits, nested deeper than DEEPEST.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite)
        _check_depth(value)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ContentError(f"{what} is JSON nested too deeply; at most {DEEPEST} levels are read") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ContentError(f"{what} is not valid JSON: {error.msg} at {where}{_glimpse(data)}") from None
    except UnicodeDecodeError as error:
        raise ContentError(f"{what} is not valid JSON: not UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise ContentError(f"{what} is not valid JSON: half of a surrogate pair in a string") from None
    except ValueError as error:
        raise ContentError(f"{what} is not valid JSON: {error}") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"the name {quoted(name)} stands twice in one object")
        members[name] = value
    return members


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {escaped(digits, 40)} is too large")
    return number


def _check_depth(value: Any) -> None:
    """Level by level, not by recursion: the document must not choose how deep our stack goes."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise RecursionError


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _glimpse(data: bytes) -> str:
    """What came instead, where it is not JSON at all: a proxy's log-in page is the usual guest."""
    start = data[:60].lstrip()
    if not start or start[:1] in b"{[":
        return ""
    return f" (it begins with {quoted(start.decode('utf-8', 'replace'), 30)})"
