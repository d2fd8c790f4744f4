"""Lists under `-o json`: one document, the same as `json.dumps` writes, however long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sonar_core.cli import render
from sonar_core.cli.options import Common
from sonar_core.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEMS: list[list[object]] = [[], ["a"], [{"a": [1, {"b": 2}], "c": "x\ny"}, 3, None], [[]], [{}]]


@pytest.mark.parametrize("items", ITEMS)
@pytest.mark.parametrize("in_memory", [4, 4_000_000])
def test_an_array_is_what_json_makes_of_the_whole(
    items: list[object], in_memory: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "_IN_MEMORY", in_memory)
    render.Renderer(Common(output="json")).show(iter(items))
    assert capsys.readouterr().out == json.dumps(items, indent=2) + "\n"


def test_nothing_is_shown_of_a_list_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """DESIGN, "The command line": `-o json` on failure prints nothing on stdout."""

    def broken() -> Iterator[str]:
        yield "a"
        raise NotFound("gone", status=404, url="")

    with pytest.raises(NotFound):
        render.Renderer(Common(output="json")).show(broken())
    assert capsys.readouterr().out == ""
