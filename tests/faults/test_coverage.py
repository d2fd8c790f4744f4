"""Every rule of docs/ROBUSTNESS-AUDIT.md is named by a test, and every id that a test names is a rule there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_AUDIT = _ROOT / "docs" / "ROBUSTNESS-AUDIT.md"
_ROW = re.compile(r"^\| ([A-Z]\d+) \|(.*)\|$", re.MULTILINE)
_NAMED = re.compile(r"\b([TANBLDP]\d{1,2})\b(?=[:/])")
RULES = {number: [cell.strip() for cell in rest.split("|")] for number, rest in _ROW.findall(_AUDIT.read_text())}


def _tests() -> dict[str, list[str]]:
    """The ids named at the start of a docstring of a test, with the tests that name them."""
    found: dict[str, list[str]] = {}
    for path in sorted((_ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                start = (ast.get_docstring(node) or "").partition("\n")[0]
                for number in _NAMED.findall(start):
                    found.setdefault(number, []).append(f"{path.relative_to(_ROOT)}::{node.name}")
    return found


_TESTS = _tests()


@pytest.mark.parametrize("number", sorted(RULES))
def test_each_rule_is_tested(number: str) -> None:
    assert _TESTS.get(number), f"no test names {number}: {RULES[number][0]}"


@pytest.mark.parametrize("number", sorted(RULES))
def test_the_code_that_the_audit_names_exists(number: str) -> None:
    """The page says where each rule lives; a file that moved must move there too."""
    files = re.findall(r"`([\w/]+\.py)`", RULES[number][1])
    assert files, f"{number} names no code"
    assert [name for name in files if not (_ROOT / name).is_file()] == []


def test_no_test_names_a_rule_that_is_not_there() -> None:
    assert sorted(set(_TESTS) - set(RULES)) == []
    assert len(RULES) >= 30
