"""docs/images.md: its examples run, its commands and options exist."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support import images
from tests.support.push import push

from .blocks import ROOT, blocks, module

if TYPE_CHECKING:
    from pathlib import Path

    from sonar_core.testing.program import Sonar
    from sonar_plugins.serve.server import EmbeddedRegistry

GUIDE = "docs/images.md"
EXAMPLES = blocks(GUIDE)["In a program"]


@pytest.fixture
def host(sonar_registry: EmbeddedRegistry) -> str:
    """A registry with the images that the guide names."""
    for name in ("hello", "app"):
        push(f"http://{sonar_registry.host}", name, "v1", images.image())
    return sonar_registry.host


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_run(
    number: int, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    module(EXAMPLES[number].replace("localhost:5000", host), f"images_example_{number}")
    assert images.image().blobs[1].digest in capsys.readouterr().out


def test_the_commands_on_tags_run(host: str, sonar: Sonar) -> None:
    """The lines of the section, one after the other."""
    text = (ROOT / GUIDE).read_text()
    section = text.partition("## Tags and deleting")[2].partition("\n## ")[0]
    lines = re.findall(r"^    sonar (.*?)(?: +#.*)?$", section, re.MULTILINE)
    assert len(lines) == 4
    for line in lines[:2]:
        run = sonar(*line.replace("localhost:5000", host).split())
        assert run.code == 0, run.stderr
    digest = sonar("image", "inspect", f"{host}/app:v1", "--format", "{digest}").stdout.strip()
    by_digest = lines[2].replace("localhost:5000", host).replace("sha256:…", digest).split()
    assert sonar(*by_digest).code == 0
    push(f"http://{host}", "app", "v1", images.image())
    assert sonar(*lines[3].replace("localhost:5000", host).split()).code == 0


def test_the_options_exist(sonar: Sonar) -> None:
    text = (ROOT / GUIDE).read_text()
    table = text.partition("## Options")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(--[a-z-]+)", table, re.MULTILINE)
    assert len(named) == 6
    for command in ("copy", "pull", "push"):
        shown = sonar("image", command, "--help").stdout
        assert [option for option in named if option not in shown] == []
