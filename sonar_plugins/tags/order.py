"""Orders of tags: by name, by version (Semantic Versioning 2.0.0, section 11), by age."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from .endpoint import Tag

_VERSION = re.compile(
    r"[vV]?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?(?:-([0-9A-Za-z.-]+))?(?:[_+][0-9A-Za-z._-]+)?"
)
_BEGINNING = datetime.min.replace(tzinfo=UTC)


def by_name(tag: Tag) -> tuple[Any, ...]:
    """By the characters of the name."""
    return (tag.tag,)


def by_version(tag: Tag) -> tuple[Any, ...]:
    """By version: what is none comes first, by name; a pre-release comes before its release."""
    found = _VERSION.fullmatch(tag.tag)
    if not found:
        return (0, (), (), tag.tag)
    numbers = tuple(int(part or 0) for part in found.groups()[:3])
    # No pre-release is more than any: (1,) against (0, …).
    pre = (0, *(_identifier(part) for part in found[4].split("."))) if found[4] else (1,)
    return (1, numbers, pre, tag.tag)


def _identifier(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdigit() and len(part) < 19 else (1, 0, part)


def by_age(tag: Tag) -> tuple[Any, ...]:
    """Oldest first; what does not say when it was made comes before all."""
    return (tag.created or _BEGINNING, tag.tag)


ORDERS = {"name": by_name, "semver": by_version, "created": by_age}
