"""One layer of 2 GiB: memory does not grow with it. One of 64 MiB over slow lines: helpers fetch parts of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.settings import Settings
from sonar_core.testing.scripted import Answer
from tests.support import images
from tests.support.processes import require

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.testing.scripted import Origin, Request
    from sonar_plugins.images import CopyResult
    from tests.support.docker_registry import DockerRegistry

_MIB = 1024 * 1024
_PEAK = 80 * 1024  # KiB


def sparse_layout(directory: Path, size: int) -> Path:
    """A layout with an image of one layer of so many zero bytes, which take no room on the disk."""
    layer = images.layer({"a": b"a"})
    layout = images.write_layout(directory, {"v1": images.image(layer)})
    found = hashlib.sha256()
    for _ in range(size // _MIB):
        found.update(bytes(_MIB))
    with (layout / "blobs" / "sha256" / found.hexdigest()).open("wb") as file:
        file.truncate(size)
    manifest = images.image(layer).manifest
    document = manifest.json
    document["layers"] = [
        {"mediaType": layer.content.media_type, "digest": f"sha256:{found.hexdigest()}", "size": size}
    ]
    raw = images.Content(manifest.media_type, json.dumps(document).encode())
    (layout / "blobs" / raw.digest.replace(":", "/")).write_bytes(raw.data)
    index: Any = {"schemaVersion": 2, "manifests": [raw.descriptor()]}
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "v1"}
    (layout / "index.json").write_text(json.dumps(index))
    return layout


def peak_of(*arguments: str) -> int:
    """The most memory that the program held, in KiB, as GNU time says.

    A process of its own in between, because Linux counts what held the process that started one (`getrusage(2)`).
    """
    command = [require("time"), "-f", "%M", "-q", str(Path(sys.executable).with_name("sonar")), *arguments]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return int(done.stderr.split()[-1])


@pytest.mark.slow
@pytest.mark.real
def test_memory_does_not_grow(docker_registry: Callable[..., DockerRegistry], tmp_path: Path) -> None:
    """Issue 4, acceptance 2: "pull, push and copy of an image with one 2 GiB layer stay under 80 MiB of peak RSS"."""
    layout = sparse_layout(tmp_path / "start", 2048 * _MIB)
    one, two = docker_registry(), docker_registry()
    archive = tmp_path / "a.tar"
    peaks = {
        "push": peak_of("image", "push", f"oci:{layout}:v1", f"{one.host}/large:v1"),
        "copy": peak_of("image", "copy", f"{one.host}/large:v1", f"{two.host}/large:v1"),
        "pull": peak_of("image", "pull", f"{one.host}/large:v1", f"oci:{tmp_path}/end:v1"),
        "archive": peak_of("image", "pull", f"{one.host}/large:v1", f"oci-archive:{archive}:v1"),
        "from the archive": peak_of("image", "copy", f"oci-archive:{archive}:v1", f"oci:{tmp_path}/other:v1"),
    }
    assert {name: peak for name, peak in peaks.items() if peak >= _PEAK} == {}


@pytest.fixture
def slow_line(
    docker_registry: Callable[..., DockerRegistry], move: Callable[..., CopyResult], tmp_path: Path
) -> DockerRegistry:
    """A registry with an image of one layer of 64 MiB."""
    registry = docker_registry()
    layout = sparse_layout(tmp_path / "start", 64 * _MIB)
    move(f"oci:{layout}:v1", f"{registry.host}/large:v1")
    return registry


@pytest.mark.real
def test_a_slow_line_gets_help(
    move: Callable[..., CopyResult], slow_line: DockerRegistry, proxy: Callable[..., Any], tmp_path: Path
) -> None:
    """Acceptance 5: "ranges of one large blob fetched in parallel, written in place, hashed in order"."""
    for jobs in (1, 4):
        between = proxy(slow_line.host, rate=40_000_000, recorded=bytearray())
        result = move(f"{between.host}/large:v1", f"oci:{tmp_path}/{jobs}:v1", settings=Settings(jobs=jobs))
        assert len(result.sent) == 2
        ranges = bytes(between.recorded).count(b"Range: bytes=")
        assert between.connections <= jobs
        assert (ranges > 0) == (jobs > 1)
        assert between.bytes_down < 64 * _MIB * 1.3


def test_where_ranges_are_ignored(move: Callable[..., CopyResult], scripted: Origin, tmp_path: Path) -> None:
    """Acceptance 5: "where the registry ignores Range it falls back by itself"."""
    data = os.urandom(24 * _MIB)
    sample = images.image(images.Layer(images.Content("application/vnd.oci.image.layer.v1.tar", data), "sha256:0"))
    served = _serve(scripted, sample)

    def whole(request: Request) -> Answer:
        return Answer(200, body=data, drip=(_MIB, 0.04))

    scripted.on("GET", f"/v2/a/blobs/{images.sha256(data)}", whole)
    move(f"{scripted.host}/a:v1", f"oci:{tmp_path}/end:v1", settings=Settings(jobs=4))
    got = (tmp_path / "end" / "blobs" / images.sha256(data).replace(":", "/")).read_bytes()
    assert got == data
    assert served == sample.digest
    asked = [request.header("Range") for request in scripted.requests if request.path.endswith(images.sha256(data))]
    assert asked[0] is None
    assert len(asked) >= 2  # it was tried, and not again by everyone
    assert all(asked[1:])


def _serve(origin: Origin, sample: images.Image) -> str:
    answer = Answer(200, {"Content-Type": sample.manifest.media_type}, sample.manifest.data)
    origin.on("GET|HEAD", f"/v2/a/manifests/{sample.digest}", answer)
    origin.on("GET|HEAD", "/v2/a/manifests/v1", answer)
    origin.on("GET", f"/v2/a/blobs/{sample.blobs[0].digest}", Answer(200, body=sample.blobs[0].data))
    return sample.digest
