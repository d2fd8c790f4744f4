"""3,000 tags, on the embedded registry and on docker-registry: all are listed, and the first page is shown at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sonar_plugins.serve.server import EmbeddedRegistry
from tests.serve.conftest import Caller
from tests.serve.contents import Set, push, put_manifest
from tests.support.images import image, write_dir

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_plugins.serve.messages import Exchange
    from tests.support.docker_registry import DockerRegistry
    from tests.support.skopeo import Skopeo

NAMES = [f"v{number}" for number in range(3000)]


def fill(host: str, repository: str, raw: bytes) -> None:
    """Tag a manifest that is there 3,000 times, on two connections."""

    def some(names: list[str]) -> None:
        connection = Caller(host)
        for name in names:
            assert put_manifest(connection, repository, name, raw).status == 201
        connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(some, (NAMES[::2], NAMES[1::2])))


def tag_ls(repository: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sonar_core.cli", "tag", "ls", repository]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_first_tag_is_shown_before_the_last_page_is_asked_for() -> None:
    """The answer to the last page is held back until the first line has been read."""
    asked: list[str] = []
    shown = threading.Event()
    in_time: list[bool] = []

    def observe(exchange: Exchange) -> None:
        if exchange.method == "GET" and "/tags/list" in exchange.path:
            asked.append(exchange.path)
            if len(asked) == 3:
                in_time.append(shown.wait(20))

    content = Set()
    name = content.image()["digest"]
    with EmbeddedRegistry(observer=observe) as registry:
        call = Caller(registry.host)
        push(call, "many/tags", content)
        call.close()
        fill(registry.host, "many/tags", content.manifests[name])
        process = tag_ls(f"{registry.host}/many/tags")
        assert process.stdout is not None
        assert process.stderr is not None
        with process, process.stdout as output, process.stderr as errors:
            first = output.readline()
            shown.set()
            rest = output.read()
            assert errors.read() == ""
    assert process.returncode == 0
    assert (first + rest).split() == sorted(NAMES)
    assert len(asked) == 3
    assert in_time == [True]


@pytest.mark.real
def test_docker_registry_lists_them_all(
    docker_registry: Callable[..., DockerRegistry], skopeo: Skopeo, tmp_path: Path
) -> None:
    real = docker_registry(storage="inmemory")
    made = image()
    skopeo.copy(f"dir:{write_dir(tmp_path / 'made', made)}", f"docker://{real.host}/many/tags:v0", "--preserve-digests")
    fill(real.host, "many/tags", made.manifest.data)
    output, errors = tag_ls(f"{real.host}/many/tags").communicate(timeout=60)
    assert errors == ""
    assert sorted(output.split()) == sorted(NAMES)
