"""The example plugins, installed into a fresh environment and used through the program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sonar_plugins.serve.server import EmbeddedRegistry
from tests.support import images
from tests.support.push import push

from .conftest import EXAMPLES, ROOT, Fresh


def test_the_program_runs_from_the_wheel_and_not_from_the_sources(fresh: Fresh) -> None:
    assert fresh.run("sonar", "--version").stdout == f"sonar {version()}\n"
    where = fresh.run("python", "-c", "import sonar_core; print(sonar_core.__file__)").stdout
    assert str(fresh.directory) in where


def version() -> str:
    from sonar_core import __version__

    return __version__


def test_every_plugin_is_listed_with_its_distribution(fresh: Fresh) -> None:
    done = fresh.run("sonar", "plugin", "ls", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = json.loads(done.stdout)
    assert {example.name for example in EXAMPLES} <= {row["distribution"] for row in rows}
    assert all(row["state"] == "ok" for row in rows)


def test_a_command_of_a_plugin_stands_in_the_group_it_was_added_to(fresh: Fresh) -> None:
    assert "newest" in fresh.run("sonar", "tag", "--help").stdout
    with EmbeddedRegistry() as registry:
        push(registry.url, "app", "v1", images.image())
        done = fresh.run("sonar", "tag", "newest", f"{registry.host}/app", "-o", "json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["tag"] == "v1"
        none = fresh.run("sonar", "tag", "newest", f"{registry.host}/nope")
        assert none.returncode == 3


def test_a_plugin_can_be_left_out(fresh: Fresh) -> None:
    done = fresh.run("sonar", "tag", "newest", "localhost:1/app", SONAR_DISABLE_PLUGINS="newest")
    assert done.returncode == 2
    assert "newest" in done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_its_own_tests_pass(fresh: Fresh, example: Path) -> None:
    done = fresh.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(example), str(example))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_every_example_says_what_it_is(fresh: Fresh) -> None:
    for example in EXAMPLES:
        assert (example / "README.md").is_file(), example
        assert f"examples/{example.name}" in (ROOT / "CONTRIBUTING.md").read_text()
