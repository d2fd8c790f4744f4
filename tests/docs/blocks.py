"""The code blocks of a Markdown file, by the heading that they stand under."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
_HEADING = re.compile(r"^#+ +(.*)$")


def blocks(file: str, language: str = "python") -> dict[str, list[str]]:
    """The blocks of `language` in `file` (a name below the project's root), by their heading."""
    found: dict[str, list[str]] = {}
    heading, inside, lines = "", False, []
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if inside:
                found.setdefault(heading, []).append("\n".join(lines) + "\n")
            inside, lines = line == f"```{language}", []
        elif inside:
            lines.append(line)
        elif match := _HEADING.match(line):
            heading = match[1]
    return found


def module(source: str, name: str) -> ModuleType:
    """`source` as a module of that name."""
    made = ModuleType(name)
    sys.modules[name] = made  # dataclasses look their module up
    exec(compile(source, name, "exec"), made.__dict__)  # noqa: S102 (the project's own documentation)
    return made
