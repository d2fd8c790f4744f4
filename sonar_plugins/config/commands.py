"""`sonar config show`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from sonar_core.cli.arguments import registry_argument
from sonar_core.redaction import printable
from sonar_core.reference import Registry
from sonar_core.settings import Settings, about, option_names


@dataclass(frozen=True)
class SettingRow:
    """A setting: its value, where that comes from ("default", a file, a variable, an option), and what it does."""

    name: str
    value: Any
    source: str
    about: str


def show(
    settings: Settings,
    registry: Annotated[Registry | None, registry_argument("; unless given, what holds for all.")] = None,
) -> list[SettingRow]:
    """Show the settings in force, and where each comes from; with REGISTRY, those for that one.

    Highest first: options, SONAR_* variables, [registry."HOST"] in the config file, its top, the default.
    """
    found = settings.for_registry(registry) if registry else settings
    return [
        SettingRow(name, getattr(found, name), found.sources.get(name, "default"), about(name))
        for name in option_names()
    ]


def text(row: SettingRow) -> str:
    """`name = value  # source: what it does`."""
    words = {None: "(none)", True: "true", False: "false"}
    # By kind: 0.0 and 1.0 equal False and True.
    value = words[row.value] if row.value is None or isinstance(row.value, bool) else f"{row.value}"
    return f"{row.name} = {printable(value)}  # {printable(row.source)}: {row.about}"
