"""Completion of commands, repositories and tags: by asking the registry, and silent where that fails."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sonar_core.cli.completion import complete_reference, complete_repository
from sonar_core.testing.scripted import HANG, Answer, Origin
from tests.plugin.packages import Packages

if TYPE_CHECKING:
    from pathlib import Path

    from sonar_core.testing.program import Sonar


@pytest.fixture
def registry(scripted: Origin) -> Origin:
    scripted.on("GET", "/v2/_catalog", Answer(200, json={"repositories": ["team/app", "team/db", "web"]}))
    scripted.on("GET", "/v2/team/app/tags/list", Answer(200, json={"tags": ["v1", "v2", "latest"]}))
    return scripted


def test_repositories(registry: Origin) -> None:
    host = registry.host
    assert complete_repository(f"{host}/te") == [f"{host}/team/app", f"{host}/team/db"]
    assert complete_repository(f"{host}/") == [f"{host}/team/app", f"{host}/team/db", f"{host}/web"]
    assert complete_repository(f"{host}/nothing") == []


def test_tags(registry: Origin) -> None:
    name = f"{registry.host}/team/app"
    assert complete_reference(f"{name}:v") == [f"{name}:v1", f"{name}:v2"]
    assert complete_reference(f"{name}:") == [f"{name}:v1", f"{name}:v2", f"{name}:latest"]
    assert complete_reference(f"{registry.host}/we") == [f"{registry.host}/web"]


@pytest.mark.parametrize(
    "typed", ["", "ngi", "localhost:1/", "localhost:1/a:", "no host/", "UPPER/x:", "localhost:99999/a:"]
)
def test_what_can_not_be_asked_for(typed: str) -> None:
    """Nothing, and nothing said. Without a registry nobody is asked: Docker Hub lists nothing."""
    assert complete_reference(typed) == []


def test_a_registry_that_fails_is_asked_once(scripted: Origin) -> None:
    scripted.default = Answer(503)
    assert complete_reference(f"{scripted.host}/a:") == []
    assert len(scripted.requests) == 1


def test_a_registry_that_hangs(scripted: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonar_core.cli.completion._SECONDS", 0.1)
    scripted.default = HANG
    assert complete_repository(f"{scripted.host}/a") == []


def complete(sonar: Sonar, *words: str) -> tuple[list[str], str]:
    """What bash is offered behind `words`, and what was said on stderr."""
    environment = {
        "_SONAR_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("sonar", *words)),
        "COMP_CWORD": str(len(words)),
    }
    run = replace(sonar, environment={**sonar.environment, **environment})()
    return run.stdout.split(), run.stderr


def test_the_program_completes(registry: Origin, process: Sonar) -> None:
    assert complete(process, "tag", "")[0] >= ["add", "ls", "rm"]
    assert "tag" in complete(process, "t")[0]
    assert "--digests" in complete(process, "tag", "ls", "--di")[0]
    found, said = complete(process, "tag", "ls", f"{registry.host}/te")
    assert found == [f"{registry.host}/team/app", f"{registry.host}/team/db"]
    assert said == ""


def test_bash_splits_words_at_colons(registry: Origin, process: Sonar) -> None:
    """What stands behind the last colon is all that bash replaces, so it is all that is answered."""
    host, port = registry.host.split(":")
    assert complete(process, "tag", "ls", host, ":", f"{port}/te")[0] == [f"{port}/team/app", f"{port}/team/db"]
    assert complete(process, "manifest", "get", host, ":", f"{port}/team/app", ":")[0] == ["v1", "v2", "latest"]
    assert complete(process, "manifest", "get", host, ":", f"{port}/team/app", ":", "v")[0] == ["v1", "v2"]
    assert complete(process, "manifest", "get", host, ":", f"{port}/web", "--plat")[0] == ["--platform"]
    assert complete(process, "tag", "ls", host, ":", f"{port}/web", "")[0] == []


def test_a_broken_plugin_says_nothing_while_completing(process: Sonar, tmp_path: Path, registry: Origin) -> None:
    """It would be written into the line that is typed."""
    Packages(tmp_path / "p").install("acme", "raise RuntimeError('broken')")
    with_acme = replace(process, environment={"PYTHONPATH": str(tmp_path / "p")})
    assert complete(with_acme, "ta") == (["tag"], "")
    found, said = complete(with_acme, "tag", "ls", f"{registry.host}/w")
    assert (found, said) == ([f"{registry.host}/web"], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(shell: str, process: Sonar) -> None:
    run = replace(process, environment={"_SONAR_COMPLETE": f"source_{shell}"})()
    assert run.code == 0
    assert "sonar" in run.stdout
