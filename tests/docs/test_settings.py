"""docs/settings.md: every setting, its default, and an example that is a config file."""

from __future__ import annotations

from pathlib import Path

from sonar_core.settings import Settings, about, option_names

from .blocks import ROOT, blocks

PAGE = ROOT / "docs" / "settings.md"


def test_every_setting_is_documented_as_it_is() -> None:
    rows = {
        cells[0].strip("` "): (cells[1].strip(), cells[2].strip())
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and len(cells := line.strip("|").split("|")) == 3
    }
    assert list(rows) == list(option_names())
    for name, (default, words) in rows.items():
        value = getattr(Settings(), name)
        if value is None or isinstance(value, bool):
            assert default == {None: "none", True: "true", False: "false"}[value]
        else:
            assert default.startswith("/") or float(default) == value
        assert words == about(name)


def test_the_example_is_a_config_file(tmp_path: Path) -> None:
    (example,) = blocks("docs/settings.md", "toml")["Settings"]
    file = tmp_path / "config.toml"
    file.write_text(example)
    settings = Settings.load(file, environ={})
    assert (settings.timeout, settings.jobs) == (10.0, 4)
    assert settings.plugin("acme")
