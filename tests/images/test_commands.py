"""The commands: what they show, what they refuse, how progress looks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.images import samples
from tests.support import images
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_core.testing.program import Sonar
    from sonar_plugins.serve.server import EmbeddedRegistry
    from tests.support.proxy import Proxy


@pytest.fixture
def host(sonar_registry: EmbeddedRegistry) -> str:
    """A registry with `a/b:v1` (an OCI image), `:v2` (an index of 8)."""
    url = f"http://{sonar_registry.host}"
    push(url, "a/b", "v1", samples.oci())
    push(url, "a/b", "v2", samples.many_platforms())
    return sonar_registry.host


def test_copy_as_json(sonar: Sonar, host: str, tmp_path: Path) -> None:
    """Issue 4: "the result on stdout lists what was done (mounted, skipped, sent, bytes, seconds)"."""
    run = sonar("image", "copy", f"{host}/a/b:v1", f"oci:{tmp_path}/layout:x", "-o", "json")
    assert run.code == 0
    assert run.stderr == ""
    found, sample = run.json, samples.oci()
    assert found["digest"] == found["sourceDigest"] == sample.digest
    assert {blob["digest"]: blob["size"] for blob in found["sent"]} == {b.digest: len(b.data) for b in sample.blobs}
    assert found["bytes"] == sum(len(blob.data) for blob in sample.blobs) + len(sample.manifest.data)
    assert (found["mounted"], found["skipped"], found["unchanged"], found["dryRun"]) == ([], [], False, False)
    assert [each["digest"] for each in found["manifests"]] == [sample.digest]
    assert found["seconds"] > 0


def test_copy_as_text(sonar: Sonar, host: str, tmp_path: Path) -> None:
    run = sonar("image", "copy", f"{host}/a/b:v1", f"oci:{tmp_path}/layout:x")
    moved = f"{host}/a/b:v1 -> oci:{tmp_path}/layout:x"
    assert run.stdout.startswith(f"{moved}: {samples.oci().digest} (4 sent, ")
    again = sonar("image", "copy", f"{host}/a/b:v1", f"oci:{tmp_path}/layout:x")
    assert again.stdout == f"{moved}: unchanged, {samples.oci().digest}\n"


def test_pull_several(sonar: Sonar, host: str, tmp_path: Path) -> None:
    """Issue 4: "several references at once": they keep their tags."""
    run = sonar("image", "pull", f"{host}/a/b:v1", f"{host}/a/b:v2", f"oci:{tmp_path}/layout", "-o", "json")
    assert [each["digest"] for each in run.json] == [samples.oci().digest, samples.many_platforms().digest]
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    names = [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]]
    assert names == ["v1", "v2"]


def test_pull_several_into_one_docker_archive(sonar: Sonar, host: str, tmp_path: Path) -> None:
    run = sonar("image", "pull", f"{host}/a/b:v1", f"{host}/a/b:v2", f"docker-archive:{tmp_path}/d.tar")
    assert run.code == 0
    listed = sonar("image", "inspect", f"docker-archive:{tmp_path}/d.tar:{host}/a/b:v2", "--format", "{digest}")
    assert listed.stdout.strip() == samples.many_platforms().digest


def test_two_images_of_one_name(sonar: Sonar, host: str, tmp_path: Path) -> None:
    run = sonar("image", "pull", f"{host}/a/b:v1", f"{host}/a/c:v1", f"oci:{tmp_path}/layout")
    assert run.code == 2
    assert "would both become v1" in run.stderr


def test_push_to_several(sonar: Sonar, host: str, tmp_path: Path) -> None:
    images.write_layout(tmp_path / "layout", {"x": samples.docker()})
    run = sonar("image", "push", f"oci:{tmp_path}/layout:x", f"{host}/p:one", f"{host}/p:two")
    assert run.code == 0
    for tag in ("one", "two"):
        shown = sonar("image", "inspect", f"{host}/p:{tag}", "--format", "{digest} {mediaType}").stdout
        assert shown == f"{samples.docker().digest} {samples.docker().manifest.media_type}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("pull", "only/one"),
        ("pull", "a/b:v1", "not-a-place"),
        ("push", "oci:x", "oci:y"),
        ("copy", "a/b:v1", "oci:"),
        ("copy", "a/b:v1", "oci:dir:"),
        ("copy", "A/B", "oci:dir"),
        ("copy", "a/b@sha256:abc", "oci:dir"),
        ("copy", "a/b", "docker-archive:f.tar:UPPER"),
        ("copy", "a/b:v1", "oci:dir:t", "--platform", "nonsense/x/y/z"),
        ("copy", "a/b:v1", "oci:dir:t", "--jobs", "0"),
    ],
)
def test_bad_usage(sonar: Sonar, arguments: tuple[str, ...]) -> None:
    """DESIGN 4: exit code 2, nothing was sent."""
    run = sonar("image", *arguments)
    assert run.code == 2, run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize("location", ["oci:{}/none:v1", "oci-archive:{}/none.tar", "docker-archive:{}/none.tar"])
def test_what_is_not_there(sonar: Sonar, location: str, tmp_path: Path) -> None:
    """DESIGN 4: exit code 3."""
    run = sonar("image", "inspect", location.format(tmp_path))
    assert run.code == 3
    assert len(run.stderr.splitlines()) == 1


def test_names_that_a_layout_lacks(sonar: Sonar, tmp_path: Path) -> None:
    images.write_layout(tmp_path / "layout", {"one": samples.oci(), "two": samples.docker()})
    missing = sonar("image", "inspect", f"oci:{tmp_path}/layout:three")
    assert missing.code == 3
    assert "there are: one, two" in missing.stderr
    several = sonar("image", "inspect", f"oci:{tmp_path}/layout")
    assert several.code == 2
    assert "there are: one, two" in several.stderr


def test_a_smaller_index_is_said_to_be_one(sonar: Sonar, host: str, tmp_path: Path) -> None:
    run = sonar(
        "image", "copy", f"{host}/a/b:v2", f"oci:{tmp_path}/l:x", "--platform", "linux/amd64", "--platform", "linux/386"
    )
    assert run.code == 0
    assert "a smaller index" in run.stderr
    assert samples.many_platforms().digest in run.stderr


def test_a_dry_run_writes_nothing(sonar: Sonar, host: str, tmp_path: Path) -> None:
    images.write_layout(tmp_path / "layout", {"x": samples.docker()})
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "layout").rglob("*")}
    run = sonar("image", "copy", f"{host}/a/b:v1", f"oci:{tmp_path}/layout:y", "--dry-run")
    assert run.code == 0, run.stderr
    assert "would be" in run.stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "layout").rglob("*")} == before
    fresh = sonar("image", "copy", f"{host}/a/b:v1", f"oci:{tmp_path}/fresh:y", "--dry-run")
    assert fresh.code == 0, fresh.stderr
    assert not (tmp_path / "fresh").exists()


def test_inspect(sonar: Sonar, host: str) -> None:
    """Issue 4: "digest, media type, platforms, created, layers … history …; `-o json` has all of it"."""
    [found] = sonar("image", "inspect", f"{host}/a/b:v1", "-o", "json").json
    sample = samples.oci()
    config = sample.blobs[0].json
    assert found["digest"] == sample.digest
    assert found["platforms"] == ["linux/amd64"]
    assert found["created"] == config["created"]
    assert found["env"] == ["PATH=/bin"]
    assert found["config"] == config
    assert [layer["digest"] for layer in found["layers"]] == [blob.digest for blob in sample.blobs[1:]]
    assert [layer["diffId"] for layer in found["layers"]] == config["rootfs"]["diff_ids"]
    assert [layer["createdBy"] for layer in found["layers"]] == ["test"] * 3
    assert found["layersSize"] == sum(len(blob.data) for blob in sample.blobs[1:])
    shown = sonar("image", "inspect", f"{host}/a/b:v1").stdout
    for part in (sample.digest, "linux/amd64", "PATH=/bin", config["created"], sample.blobs[1].digest):
        assert part in shown


def test_inspect_an_index(sonar: Sonar, host: str) -> None:
    [found] = sonar("image", "inspect", f"{host}/a/b:v2", "--platform", "linux/arm/v7", "-o", "json").json
    sample = samples.many_platforms()
    assert found["digest"] == sample.digest
    assert len(found["platforms"]) == 8
    assert found["image"]["digest"] == sample.children[3].digest
    assert sonar("image", "inspect", f"{host}/a/b:v2", "--platform", "linux/sparc").code == 3


def test_inspect_an_artifact(sonar: Sonar, tmp_path: Path) -> None:
    images.write_layout(tmp_path / "layout", {"x": samples.artifact()})
    [found] = sonar("image", "inspect", f"oci:{tmp_path}/layout:x", "-o", "json").json
    assert found["artifactType"] == "application/vnd.example.report"
    assert found["config"] is None


def test_text_from_an_image_drives_no_terminal(sonar: Sonar, tmp_path: Path) -> None:
    """DESIGN 4: "Control characters, escapes and bidi marks … are shown escaped"."""
    images.write_layout(tmp_path / "layout", {"x": images.image(labels={"l": "\x1b[31mred\u202e", "m": "a\nb"})})
    shown = sonar("image", "inspect", f"oci:{tmp_path}/layout:x").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "l=\\x1b[31mred\\u202e" in shown
    assert "m=a b" in shown


def test_progress_as_json(sonar: Sonar, host: str, tmp_path: Path) -> None:
    """Issue 4: "`--progress json` an event a line"."""
    run = sonar("image", "copy", f"{host}/a/b:v1", f"oci:{tmp_path}/l:x", "--progress", "json")
    events = [json.loads(line) for line in run.stderr.splitlines()]
    sizes = {blob.digest: len(blob.data) for blob in samples.oci().blobs}
    assert events[0] == {"event": "plan", "items": len(sizes), "bytes": sum(sizes.values())}
    finished = {event["digest"]: event["bytes"] for event in events if event["event"] == "finish"}
    assert finished == sizes
    assert {event.get("outcome") for event in events} == {None, "sent"}


def test_progress_in_plain_lines(sonar: Sonar, host: str, proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    """Issue 4: "not on a terminal, a plain line every few seconds": and none for what is done sooner."""
    quick = sonar("image", "copy", f"{host}/a/b:v1", f"oci:{tmp_path}/quick:x")
    assert quick.stderr == ""
    slow = proxy(host, rate=15_000)
    run = sonar("image", "copy", f"{slow.host}/a/b:v1", f"oci:{tmp_path}/slow:x", "--jobs", "1")
    assert run.code == 0
    lines = run.stderr.splitlines()
    assert 1 <= len(lines) <= 4
    assert all(line.startswith("sonar: ") and "MiB" in line for line in lines)
