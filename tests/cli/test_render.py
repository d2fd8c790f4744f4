"""How results are shown: each kind of value, as text, as JSON, and as bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.cli.options import Common
from sonar_core.cli.render import Renderer
from sonar_core.command import Raw
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Row:
    name: str
    api_version: str | None = None
    parts: tuple[int, ...] = ()


DESCRIPTOR = Descriptor("a/b", Digest.of(b"x"), 5)


def generated() -> Iterator[str]:
    yield "one"
    yield "two"


@pytest.mark.parametrize(
    ("result", "text", "data"),
    [
        (None, "", None),
        ("word", "word\n", "word"),
        (5, "5\n", 5),
        (True, "true\n", True),
        ([], "", []),
        (["a", "b"], "a\nb\n", ["a", "b"]),
        (("a", None), "a\n-\n", ["a", None]),
        (generated, "one\ntwo\n", ["one", "two"]),
        ({"a": 1, "long": "x"}, "a:    1\nlong: x\n", {"a": 1, "long": "x"}),
        (
            Row("x", parts=(1, 2)),
            "name:       x\napiVersion: -\nparts:      [1, 2]\n",
            {"name": "x", "apiVersion": None, "parts": [1, 2]},
        ),
        (DESCRIPTOR, f"mediaType: a/b\ndigest:    {DESCRIPTOR.digest}\nsize:      5\n", DESCRIPTOR.to_json()),
        ("a\x1b[31m\nb", "a\\x1b[31m\\x0ab\n", "a\x1b[31m\nb"),
        ({}, "\n", {}),
    ],
)
def test_values(result: Any, text: str, data: object, capsys: pytest.CaptureFixture[str]) -> None:
    make = result if callable(result) else lambda: result
    Renderer(Common()).show(make())
    assert capsys.readouterr().out == text
    Renderer(Common(output="json")).show(make())
    out = capsys.readouterr().out
    assert (json.loads(out) if out else None) == data
    assert out.isascii()


def test_bytes_are_written_as_they_are(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    Renderer(Common()).show(Raw(iter([b"\x00\xff", b"\x1b[31m"])))
    assert capsysbinary.readouterr().out == b"\x00\xff\x1b[31m"


@pytest.mark.parametrize("common", [Common(output="json"), Common(format="{name}")])
def test_bytes_have_no_other_form(common: Common, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(UsageError, match="the result is bytes"):
        Renderer(common).show(Raw(iter([b"\x00"])))
    assert capsysbinary.readouterr().out == b""


def test_a_text_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    """It may have several lines and tabs; what would drive a terminal is escaped all the same."""
    show: Callable[[Any], str] = lambda row: f"{row.name}\t|\n  {row.api_version}"  # noqa: E731
    Renderer(Common(), show).show([Row("a\x1b"), Row("b", "\u202e")])
    assert capsys.readouterr().out == "a\\x1b\t|\n  None\nb\t|\n  \\u202e\n"


def test_a_template_of_lists_and_objects(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"config": {"labels": {"k": "v"}, "cmd": ["sh", "-c"]}, "ok": True, "none": None}
    template = "{config.labels.k} {config.cmd.1} {config.cmd} {ok} {none} {{}} {config.labels}"
    Renderer(Common(format=template)).show(row)
    assert capsys.readouterr().out == 'v -c ["sh", "-c"] true null {} {"k": "v"}\n'


@pytest.mark.parametrize(
    "template", ["{config.cmd.9}", "{config.cmd.x}", "{a.b}", "{}", "{config.labels.k.x}", "{ok:{nothing}}"]
)
def test_a_template_that_does_not_fit(template: str) -> None:
    row = {"config": {"labels": {"k": "v"}, "cmd": ["sh"]}, "ok": True}
    renderer = Renderer(Common(format=template))
    with pytest.raises(UsageError, match="--format: there is no field"):
        renderer.show(row)


@pytest.mark.parametrize("template", ["{", "}", "{a!x}", "{a.b", "{a}}"])
def test_a_template_that_is_none(template: str) -> None:
    with pytest.raises(UsageError, match="--format: "):
        Renderer(Common(format=template)).show({"a": 1})
