"""Progress on a terminal: bars, through a pseudo-terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import images
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_plugins.serve.server import EmbeddedRegistry
    from tests.support.proxy import Proxy


@pytest.fixture
def slow(sonar_registry: EmbeddedRegistry, proxy: Callable[..., Proxy]) -> str:
    """An image that takes about a second."""
    image = images.image(images.layer({"a": images.noise(300_000)}), images.layer({"b": images.noise(200_000, 1)}))
    push(f"http://{sonar_registry.host}", "slow", "v1", image)
    return f"{proxy(sonar_registry.host, rate=300_000).host}/slow:v1"


def on_terminal(*arguments: str, columns: int = 100) -> tuple[int, str, str]:
    """The exit code, what came on stdout (a pipe), and what was drawn on stderr (a terminal)."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sonar_core.cli", *arguments]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 65536):
            drawn += piece
    except OSError:  # EIO: the other end is closed
        pass
    os.close(ours)
    stdout, _ = process.communicate(timeout=20)
    return process.returncode, stdout.decode(), drawn.decode()


def test_bars(slow: str, tmp_path: Path) -> None:
    """Issue 4: "on a terminal, a bar for each transfer and one for the whole (rich, on stderr)"."""
    code, stdout, drawn = on_terminal("image", "pull", slow, f"oci:{tmp_path}/layout:x", "-o", "json")
    assert code == 0
    [result] = json.loads(stdout)
    assert "total" in drawn
    layers = sorted(result["sent"], key=lambda blob: int(blob["size"]))[-2:]
    assert all(layer["digest"][:19] in drawn for layer in layers)


def test_each_bar_is_one_line_on_a_narrow_terminal(slow: str, tmp_path: Path) -> None:
    code, _, drawn = on_terminal("image", "pull", slow, f"oci:{tmp_path}/layout:x", columns=40)
    assert code == 0
    lines = [re.sub("\x1b\\[[^a-zA-Z]*[a-zA-Z]", "", line).rpartition("\r")[2] for line in drawn.split("\r\n")]
    assert any("100%" in line for line in lines)
    assert {line.split()[0].partition(":")[0] for line in lines if line.strip()} == {"total", "sha256"}


def test_bars_are_taken_away_after_an_error(slow: str, tmp_path: Path) -> None:
    """The message is the last thing on the screen, and the cursor is shown again."""
    (tmp_path / "layout").write_text("a file")
    code, _, drawn = on_terminal("image", "pull", slow, f"oci:{tmp_path}/layout:x")
    assert code == 1
    assert "no directory" in drawn.splitlines()[-1]
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h")


@pytest.mark.parametrize("option", ["--progress=none", "-q"])
def test_no_bars(slow: str, tmp_path: Path, option: str) -> None:
    code, _, drawn = on_terminal("image", "pull", slow, f"oci:{tmp_path}/layout:x", option)
    assert (code, drawn) == (0, "")
