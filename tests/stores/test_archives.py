"""Archives that are damaged or made to deceive, and what writing one keeps."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import tarfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.content import Digest
from sonar_core.errors import ContentError, IntegrityError, Missing, SonarError, UsageError
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_plugins.archive.docker import DockerArchive
from sonar_plugins.archive.store import OciArchive
from sonar_plugins.images import copy
from tests.images import samples
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_plugins.images import CopyResult


@pytest.fixture
def move() -> Callable[[str, str], CopyResult]:
    plugins = Plugins.discover()
    return lambda source, target: copy(source, target, plugins=plugins, settings=Settings())


def entry(name: str, data: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def write_tar(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return path


def saved(sample: images.Image, *, layer_names: list[str] | None = None) -> list[tuple[tarfile.TarInfo, bytes]]:
    """What `docker save` wrote before version 25, with the layers as they are."""
    config, *layers = sample.blobs
    names = layer_names or [f"{number}/layer.tar" for number in range(len(layers))]
    document = [{"Config": "config.json", "RepoTags": ["a/b:v1"], "Layers": names}]
    files = [entry(name, layer.data) for name, layer in zip(names, layers, strict=True)]
    return [entry("config.json", config.data), *files, entry("manifest.json", json.dumps(document).encode())]


@pytest.fixture
def archive(move: Callable[[str, str], CopyResult], tmp_path: Path) -> Path:
    """A good OCI archive."""
    images.write_layout(tmp_path / "layout", {"v1": samples.oci()})
    move(f"oci:{tmp_path}/layout:v1", f"oci-archive:{tmp_path}/good.tar:v1")
    return tmp_path / "good.tar"


@pytest.mark.parametrize("cut", [0, 1, 511, 513, 5000, 30_000])
def test_cut_short(move: Callable[[str, str], CopyResult], archive: Path, tmp_path: Path, cut: int) -> None:
    """ROBUSTNESS, "On disk": too short → typed errors."""
    short = tmp_path / "short.tar"
    short.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(SonarError):
        move(f"oci-archive:{short}:v1", f"oci:{tmp_path}/out:v1")


@pytest.mark.parametrize("data", [b"not a tar", b"\0" * 10_240, os.urandom(20_000), b"PK\3\4" + b"x" * 600])
def test_no_tar(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    for kind in (OciArchive, DockerArchive):
        with pytest.raises(ContentError):
            kind(tmp_path / "a.tar")


def test_packed(archive: Path) -> None:
    """An archive is read in place, so a packed one is an error that says what to do."""
    packed = archive.with_name("a.tar.gz")
    packed.write_bytes(gzip.compress(archive.read_bytes()))
    with pytest.raises(ContentError, match="packed with gzip; unpack it"):
        OciArchive(packed)


def test_a_directory_or_a_pipe_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ContentError, match="no regular file"):
        OciArchive(tmp_path / "pipe")
    with pytest.raises((ContentError, OSError)):
        OciArchive(tmp_path)


def test_two_indexes(archive: Path) -> None:
    """Two readers would see two different things."""
    with tarfile.open(archive, "a") as tar:
        info, data = entry("index.json", b'{"schemaVersion": 2, "manifests": []}')
        tar.addfile(info, io.BytesIO(data))
    with pytest.raises(ContentError, match=r"two files index\.json"):
        OciArchive(archive)


def test_links_in_a_circle(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        entry("oci-layout", type=tarfile.SYMTYPE, linkname="b"),
        entry("b", type=tarfile.SYMTYPE, linkname="oci-layout"),
    )
    with pytest.raises(ContentError, match="do not end"):
        OciArchive(path)


def test_links_lead_nowhere_outside(tmp_path: Path) -> None:
    """Names are looked up in the tar and nowhere else."""
    secret = tmp_path / "secret"
    secret.write_text('{"imageLayoutVersion": "1.0.0"}')
    path = write_tar(tmp_path / "a.tar", entry("oci-layout", type=tarfile.SYMTYPE, linkname=str(secret)))
    with pytest.raises(ContentError, match="no oci-layout"):
        OciArchive(path)


def test_wrong_content(move: Callable[[str, str], CopyResult], archive: Path, tmp_path: Path) -> None:
    blob = samples.oci().blobs[1]
    archive.write_bytes(archive.read_bytes().replace(blob.data[:100], b"x" * 100))
    with pytest.raises(IntegrityError, match=blob.digest):
        move(f"oci-archive:{archive}:v1", f"oci:{tmp_path}/out:v1")


def test_an_archive_that_fails_leaves_nothing(
    move: Callable[[str, str], CopyResult], archive: Path, tmp_path: Path
) -> None:
    """It is written beside its place: what was there before is there still, and nothing else."""
    layout = images.write_layout(tmp_path / "bad", {"v2": samples.docker()})
    blob = samples.docker().blobs[1]
    (layout / "blobs" / blob.digest.replace(":", "/")).write_bytes(b"x" * len(blob.data))
    before, names = archive.read_bytes(), sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(IntegrityError):
        move(f"oci:{layout}:v2", f"oci-archive:{archive}:v2")
    assert archive.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_what_a_killed_process_left_is_removed(
    move: Callable[[str, str], CopyResult], archive: Path, tmp_path: Path
) -> None:
    """And what another one is still writing is not: it is locked."""
    dead, alive = (tmp_path / f".good.tar.sonar-{name}" for name in ("dead", "alive"))
    dead.write_bytes(b"half")
    with alive.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        layout = images.write_layout(tmp_path / "more", {"v2": samples.docker()})
        move(f"oci:{layout}:v2", f"oci-archive:{archive}:v2")
        assert alive.exists()
    assert [path.name for path in tmp_path.glob(".*")] == [alive.name]


def test_what_is_in_an_archive_stays(move: Callable[[str, str], CopyResult], archive: Path, tmp_path: Path) -> None:
    """Issue 4: "several images in one file"; layers that both have are there once."""
    both = images.image(images.layer({"file0": images.noise(20_000, 0)}), images.layer({"new": b"new"}))
    layout = images.write_layout(tmp_path / "more", {"v2": both})
    result = move(f"oci:{layout}:v2", f"oci-archive:{archive}:v2")
    assert [str(blob.digest) for blob in result.skipped] == [both.blobs[1].digest]
    assert str(move(f"oci-archive:{archive}:v1", f"oci:{tmp_path}/one:x").digest) == samples.oci().digest
    assert str(move(f"oci-archive:{archive}:v2", f"oci:{tmp_path}/two:x").digest) == both.digest
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))


def test_no_other_file_is_overwritten(move: Callable[[str, str], CopyResult], tmp_path: Path) -> None:
    layout = images.write_layout(tmp_path / "layout", {"v1": samples.oci()})
    (tmp_path / "notes.txt").write_text("dear diary")
    for prefix, name in (("oci-archive", "v1"), ("docker-archive", "a/b:v1")):
        with pytest.raises(ContentError):
            move(f"oci:{layout}:v1", f"{prefix}:{tmp_path}/notes.txt:{name}")
    assert (tmp_path / "notes.txt").read_text() == "dear diary"


def test_into_a_pipe(move: Callable[[str, str], CopyResult], tmp_path: Path) -> None:
    """Issue 4: "written as a stream": whoever reads the pipe gets a whole archive."""
    layout = images.write_layout(tmp_path / "layout", {"v1": samples.oci()})
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    move(f"oci:{layout}:v1", f"oci-archive:{tmp_path}/pipe:v1")
    reader.join(10)
    (tmp_path / "piped.tar").write_bytes(got[0])
    assert str(move(f"oci-archive:{tmp_path}/piped.tar:v1", f"oci:{tmp_path}/out:v1").digest) == samples.oci().digest


@pytest.mark.parametrize("kind", ["oci", "zstd", "empty layer"])
def test_layers_are_told_by_their_bytes(move: Callable[[str, str], CopyResult], tmp_path: Path, kind: str) -> None:
    """Issue 4 and ROBUSTNESS: gzip, zstd and plain tars, all called `layer.tar`."""
    sample = samples.ALL[kind]()
    write_tar(tmp_path / "d.tar", *saved(sample))
    result = move(f"docker-archive:{tmp_path}/d.tar:a/b:v1", f"oci:{tmp_path}/out:v1")
    manifest = json.loads((tmp_path / "out" / "blobs" / str(result.digest).replace(":", "/")).read_text())
    assert [layer["digest"] for layer in manifest["layers"]] == [blob.digest for blob in sample.blobs[1:]]
    assert manifest["config"]["digest"] == sample.blobs[0].digest
    ending = {"oci": "gzip", "zstd": "zstd"}.get(kind)
    if ending:
        assert all(layer["mediaType"].endswith(ending) for layer in manifest["layers"])


def test_layers_by_links(move: Callable[[str, str], CopyResult], tmp_path: Path) -> None:
    """Docker saved a layer that was there already as a link to it."""
    sample = samples.oci()
    config, first, *_ = sample.blobs
    document = dict(config.json, rootfs={"type": "layers", "diff_ids": [config.json["rootfs"]["diff_ids"][0]] * 2})
    listed = [{"Config": "c.json", "RepoTags": None, "Layers": ["x/layer.tar", "y/layer.tar"]}]
    write_tar(
        tmp_path / "d.tar",
        entry("c.json", json.dumps(document).encode()),
        entry("x/layer.tar", first.data),
        entry("y/layer.tar", type=tarfile.SYMTYPE, linkname="../x/layer.tar"),
        entry("manifest.json", json.dumps(listed).encode()),
    )
    result = move(f"docker-archive:{tmp_path}/d.tar", f"oci:{tmp_path}/out:v1")
    assert [str(blob.digest) for blob in result.sent].count(first.digest) == 1


def test_a_plain_layer_that_is_another(move: Callable[[str, str], CopyResult], tmp_path: Path) -> None:
    """A plain tar is named by its diff ID, which the config states: verified when it is read."""
    plain = images.image(images.layer({"a": b"a"}, compress=False))
    other = images.layer({"b": b"b"}, compress=False)
    lying = images.Image(plain.manifest, (plain.blobs[0], other.content))
    write_tar(tmp_path / "d.tar", *saved(lying))
    with pytest.raises(IntegrityError):
        move(f"docker-archive:{tmp_path}/d.tar", f"oci:{tmp_path}/out:v1")


@pytest.mark.parametrize(
    "document",
    [
        "{}",
        "7",
        "[{}]",
        '[{"Config": 7}]',
        '[{"Config": "c.json", "Layers": 7}]',
        '[{"Config": "c.json", "Layers": [7]}]',
        '[{"Config": "../../etc/passwd", "Layers": []}]',
        '[{"Config": "c.json", "Layers": ["none"]}]',
        "[" * 9999,
    ],
)
def test_damaged_lists(tmp_path: Path, document: str) -> None:
    config = images.image().blobs[0]
    path = write_tar(tmp_path / "d.tar", entry("c.json", config.data), entry("manifest.json", document.encode()))
    with pytest.raises(ContentError):
        DockerArchive(path).resolve(None)


def test_names_in_a_docker_archive(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "d.tar", *saved(samples.oci()))
    store = DockerArchive(path)
    assert list(store.tags()) == ["docker.io/a/b:v1"]
    assert store.resolve("docker.io/a/b:v1") == store.resolve(None)
    with pytest.raises(Missing, match=r"there are: docker\.io/a/b:v1"):
        store.resolve("docker.io/a/b:v2")
    with pytest.raises(Missing):
        store.manifest(Digest.of(b"nothing"))
    with pytest.raises(UsageError, match="nothing can be changed"):
        store.delete_tag("docker.io/a/b:v1")
