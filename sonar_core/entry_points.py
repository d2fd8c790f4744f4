"""The entry points of a group in all installed distributions, where one that is damaged does not hide the others."""

from __future__ import annotations

from importlib.metadata import Distribution, EntryPoint, distributions
from typing import NamedTuple


class FoundEntryPoint(NamedTuple):
    """An entry point, and the name and version of the distribution that brought it."""

    entry: EntryPoint
    distribution: str
    version: str


class UnreadableDistribution(NamedTuple):
    """A distribution that declares something in the group, and can't be read."""

    name: str
    reason: str


def find_entry_points(group: str, *, first: str) -> list[FoundEntryPoint | UnreadableDistribution]:
    """All of a group: those of the distribution `first`, then by distribution and name.

    The order of the file system, which `importlib.metadata` gives, is none.
    """
    found: list[FoundEntryPoint | UnreadableDistribution] = []
    seen: set[str] = set()
    for distribution in distributions():
        name = _folder(distribution)
        try:
            # Looked at as text first: parsing what every installed package declares takes longer than all else here.
            if f"[{group}]" not in (distribution.read_text("entry_points.txt") or ""):
                continue
            metadata = distribution.metadata
            name, version = metadata["Name"] or name, metadata["Version"] or ""
            if name in seen:  # a second one further down the path is hidden by the first, as for imports
                continue
            seen.add(name)
            found += [FoundEntryPoint(entry, name, version) for entry in distribution.entry_points.select(group=group)]
        except Exception as error:
            reason = f"its entry points can't be read: {type(error).__name__}: {error}"
            found.append(UnreadableDistribution(name, " ".join(reason.split())[:300]))
    return sorted(found, key=lambda one: _order(one, first))


def _order(found: FoundEntryPoint | UnreadableDistribution, first: str) -> tuple[bool, str, str, str]:
    if isinstance(found, UnreadableDistribution):
        return True, found.name, "", ""
    return found.distribution != first, found.distribution, found.entry.name, found.entry.value


def _folder(distribution: Distribution) -> str:
    """The name of its folder, for one whose metadata are damaged."""
    path = getattr(distribution, "_path", None)
    return str(getattr(path, "name", "unknown")).partition("-")[0]
