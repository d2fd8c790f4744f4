"""A docker-registry that holds what skopeo pushed: sonar reads it, and says what skopeo says."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sonar_core.testing.program import Sonar
from tests.support import images
from tests.support.docker_registry import DockerRegistry, start_docker_registry
from tests.support.skopeo import Skopeo

TAGS = ("docker", "index", "oci")


@dataclass(frozen=True)
class Filled:
    """A registry, the repository in it, and the raw manifests by tag, as skopeo reads them."""

    host: str
    raw: dict[str, bytes]

    @property
    def repository(self) -> str:
        return f"{self.host}/team/app"

    def digest(self, tag: str) -> str:
        return f"sha256:{hashlib.sha256(self.raw[tag]).hexdigest()}"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """One OCI image, one of Docker's schema 2, one index: all pushed by skopeo."""
    directory = tmp_path_factory.mktemp("interop")
    skopeo = Skopeo.in_directory(directory / "skopeo")
    registry: DockerRegistry = start_docker_registry(directory / "registry")
    try:
        target = f"docker://{registry.host}/team/app"
        oci = images.write_layout(directory / "oci", {"oci": images.image(), "index": images.index()})
        docker = images.write_dir(directory / "docker", images.image(kind="docker"))
        quiet = ("copy", "--all", "--dest-tls-verify=false")
        skopeo(*quiet, f"oci:{oci}:oci", f"{target}:oci")
        skopeo(*quiet, f"oci:{oci}:index", f"{target}:index")
        skopeo(*quiet, f"dir:{docker}", f"{target}:docker")
        raw = {tag: skopeo("inspect", "--raw", "--tls-verify=false", f"{target}:{tag}").stdout for tag in TAGS}
        yield Filled(registry.host, raw)
    finally:
        registry.stop()


def is_json(text: str) -> bool:
    """As a user would check it."""
    return (
        subprocess.run([sys.executable, "-m", "json.tool"], input=text, text=True, capture_output=True).returncode == 0
    )


def test_check(filled: Filled, sonar: Sonar) -> None:
    shown = sonar("check", filled.host)
    assert shown.code == 0
    assert shown.stdout == f"{filled.host}: ok, registry/2.0, no authentication asked for\n"
    assert sonar("check", filled.host, "-o", "json").json == {
        "registry": filled.host,
        "url": f"http://{filled.host}/v2/",
        "status": 200,
        "auth": None,
        "apiVersion": "registry/2.0",
    }


def test_repositories_and_tags(filled: Filled, sonar: Sonar) -> None:
    assert sonar("repo", "ls", filled.host).stdout == "team/app\n"
    assert sonar("repo", "ls", filled.host, "-o", "json").json == ["team/app"]
    # docker-registry 2.8 lists tags in the order of its file system.
    assert sorted(sonar("tag", "ls", filled.repository).stdout.split()) == list(TAGS)
    assert sonar("tag", "ls", filled.repository, "--sort", "name", "-o", "json").json == list(TAGS)


def test_digests_of_tags_are_those_of_skopeo(filled: Filled, sonar: Sonar) -> None:
    lines = sonar("tag", "ls", filled.repository, "--digests", "--sort", "name").stdout.splitlines()
    assert [line.split("\t") for line in lines] == [[tag, filled.digest(tag)] for tag in TAGS]
    rows = sonar("tag", "ls", filled.repository, "--digests", "-o", "json").json
    assert {row["tag"]: row["digest"] for row in rows} == {tag: filled.digest(tag) for tag in TAGS}


@pytest.mark.parametrize("tag", TAGS)
def test_a_manifest_is_what_skopeo_reads_byte_for_byte(filled: Filled, sonar: Sonar, tag: str) -> None:
    reference = f"{filled.repository}:{tag}"
    assert sonar("manifest", "get", reference, "--raw").stdout.encode() == filled.raw[tag]
    assert sonar("manifest", "head", reference).stdout.strip() == filled.digest(tag)
    shown = sonar("manifest", "get", reference, "-o", "json")
    assert is_json(shown.stdout)
    assert shown.json == json.loads(filled.raw[tag])
    head = sonar("manifest", "head", reference, "-o", "json").json
    assert (head["digest"], head["size"]) == (filled.digest(tag), len(filled.raw[tag]))
    assert head["mediaType"] == json.loads(filled.raw[tag])["mediaType"]
    by_digest = f"{filled.repository}@{filled.digest(tag)}"
    assert sonar("manifest", "head", by_digest).stdout.strip() == filled.digest(tag)


def test_a_platform_is_chosen_from_an_index(filled: Filled, sonar: Sonar) -> None:
    entries = json.loads(filled.raw["index"])["manifests"]
    for entry in entries:
        platform = "/".join(entry["platform"][part] for part in ("os", "architecture"))
        done = sonar("manifest", "head", f"{filled.repository}:index", "--platform", platform)
        assert done.stdout.strip() == entry["digest"]
    missing = sonar("manifest", "head", f"{filled.repository}:index", "--platform", "linux/riscv64")
    assert missing.code == 3
    assert "linux/amd64" in missing.stderr
    assert missing.stdout == ""


def test_a_blob_has_the_bytes_of_its_digest(filled: Filled, sonar: Sonar, tmp_path: Path) -> None:
    layer = json.loads(filled.raw["oci"])["layers"][0]
    file = tmp_path / "layer"
    done = sonar("blob", "get", f"{filled.repository}@{layer['digest']}", "-O", str(file))
    assert done.code == 0, done.stderr
    assert f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" == layer["digest"]
    head = sonar("blob", "head", f"{filled.repository}@{layer['digest']}", "-o", "json").json
    assert head["size"] == layer["size"] == file.stat().st_size


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (lambda r: ("tag", "ls", f"{r.host}/no/such"), 3),
        (lambda r: ("manifest", "get", f"{r.repository}:nope"), 3),
        (lambda r: ("manifest", "head", f"{r.repository}:nope"), 3),
        (lambda r: ("blob", "get", f"{r.repository}@sha256:{'0' * 64}"), 3),
        (lambda r: ("blob", "head", f"{r.repository}@sha256:{'0' * 64}"), 3),
        (lambda r: ("tag", "ls", f"{r.host}/UPPER"), 2),
        (lambda r: ("manifest", "get", f"{r.repository}@sha256:short"), 2),
        (lambda r: ("check", "localhost:99999"), 2),
    ],
)
@pytest.mark.parametrize("output", [(), ("-o", "json")])
def test_a_failure_has_its_exit_code_one_line_and_nothing_on_stdout(
    filled: Filled, sonar: Sonar, arguments: Callable[[Filled], tuple[str, ...]], code: int, output: tuple[str, ...]
) -> None:
    done = sonar(*arguments(filled), *output)
    assert done.code == code, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("sonar: ")
