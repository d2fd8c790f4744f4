"""For property tests: what a call gave, where an error of sonar's is one of the answers and any other is a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sonar_core.errors import SonarError

if TYPE_CHECKING:
    from collections.abc import Callable


def outcome(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What the call returned, or the SonarError that it raised; its message is one line that a terminal can show."""
    try:
        return call(*arguments, **options)
    except SonarError as error:
        raised = error
    assert str(raised).isprintable(), repr(str(raised))
    return raised
