"""Every kind of image through every kind of store and back, with skopeo as the other reader and writer."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest

from tests.images import samples
from tests.support import images
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_plugins.images import CopyResult
    from tests.support.docker_registry import DockerRegistry
    from tests.support.images import Image
    from tests.support.skopeo import Skopeo

pytestmark = pytest.mark.real
Move = "Callable[..., CopyResult]"


def test_every_digest_survives(
    move: Callable[..., CopyResult], shared_registry: DockerRegistry, sample: Image, tmp_path: Path
) -> None:
    """Issue 4, acceptance 1: registry → oci: → oci-archive: → registry keeps every digest."""
    host = shared_registry.host
    digest = push(shared_registry.url, "trip/start", "v1", sample)
    steps = [
        f"{host}/trip/start:v1",
        f"oci:{tmp_path}/layout:a",
        f"oci-archive:{tmp_path}/a.tar:b",
        f"{host}/trip/end:v1",
    ]
    for source, target in itertools.pairwise(steps):
        result = move(source, target)
        assert str(result.digest) == digest
        assert move(source, target).unchanged or target.startswith(host)
    for content in {each.digest: each for each in sample.all_blobs()}.values():
        path = tmp_path / "layout" / "blobs" / content.digest.replace(":", "/")
        assert path.read_bytes() == content.data


@pytest.mark.parametrize("kind", sorted(samples.LOADABLE))
def test_docker_archives_keep_digests(
    move: Callable[..., CopyResult], shared_registry: DockerRegistry, kind: str, tmp_path: Path
) -> None:
    """Acceptance 1: registry → docker-archive: → registry, for what Docker can load."""
    host, sample = shared_registry.host, samples.LOADABLE[kind]()
    digest = push(shared_registry.url, "docker-trip/start", "v1", sample)
    move(f"{host}/docker-trip/start:v1", f"docker-archive:{tmp_path}/d.tar")
    result = move(f"docker-archive:{tmp_path}/d.tar:{host}/docker-trip/start:v1", f"{host}/docker-trip/end:v1")
    assert str(result.digest) == digest


def test_an_artifact_is_nothing_for_docker(move: Callable[..., CopyResult], tmp_path: Path) -> None:
    from sonar_core.errors import ContentError

    images.write_layout(tmp_path / "layout", {"v1": samples.artifact()})
    with pytest.raises(ContentError, match="no image that Docker can load"):
        move(f"oci:{tmp_path}/layout:v1", f"docker-archive:{tmp_path}/d.tar:a/b:c")
    assert not (tmp_path / "d.tar").exists()


@pytest.mark.parametrize("kind", ["oci", "index of 8", "zstd", "empty layer", "artifact"])
def test_skopeo_reads_layouts(move: Callable[..., CopyResult], skopeo: Skopeo, kind: str, tmp_path: Path) -> None:
    """Acceptance 1: `skopeo` reads what sonar wrote: `oci:` and `oci-archive:`."""
    sample = samples.ALL[kind]()
    images.write_layout(tmp_path / "start", {"v1": sample})
    move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/ours:v1")
    move(f"oci:{tmp_path}/start:v1", f"oci-archive:{tmp_path}/ours.tar:v1")
    for number, ours in enumerate((f"oci:{tmp_path}/ours:v1", f"oci-archive:{tmp_path}/ours.tar:v1")):
        skopeo.copy(ours, f"dir:{tmp_path}/{number}", "--preserve-digests")
        assert (tmp_path / str(number) / "manifest.json").read_bytes() == sample.manifest.data


@pytest.mark.parametrize("kind", ["oci", "index of 8", "zstd", "docker"])
def test_sonar_reads_what_skopeo_wrote(
    move: Callable[..., CopyResult], skopeo: Skopeo, shared_registry: DockerRegistry, kind: str, tmp_path: Path
) -> None:
    """Acceptance 1, the other way round: `oci:`, `oci-archive:` and a registry that skopeo filled."""
    sample = samples.ALL[kind]()
    host = shared_registry.host
    images.write_dir(tmp_path / "start", sample)
    skopeo.copy(f"dir:{tmp_path}/start", f"docker://{host}/skopeo-wrote/a:v1", "--preserve-digests")
    assert str(move(f"{host}/skopeo-wrote/a:v1", f"oci:{tmp_path}/mine:v1").digest) == sample.digest
    if kind == "docker":
        return  # skopeo makes an OCI image of it in a layout
    for theirs in (f"oci:{tmp_path}/theirs:v1", f"oci-archive:{tmp_path}/theirs.tar:v1"):
        skopeo.copy(f"dir:{tmp_path}/start", theirs, "--preserve-digests")
        assert str(move(theirs, f"oci:{tmp_path}/back").digest) == sample.digest


@pytest.mark.parametrize("kind", ["oci", "docker", "index of 8", "zstd"])
def test_skopeo_reads_docker_archives(
    move: Callable[..., CopyResult], skopeo: Skopeo, kind: str, tmp_path: Path
) -> None:
    """Acceptance 1: `docker-archive` too: skopeo finds the config and unpacks the layers by their diff IDs."""
    sample = samples.ALL[kind]()
    images.write_layout(tmp_path / "start", {"v1": sample})
    move(f"oci:{tmp_path}/start:v1", f"docker-archive:{tmp_path}/d.tar:example.com/a/b:v1")
    skopeo.copy(f"docker-archive:{tmp_path}/d.tar:example.com/a/b:v1", f"dir:{tmp_path}/out")
    got = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    image = sample.children[0] if sample.children else sample
    assert got["config"]["digest"] == image.blobs[0].digest
    assert [layer["digest"] for layer in got["layers"]] == image.blobs[0].json["rootfs"]["diff_ids"]


def test_several_images_in_one_docker_archive(move: Callable[..., CopyResult], skopeo: Skopeo, tmp_path: Path) -> None:
    """Issue 4: "several images in one file", each added by a run of its own."""
    samples_by_name = {"first": samples.oci(), "second": samples.docker()}
    for name, sample in samples_by_name.items():
        images.write_layout(tmp_path / name, {"v1": sample})
        move(f"oci:{tmp_path}/{name}:v1", f"docker-archive:{tmp_path}/d.tar:example.com/{name}:v1")
    for name, sample in samples_by_name.items():
        result = move(f"docker-archive:{tmp_path}/d.tar:example.com/{name}:v1", f"oci:{tmp_path}/back-{name}:x")
        assert str(result.digest) == sample.digest
        config = skopeo("inspect", "--config", "--raw", f"docker-archive:{tmp_path}/d.tar:example.com/{name}:v1").stdout
        assert config == sample.blobs[0].data


def test_what_docker_saved_of_old(
    move: Callable[..., CopyResult], skopeo: Skopeo, shared_registry: DockerRegistry, tmp_path: Path
) -> None:
    """An archive without manifests, as skopeo and Docker before 25 write it: configs and layers keep their digests."""
    sample = samples.oci()
    images.write_dir(tmp_path / "start", sample)
    skopeo.copy(f"dir:{tmp_path}/start", f"docker-archive:{tmp_path}/d.tar:example.com/a:v1")
    target = f"{shared_registry.host}/saved/a:v1"
    result = move(f"docker-archive:{tmp_path}/d.tar", target)
    manifest = json.loads(skopeo.raw(target))
    assert manifest["config"]["digest"] == sample.blobs[0].digest
    assert [layer["digest"] for layer in manifest["layers"]] == sample.blobs[0].json["rootfs"]["diff_ids"]
    assert move(f"docker-archive:{tmp_path}/d.tar:example.com/a:v1", target).digest == result.digest


def test_a_nested_index(move: Callable[..., CopyResult], shared_registry: DockerRegistry, tmp_path: Path) -> None:
    """Issue 4: "nested indexes"."""
    nested = images.index(images.index(), images.image(platform="linux/s390x"))
    images.write_layout(tmp_path / "start", {"v1": nested})
    move(f"oci:{tmp_path}/start:v1", f"{shared_registry.host}/nested/a:v1")
    assert str(move(f"{shared_registry.host}/nested/a:v1", f"oci:{tmp_path}/end:v1").digest) == nested.digest


def test_digests_without_a_tag(
    move: Callable[..., CopyResult], shared_registry: DockerRegistry, tmp_path: Path
) -> None:
    """Issue 4: "digests without tag": by digest in, by digest out."""
    sample = samples.oci()
    digest = push(shared_registry.url, "untagged/a", "v1", sample)
    move(f"{shared_registry.host}/untagged/a@{digest}", f"oci:{tmp_path}/layout")
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    assert [entry.get("annotations") for entry in index["manifests"]] == [None]
    result = move(f"oci:{tmp_path}/layout@{digest}", f"{shared_registry.host}/untagged/b@{digest}")
    assert str(result.digest) == digest
