"""JSON from strangers: UTF-8 (RFC 8259) and I-JSON (RFC 7493), so that every reader sees the same document.

Python's own reader takes NaN, infinite numbers, duplicate names, unpaired surrogates, UTF-16 and any depth. Each has been
a way to show one document to a checker and another to its user, or to crash the one that comes later.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from sonar_core.errors import ContentError
from sonar_core.quoting import escaped, quoted

#: Arrays and objects within each other. An image config needs 4; plugins that embed documents need some more.
DEEPEST = 64

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(data: bytes, *, what: str) -> Any:
    """The value of the JSON document `data`; `what` names it in errors, as in "manifest of nginx:latest".

    Raises ContentError: not UTF-8, not JSON, NaN or infinite, a name twice in one object, an unpaired surrogate, an
    integer of thousands of digits, nested deeper than DEEPEST.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant, parse_float=_finite
        )
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
        raise ContentError(f"{what} is not valid JSON: {escaped(str(error))}") from None
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {quoted(twice)} appears twice in one object")
    return members


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {escaped(digits, 40)} is too large")
    return number


def _check_depth(value: Any) -> None:
    """Level by level and not by recursion: the document must not choose how deep our stack goes."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [child for node in level if isinstance(node, dict | list) for child in _children(node)]
        if not level:
            return
    raise RecursionError


def _children(node: dict[str, Any] | list[Any]) -> Any:
    return node.values() if isinstance(node, dict) else node


def _glimpse(data: bytes) -> str:
    """What came instead, where it is not JSON at all: a proxy's log-in page is the usual guest."""
    start = data[:40].lstrip()
    if start[:1] in (b"{", b"[") or not start:
        return ""
    return f" (it begins with {quoted(start.decode('utf-8', 'replace'), 30)})"
