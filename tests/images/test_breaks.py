"""What is left after kill -9, Ctrl-C, a full disk, a registry that goes away; and what the next run does."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.testing.program import Sonar
from tests.support import images
from tests.support.processes import require, start
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonar_plugins.images import CopyResult
    from tests.support.docker_registry import DockerRegistry
    from tests.support.proxy import Proxy

pytestmark = pytest.mark.real

_MIB = 1024 * 1024
_SLOW = 8 * _MIB  # bytes per second and connection
_PATIENCE = 20.0


def sample() -> images.Image:
    """Four layers of different sizes, the largest 8 MiB."""
    sizes = (_MIB, 2 * _MIB, 5 * _MIB, 8 * _MIB)
    return images.image(*(images.layer({"noise": images.noise(size, size)}, compress=False) for size in sizes))


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program, while it runs."""
    command = [sys.executable, "-m", "sonar_core.cli", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def blobs_of(layout: Path) -> dict[str, Path]:
    """The files under a digest's name, each of which must have that digest."""
    found = {path.name: path for path in (layout / "blobs" / "sha256").glob("*")}
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == name
    return found


def tags_of(layout: Path) -> set[str]:
    index = json.loads((layout / "index.json").read_text())
    return {entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]}


def unfinished(layout: Path) -> list[Path]:
    return list(layout.glob(".sonar-*"))


@pytest.fixture
def source(docker_registry: Callable[..., DockerRegistry]) -> DockerRegistry:
    """A registry with the sample."""
    registry = docker_registry()
    push(registry.url, "breaks/a", "v1", sample())
    return registry


def test_kill_9_while_pulling(
    source: DockerRegistry, proxy: Callable[..., Proxy], sonar: Sonar, tmp_path: Path
) -> None:
    """Issue 4, acceptance 6: "no half blob under a digest's name, a second run … sends only what is missing"."""
    slow, layout = proxy(source.host, rate=_SLOW), tmp_path / "layout"
    with running("image", "pull", f"{slow.host}/breaks/a:v1", f"oci:{layout}:v1") as process:
        wait_for(lambda: len(list((layout / "blobs" / "sha256").glob("*"))) >= 2)
        process.kill()
        process.wait()
    before = blobs_of(layout)
    assert 2 <= len(before) < 6
    assert tags_of(layout) == set()
    again = sonar("image", "pull", f"{source.host}/breaks/a:v1", f"oci:{layout}:v1", "-o", "json")
    assert again.code == 0
    [result] = again.json
    sent = {blob["digest"].partition(":")[2] for blob in result["sent"]}
    assert not sent & set(before)
    assert len(sent) + len(result["skipped"]) == 5
    assert len(blobs_of(layout)) == 6
    assert tags_of(layout) == {"v1"}
    assert unfinished(layout) == []


def test_ctrl_c_while_pulling(source: DockerRegistry, proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    """ROBUSTNESS: "leave no partial files, exit 130 … within two seconds"."""
    slow, layout = proxy(source.host, rate=_MIB // 2), tmp_path / "layout"
    with running("image", "pull", f"{slow.host}/breaks/a:v1", f"oci:{layout}:v1") as process:
        wait_for(lambda: slow.bytes_down > _MIB)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=2)
    assert process.returncode == 130
    assert stderr.decode().splitlines()[-1] == "sonar: interrupted"
    blobs_of(layout)
    assert unfinished(layout) == []


def test_ctrl_c_while_pushing(
    docker_registry: Callable[..., DockerRegistry], proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    """ROBUSTNESS: "Ctrl-C and errors … DELETE open sessions": docker-registry keeps a folder for each."""
    target = docker_registry()
    layout = images.write_layout(tmp_path / "layout", {"v1": sample()})
    slow = proxy(target.host, rate=_SLOW // 4)
    assert target.root is not None
    uploads = target.root / "docker/registry/v2/repositories/breaks/b/_uploads"
    with running("image", "push", f"oci:{layout}:v1", f"{slow.host}/breaks/b:v1") as process:
        wait_for(lambda: slow.bytes_up > 2 * _MIB)
        assert list(uploads.iterdir())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=2)
    assert process.returncode == 130
    wait_for(lambda: not list(uploads.iterdir()))


def test_an_error_ends_the_others(
    source: DockerRegistry, proxy: Callable[..., Proxy], sonar: Sonar, tmp_path: Path
) -> None:
    """ROBUSTNESS: errors cancel the other transfers: a blob that is damaged at the registry ends all of it."""
    assert source.root is not None
    smallest = sample().blobs[1].digest.partition(":")[2]
    data = source.root / "docker/registry/v2/blobs/sha256" / smallest[:2] / smallest / "data"
    data.write_bytes(b"x" * data.stat().st_size)
    slow, layout = proxy(source.host, rate=_MIB), tmp_path / "layout"
    run = sonar("image", "pull", f"{slow.host}/breaks/a:v1", f"oci:{layout}:v1", seconds=8)
    assert run.code == 5
    assert smallest in run.stderr
    assert smallest not in blobs_of(layout)
    assert unfinished(layout) == []


def test_a_full_disk(source: DockerRegistry, sonar: Sonar, tmp_path: Path) -> None:
    """Acceptance 6: "a full disk (a small tmpfs)"."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        layout = disk / "layout"
        run = sonar("image", "pull", f"{source.host}/breaks/a:v1", f"oci:{layout}:v1")
        assert run.code == 1
        assert "no space left on device" in run.stderr
        assert len(run.stderr.splitlines()) == 1
        blobs_of(layout)
        assert tags_of(layout) == set()
        assert unfinished(layout) == []
        archive = sonar("image", "pull", f"{source.host}/breaks/a:v1", f"oci-archive:{disk}/a.tar:v1")
        assert archive.code == 1
        assert [path.name for path in disk.iterdir()] == ["layout"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_registry_that_is_restarted(source: DockerRegistry, proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    """Acceptance 6: "a registry restarted in the middle": the pull goes on where it was."""
    slow, layout = proxy(source.host, rate=_SLOW // 4), tmp_path / "layout"
    with running("image", "pull", f"{slow.host}/breaks/a:v1", f"oci:{layout}:v1") as process:
        wait_for(lambda: slow.bytes_down > 2 * _MIB)
        source.server.kill()
        again = start(
            lambda port: [require("docker-registry"), "serve", str(source.server.log.with_name("config.yml"))],
            tmp_path / "again.log",
            port=source.server.port,
        )
        try:
            assert process.wait(_PATIENCE) == 0
        finally:
            again.stop()
    assert len(blobs_of(layout)) == 6
    assert slow.bytes_down < 1.5 * sum(len(blob.data) for blob in sample().blobs)


def test_two_pulls_into_one_layout(source: DockerRegistry, tmp_path: Path) -> None:
    """Acceptance 6: "two pulls into one layout at the same time lose nothing"."""
    layout = tmp_path / "layout"
    tags = [f"t{number}" for number in range(6)]
    for number, tag in enumerate(tags):
        push(source.url, "breaks/many", tag, images.image(images.layer({"n": str(number).encode()})))
    pulls = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sonar_core.cli",
                "image",
                "pull",
                f"{source.host}/breaks/many:{tag}",
                f"oci:{layout}",
            ]
        )
        for tag in tags
    ]
    assert [pull.wait(_PATIENCE) for pull in pulls] == [0] * len(tags)
    assert tags_of(layout) == set(tags)
    assert len(blobs_of(layout)) == 3 * len(tags)
    assert unfinished(layout) == []


def test_what_others_left_is_removed_and_what_they_write_is_not(
    move: Callable[..., CopyResult], source: DockerRegistry, tmp_path: Path
) -> None:
    """A killed process leaves its unfinished files; they are told from those of a process that is alive by its lock."""
    import fcntl

    layout = images.write_layout(tmp_path / "layout", {"old": images.image()})
    dead, alive = layout / ".sonar-dead", layout / ".sonar-alive"
    for directory in (dead, alive):
        directory.mkdir()
        (directory / "tmp123").write_bytes(b"half")
    held = os.open(alive, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        move(f"{source.host}/breaks/a:v1", f"oci:{layout}:v1")
    finally:
        os.close(held)
    assert unfinished(layout) == [alive]
    assert tags_of(layout) == {"old", "v1"}


def test_the_next_push_sends_only_what_is_missing(
    docker_registry: Callable[..., DockerRegistry], proxy: Callable[..., Proxy], sonar: Sonar, tmp_path: Path
) -> None:
    """Acceptance 6, for a push that is killed."""
    target = docker_registry()
    layout = images.write_layout(tmp_path / "layout", {"v1": sample()})
    slow = proxy(target.host, rate=_SLOW)
    kept: Any = None
    with running("image", "push", f"oci:{layout}:v1", f"{slow.host}/breaks/c:v1") as process:
        wait_for(lambda: target.log.count("http.request.method=PUT") >= 2 or process.poll() is not None)
        process.kill()
        process.wait()
    kept = sonar("image", "push", f"oci:{layout}:v1", f"{target.host}/breaks/c:v1", "-o", "json").json
    [result] = kept
    assert len(result["skipped"]) >= 1
    assert len(result["sent"]) + len(result["skipped"]) == 5
    assert sonar("image", "copy", f"{target.host}/breaks/c:v1", f"oci:{tmp_path}/end:v1").code == 0
    assert len(blobs_of(tmp_path / "end")) == 6
