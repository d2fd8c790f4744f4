"""`sonar referrer ls`, and what `sonar manifest put` and `rm` do for the list."""

from __future__ import annotations

import pytest

from sonar_core.content import Digest
from sonar_plugins.serve.server import EmbeddedRegistry
from tests.referrers.test_endpoint import SBOM, SIGNATURE, artifact
from tests.support import images
from tests.support.docker_registry import DockerRegistry
from tests.support.endpoints import Program
from tests.support.push import push

IMAGE = images.image()


@pytest.fixture(params=["embedded", "docker-registry"])
def name(request: pytest.FixtureRequest, path: str, sonar: Program) -> str:
    """A repository with an image, v1, and the empty blob."""
    running: EmbeddedRegistry | DockerRegistry = request.getfixturevalue(
        "embedded" if request.param == "embedded" else "shared_registry"
    )
    push(running.url, path, "v1", IMAGE)
    name = f"{running.host}/{path}"
    assert sonar("blob", "put", name, "-", stdin="{}").code == 0
    return name


def test_put_list_and_rm(name: str, sonar: Program) -> None:
    """Whether the registry lists referrers, or a tag stands in for that."""
    signature, sbom = artifact(SIGNATURE), artifact(SBOM)
    for manifest in (signature, sbom):
        put = sonar("manifest", "put", f"{name}@{manifest.digest}", stdin=manifest.raw.decode())
        assert put.code == 0, put.stderr
    listed = sonar("referrer", "ls", f"{name}:v1")
    assert set(listed.stdout.splitlines()) == {f"{signature.digest}  {SIGNATURE}", f"{sbom.digest}  {SBOM}"}
    assert sonar("referrer", "ls", f"{name}@{IMAGE.digest}").stdout == listed.stdout
    one = sonar("referrer", "ls", f"{name}:v1", "--type", SBOM, "-o", "json").json
    assert [(entry["digest"], entry["artifactType"]) for entry in one] == [(str(sbom.digest), SBOM)]
    assert sonar("manifest", "rm", f"{name}@{sbom.digest}").code == 0
    assert sonar("referrer", "ls", f"{name}:v1").stdout == f"{signature.digest}  {SIGNATURE}\n"


def test_nothing_refers_to_it(name: str, sonar: Program) -> None:
    listed = sonar("referrer", "ls", f"{name}:v1")
    assert (listed.code, listed.stdout) == (0, "")
    assert sonar("referrer", "ls", f"{name}:v1", "-o", "json").json == []


def test_a_subject_that_is_not_there(name: str, sonar: Program) -> None:
    missing = sonar("referrer", "ls", f"{name}:nothing")
    assert (missing.code, missing.stdout) == (3, "")
    assert sonar("referrer", "ls", f"{name}@{Digest.of(b'nothing')}").stdout == ""
