"""`sonar tag ls` and `client.tags.list` (distribution-spec, end-8a and end-8b)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from sonar_core.errors import BadReference, NotFound, ProtocolError
from sonar_core.testing.scripted import Answer, Origin
from sonar_plugins.tags.endpoint import Tags
from tests.support.images import image
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.client import Client
    from tests.support.endpoints import Program

ALL = ["1.10.0", "1.2.0", "1.2.0-rc1", "latest", "v2"]


@pytest.fixture
def registry(scripted: Origin) -> Origin:
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"name": "a", "tags": ALL}))
    scripted.on("GET", "/v2/b/tags/list", Answer(200, json={"name": "b", "tags": ["x", "y"]}))
    return scripted


def test_digests_among_the_tags(scripted: Origin, clients: Callable[..., Client]) -> None:
    """Artifactory lists them."""
    digest = "sha256:" + "a" * 64
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"tags": ["v1", digest, None, "sha256-abc.sig", "a:b"]}))
    assert list(Tags(clients(scripted.host)).list("a")) == ["v1", "sha256-abc.sig", "a:b"]


@pytest.mark.parametrize("wrong", [5, {}, ["v1"], True])
def test_what_is_no_name(wrong: object, scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"tags": ["v1", wrong]}))
    items = Tags(clients(scripted.host)).list("a")
    assert next(items) == "v1"
    with pytest.raises(ProtocolError, match="hold something that is no name"):
        next(items)


@pytest.mark.parametrize(
    "path", ["", "A", "a//b", "../a", "a/../b", "a?n=1", "a b", "a:v1", "http://evil/a", "a" * 300]
)
def test_a_path_that_is_none(path: str, scripted: Origin, clients: Callable[..., Client]) -> None:
    """It is validated before it is part of a URL (CVE-2024-3727), and nothing is sent."""
    with pytest.raises(BadReference):
        list(Tags(clients(scripted.host)).list(path))
    assert scripted.connections == 0


def test_a_repository_that_is_not_there(scripted: Origin, clients: Callable[..., Client]) -> None:
    with pytest.raises(NotFound):
        list(Tags(clients(scripted.host)).list("a"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ALL),
        (("--include", r"^1\."), ["1.10.0", "1.2.0", "1.2.0-rc1"]),
        (("--include", "^v", "--include", "late"), ["latest", "v2"]),
        (("--include", r"^1\.", "--exclude", "rc"), ["1.10.0", "1.2.0"]),
        (("--exclude", "."), []),
        (("--limit", "2"), ["1.10.0", "1.2.0"]),
        (("--limit", "0"), []),
        (("--include", "2", "--limit", "1"), ["1.2.0"]),
        (("--sort", "name"), ["1.10.0", "1.2.0", "1.2.0-rc1", "latest", "v2"]),
        (("--sort", "semver"), ["latest", "1.2.0-rc1", "1.2.0", "1.10.0", "v2"]),
        (("--sort", "semver", "--reverse"), ["v2", "1.10.0", "1.2.0", "1.2.0-rc1", "latest"]),
        (("--sort", "semver", "--reverse", "--limit", "1"), ["v2"]),
        (("--reverse",), ALL[::-1]),
        (("--reverse", "--limit", "2"), ["v2", "latest"]),
    ],
)
def test_chosen_then_ordered_then_cut(
    options: tuple[str, ...], expected: list[str], registry: Origin, sonar: Program
) -> None:
    run = sonar("tag", "ls", f"{registry.host}/a", *options)
    assert run.code == 0, run
    assert run.stdout.splitlines() == expected
    assert sonar("tag", "ls", f"{registry.host}/a", *options, "-o", "json").json == expected


def test_several_repositories(registry: Origin, sonar: Program) -> None:
    """Shown as REPO:TAG, which can be copied; the choice and the limit hold for each."""
    host = registry.host
    run = sonar("tag", "ls", f"{host}/b", f"{host}/a", "--limit", "1")
    assert run.stdout.splitlines() == [f"{host}/b:x", f"{host}/a:1.10.0"]
    gone = sonar("tag", "ls", f"{host}/b", f"{host}/gone", f"{host}/a")
    assert gone.code == 3
    assert gone.stdout.splitlines() == [f"{host}/b:x", f"{host}/b:y"]
    assert f"{host}/v2/gone/tags/list" in gone.stderr


@pytest.mark.parametrize("option", [("--include", "("), ("--exclude", "[a"), ("--limit", "-1"), ("--sort", "size")])
def test_options_that_make_no_sense(option: tuple[str, str], registry: Origin, sonar: Program) -> None:
    run = sonar("tag", "ls", f"{registry.host}/a", *option)
    assert (run.code, run.stdout) == (2, "")
    assert registry.connections == 0


def test_real_registries(host: str, sonar: Program) -> None:
    path = f"tags-{uuid.uuid4().hex}"
    for tag in ("v1", "v2", "v10"):
        push(f"http://{host}", path, tag, image())
    assert sorted(sonar("tag", "ls", f"{host}/{path}").stdout.split()) == ["v1", "v10", "v2"]
    assert sonar("tag", "ls", f"{host}/{path}", "--sort", "semver", "-o", "json").json == ["v1", "v2", "v10"]
    gone = sonar("tag", "ls", f"{host}/{path}/none")
    assert (gone.code, gone.stdout) == (3, "")
    assert "NAME_UNKNOWN" in gone.stderr
