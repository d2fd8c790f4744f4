"""Copies where registries ask who one is: a token for each pair of scopes, not for each blob."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.images import samples
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_core.testing.program import Sonar
    from tests.support.docker_registry import DockerRegistry
    from tests.support.tokens import TokenServer

pytestmark = pytest.mark.real


def test_tokens_are_few(
    token_server: Callable[..., TokenServer],
    docker_registry: Callable[..., DockerRegistry],
    sonar: Sonar,
    tmp_path: Path,
) -> None:
    """An image of 20 layers is pushed and mounted; each step asks for three tokens at most."""
    tokens = token_server(users={"user": "secret"})
    registry = docker_registry(token=tokens)
    sample = images.image(*(images.layer({f"{number}": images.noise(300, number)}) for number in range(20)))
    images.write_layout(tmp_path / "layout", {"v1": sample})
    login = {"SONAR_USERNAME": "user", "SONAR_PASSWORD": "secret", "SONAR_AUTH_REGISTRY": registry.host}
    program = replace(sonar, environment=login)
    steps = [
        ("push", f"oci:{tmp_path}/layout:v1", f"{registry.host}/auth/a:v1"),
        ("copy", f"{registry.host}/auth/a:v1", f"{registry.host}/auth/b:v1"),
        ("pull", f"{registry.host}/auth/b:v1", f"oci:{tmp_path}/end:v1"),
    ]
    for step in steps:
        before = len(tokens.origin.requests)
        run = program("image", *step)
        assert run.code == 0, run.stderr
        assert sample.digest in run.stdout
        assert len(tokens.origin.requests) - before <= 3
        assert ("mounted" in run.stdout) == (step[0] == "copy")


def test_without_credentials(docker_registry: Callable[..., DockerRegistry], sonar: Sonar, tmp_path: Path) -> None:
    """DESIGN 4: exit code 4, and nothing on disk."""
    registry = docker_registry(htpasswd={"user": "secret"})
    run = sonar("image", "pull", f"{registry.host}/auth/a:v1", f"oci:{tmp_path}/end:v1")
    assert run.code == 4
    assert "sonar auth login" in run.stderr
    assert not (tmp_path / "end").exists()
    images.write_layout(tmp_path / "layout", {"v1": samples.oci()})
    assert sonar("image", "push", f"oci:{tmp_path}/layout:v1", f"{registry.host}/auth/a:v1").code == 4
