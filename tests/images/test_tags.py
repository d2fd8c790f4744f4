"""`tag add`, `tag rm` and `image rm`, on registries that delete tags and on one that does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import Answer, error
from tests.images import samples
from tests.support import images
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_core.testing.program import Sonar
    from sonar_core.testing.scripted import Origin
    from sonar_plugins.serve.server import EmbeddedRegistry
    from tests.images.conftest import Wire
    from tests.support.docker_registry import DockerRegistry


@pytest.fixture(params=["docker-registry", "sonar serve", "oci layout"])
def place(
    request: pytest.FixtureRequest,
    docker_registry: Callable[..., DockerRegistry],
    sonar_registry: EmbeddedRegistry,
    tmp_path: Path,
) -> tuple[str, bool]:
    """Somewhere with one image under the tags `a` and `b`, another under `c`; whether tags can be deleted."""
    one, other = samples.oci(), samples.docker()
    if request.param == "oci layout":
        layout = images.write_layout(tmp_path / "layout", {"a": one, "b": one, "c": other})
        return f"oci:{layout}", True
    if request.param == "docker-registry":
        registry = docker_registry()
        url, host = registry.url, registry.host
    else:
        url, host = f"http://{sonar_registry.host}", sonar_registry.host
    for tag, image in (("a", one), ("b", one), ("c", other)):
        push(url, "tags/t", tag, image)
    return f"{host}/tags/t", request.param != "docker-registry"


def has(sonar: Sonar, name: str) -> bool:
    return sonar("image", "copy", name, f"oci:{sonar.home}/check-{abs(hash(name))}").code == 0


@pytest.mark.real
def test_tag_rm_keeps_what_other_tags_share(sonar: Sonar, place: tuple[str, bool]) -> None:
    """Issue 4, acceptance 7: "`tag rm` … on `docker-registry` 2.8 … and on `sonar serve`: shared digests survive"."""
    name, deletes = place
    run = sonar("tag", "rm", f"{name}:a", *(() if deletes else ("--force",)))
    assert run.code == 0, run.stderr
    assert samples.oci().digest in run.stdout
    assert ("deletes no tags" in run.stderr) == (not deletes)
    assert sonar("image", "inspect", f"{name}:a").code == 3
    assert has(sonar, f"{name}:b")
    assert has(sonar, f"{name}:c")


@pytest.mark.real
def test_tag_rm_of_the_last_tag_keeps_the_manifest(sonar: Sonar, place: tuple[str, bool]) -> None:
    """DESIGN 4: "remove a tag and keep the manifest"."""
    name, deletes = place
    assert sonar("tag", "rm", f"{name}:c", *(() if deletes else ("--force",))).code == 0
    assert sonar("image", "inspect", f"{name}:c").code == 3
    assert has(sonar, f"{name}@{samples.docker().digest}")


@pytest.mark.real
def test_tag_rm_without_force(sonar: Sonar, docker_registry: Callable[..., DockerRegistry]) -> None:
    """Where the registry deletes no tags, nothing happens unless the user says how."""
    registry = docker_registry()
    push(registry.url, "tags/t", "a", samples.oci())
    run = sonar("tag", "rm", f"{registry.host}/tags/t:a")
    assert run.code == 1
    assert "--force" in run.stderr
    assert run.stdout == ""
    assert has(sonar, f"{registry.host}/tags/t:a")


@pytest.mark.parametrize("refusal", [error(405, "UNSUPPORTED"), error(400, "UNSUPPORTED"), error(404, "NOT_FOUND")])
def test_how_registries_refuse_to_delete_tags(sonar: Sonar, scripted: Origin, refusal: Answer) -> None:
    """Issue 4: "where the registry cannot (405, 400 UNSUPPORTED, 404)": --force deletes the empty manifest alone."""
    sample = samples.oci()
    manifest = Answer(200, {"Content-Type": sample.manifest.media_type, "Docker-Content-Digest": sample.digest})
    scripted.on("HEAD", "/v2/t/manifests/a", Answer(200, [*manifest.headers.items()], sample.manifest.data))  # type: ignore[union-attr]
    scripted.on("DELETE", "/v2/t/manifests/a", refusal)
    scripted.on("HEAD", r"/v2/t/blobs/sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
                Answer(200, body=b"{}"))  # fmt: skip
    scripted.on("PUT", "/v2/t/manifests/a", Answer(201))
    assert sonar("tag", "rm", f"{scripted.host}/t:a").code == 1
    deleted = [request.path for request in scripted.requests if request.method in ("PUT", "DELETE")]
    assert deleted == ["/v2/t/manifests/a"]
    sonar("tag", "rm", f"{scripted.host}/t:a", "--force")
    [put] = [request for request in scripted.requests if request.method == "PUT"]
    empty = images.sha256(put.body)
    assert empty != sample.digest
    last = [request.path for request in scripted.requests if "manifests" in request.path][-1]
    assert last == f"/v2/t/manifests/{empty}"


def test_tag_rm_wants_a_tag(sonar: Sonar, scripted: Origin) -> None:
    """DESIGN 4: "Nothing destructive without being told the exact thing"."""
    for name in (f"{scripted.host}/t", f"{scripted.host}/t@sha256:{'0' * 64}"):
        run = sonar("tag", "rm", name)
        assert run.code == 2
        assert "names no tag" in run.stderr
    assert scripted.requests == []


@pytest.mark.real
def test_image_rm(sonar: Sonar, place: tuple[str, bool]) -> None:
    """Acceptance 7, and issue 4: "`image rm` needs a digest or `--digest` and tells which tags go with it"."""
    name, _ = place
    refused = sonar("image", "rm", f"{name}:a")
    assert refused.code == 2
    assert "--digest" in refused.stderr
    assert has(sonar, f"{name}:a")
    run = sonar("image", "rm", f"{name}:a", "--digest", "-o", "json")
    assert run.code == 0, run.stderr
    [removed] = run.json
    assert removed["digest"] == samples.oci().digest
    assert sorted(removed["tags"]) == ["a", "b"]
    assert sonar("image", "inspect", f"{name}:b").code == 3
    assert has(sonar, f"{name}:c")
    assert sonar("image", "rm", f"{name}@{samples.docker().digest}").code == 0
    assert sonar("image", "inspect", f"{name}:c").code == 3


def test_image_rm_from_a_layout_removes_what_nobody_needs(sonar: Sonar, tmp_path: Path) -> None:
    """Layers that another image has stay; those of the image alone go."""
    shared, own = images.layer({"shared": b"1"}), images.layer({"own": b"2"})
    one, other = images.image(shared, own), images.image(shared)
    layout = images.write_layout(tmp_path / "layout", {"one": one, "other": other})
    assert sonar("image", "rm", f"oci:{layout}@{one.digest}").code == 0
    left = {path.name for path in (layout / "blobs" / "sha256").iterdir()}
    assert left == {each.digest.partition(":")[2] for each in (*other.all_blobs(), *other.all_manifests())}


@pytest.mark.real
def test_tag_add_moves_nothing(sonar: Sonar, shared_registry: DockerRegistry, wire: Callable[[str], Wire]) -> None:
    """Issue 4: "`tag add` transfers no blob": one GET, and a PUT for each tag."""
    push(shared_registry.url, "tags/add", "v1", samples.many_platforms())
    recorded = wire(shared_registry.host)
    run = sonar("tag", "add", f"{recorded.host}/tags/add:v1", "v2", "v3")
    assert run.stdout.splitlines() == [f"{recorded.host}/tags/add:v2", f"{recorded.host}/tags/add:v3"]
    assert recorded.count() == {"GET": 1, "PUT": 2}
    assert sonar("image", "inspect", f"{recorded.host}/tags/add:v3", "--format", "{digest}").stdout.strip() == (
        samples.many_platforms().digest
    )


def test_tag_add_in_a_layout(sonar: Sonar, tmp_path: Path) -> None:
    layout = images.write_layout(tmp_path / "layout", {"a": samples.oci()})
    assert sonar("tag", "add", f"oci:{layout}:a", "b").code == 0
    assert has(sonar, f"oci:{layout}:b")
    assert has(sonar, f"oci:{layout}:a")


def test_a_bad_tag_is_refused_before_anything_is_sent(sonar: Sonar, scripted: Origin) -> None:
    assert sonar("tag", "add", f"{scripted.host}/t:a", "good", "../bad").code == 2
    assert scripted.requests == []
