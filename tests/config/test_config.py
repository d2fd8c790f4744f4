"""`sonar config show`: what is in force, and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonar_core.settings import option_names

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.endpoints import Program


def test_every_setting_with_its_source(sonar: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sonar.toml"
    file.write_text('jobs = 3\ninsecure = true\n[registry."ghcr.io"]\njobs = 4\n')
    monkeypatch.setenv("SONAR_ATTEMPTS", "2")
    run = sonar("config", "show", "--config", str(file), "--timeout", "7", "-o", "json")
    rows = {row["name"]: row for row in run.json}
    assert list(rows) == list(option_names())
    assert (rows["jobs"]["value"], rows["jobs"]["source"]) == (3, str(file))
    assert (rows["timeout"]["value"], rows["timeout"]["source"]) == (7, "--timeout")
    assert (rows["attempts"]["value"], rows["attempts"]["source"]) == (2, "SONAR_ATTEMPTS")
    assert (rows["ca_file"]["value"], rows["ca_file"]["source"]) == (None, "default")
    assert all(row["about"] for row in rows.values())

    here = sonar("config", "show", "ghcr.io", "--config", str(file))
    assert f'jobs = 4  # {file} [registry."ghcr.io"]: ' in here.stdout
    assert "insecure = true  # " in here.stdout
    assert "ca_file = (none)  # default: " in here.stdout
    assert len(here.stdout.splitlines()) == len(option_names())


def test_a_broken_file_is_said(sonar: Program, tmp_path: Path) -> None:
    file = tmp_path / "sonar.toml"
    file.write_text("timeout = \x1b")
    run = sonar("config", "show", "--config", str(file))
    assert (run.code, run.stdout) == (2, "")
    assert f"the config file {file} is not TOML" in run.stderr
    assert "\x1b" not in run.stderr


def test_a_number_that_equals_a_truth_value_is_shown_as_a_number(sonar: Program) -> None:
    shown = sonar("config", "show", "--timeout", "1").stdout.splitlines()
    assert [line.partition("  #")[0] for line in shown if line.startswith(("timeout", "requests", "insecure"))] == [
        "timeout = 1.0",
        "requests_per_second = 0.0",
        "insecure = false",
    ]
