"""Platforms, referrers, foreign layers, and registries that change their minds."""

from __future__ import annotations

import base64
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.errors import ContentError, IntegrityError, Missing
from sonar_core.testing.scripted import Answer, error
from tests.images import samples
from tests.support import images
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_core.progress import Event
    from sonar_core.testing.scripted import Origin
    from sonar_plugins.images import CopyResult
    from sonar_plugins.serve.server import EmbeddedRegistry
    from tests.support.docker_registry import DockerRegistry
    from tests.support.skopeo import Skopeo


def manifest_of(layout: Path, digest: object) -> Any:
    return json.loads((layout / "blobs" / str(digest).replace(":", "/")).read_bytes())


def test_platforms_make_a_smaller_index(move: Callable[..., CopyResult], skopeo: Skopeo, tmp_path: Path) -> None:
    """Issue 4: "`--platform` (repeatable; makes a valid smaller index, said so because the digest changes)"."""
    sample = samples.many_platforms()
    images.write_layout(tmp_path / "start", {"v1": sample})
    result = move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/end:v1", platforms=["linux/arm64", "linux/amd64"])
    assert str(result.source_digest) == sample.digest
    assert result.digest != result.source_digest
    index = manifest_of(tmp_path / "end", result.digest)
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    assert index["mediaType"] == sample.manifest.media_type
    assert len(result.sent) == 2 + 2 * 2
    skopeo.copy(f"oci:{tmp_path}/end:v1", f"dir:{tmp_path}/out", "--preserve-digests")
    again = move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/end:v1", platforms=["linux/arm64", "linux/amd64"])
    assert again.unchanged


def test_a_platform_that_is_not_there(move: Callable[..., CopyResult], tmp_path: Path) -> None:
    images.write_layout(tmp_path / "start", {"v1": samples.many_platforms()})
    with pytest.raises(Missing, match="there are: linux/amd64, linux/386"):
        move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/end:v1", platforms=["linux/mips64le"])


def test_attestations_stay_with_their_image(move: Callable[..., CopyResult], tmp_path: Path) -> None:
    """BuildKit's attestations stand in the index beside the image that they are about."""
    amd64, arm64 = images.image(), images.image(platform="linux/arm64/v8")
    about = [samples.signature(amd64, 1), samples.signature(arm64, 2)]
    document = images.index(amd64, arm64).manifest.json
    for image, attestation in zip((amd64, arm64), about, strict=True):
        notes = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest,
        }
        unknown = {"os": "unknown", "architecture": "unknown"}
        document["manifests"].append(attestation.manifest.descriptor(annotations=notes, platform=unknown))
    content = images.Content(images.index().manifest.media_type, json.dumps(document).encode())
    images.write_layout(tmp_path / "start", {"v1": images.Image(content, (), (amd64, arm64, *about))})
    result = move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/end:v1", platforms=["linux/arm64"])
    kept = [entry["digest"] for entry in manifest_of(tmp_path / "end", result.digest)["manifests"]]
    assert kept == [arm64.digest, about[1].digest]


@pytest.fixture
def signed(sonar_registry: EmbeddedRegistry) -> tuple[str, list[images.Image]]:
    """An image with a signature, and a signature of the signature, in a registry that has the referrers API."""
    subject = samples.many_platforms()
    first = samples.signature(subject)
    chain = [subject, first, samples.signature(first, 1), samples.signature(subject.children[3], 2)]
    for number, each in enumerate(chain):
        push(f"http://{sonar_registry.host}", "signed/a", f"v{number}", each)
    return f"{sonar_registry.host}/signed/a:v0", chain


@pytest.mark.real
def test_referrers_go_along(
    move: Callable[..., CopyResult],
    signed: tuple[str, list[images.Image]],
    shared_registry: DockerRegistry,
    tmp_path: Path,
) -> None:
    """Issue 4: "takes along signatures … with the fallback tag schema on either side, recursively"."""
    source, chain = signed
    expected = {each.digest for each in chain[1:]}
    steps = [
        source,
        f"oci:{tmp_path}/layout:v1",
        f"{shared_registry.host}/signed/b:v1",  # docker-registry 2.8 has no referrers API
        f"oci:{tmp_path}/again:v1",
    ]
    for before, after in itertools.pairwise(steps):
        result = move(before, after, referrers=True)
        assert {str(digest) for digest in result.referrers} == expected
    for digest in expected:
        assert manifest_of(tmp_path / "again", digest)["artifactType"] == "application/vnd.example.signature"


def test_without_being_asked_they_stay(
    move: Callable[..., CopyResult], signed: tuple[str, list[images.Image]], tmp_path: Path
) -> None:
    source, chain = signed
    result = move(source, f"oci:{tmp_path}/layout:v1")
    assert result.referrers == ()
    assert not (tmp_path / "layout" / "blobs" / chain[1].digest.replace(":", "/")).exists()


def test_a_new_signature_of_an_unchanged_image(
    move: Callable[..., CopyResult],
    signed: tuple[str, list[images.Image]],
    sonar_registry: EmbeddedRegistry,
    tmp_path: Path,
) -> None:
    source, chain = signed
    move(source, f"oci:{tmp_path}/layout:v1", referrers=True)
    late = samples.signature(chain[0], 9)
    push(f"http://{sonar_registry.host}", "signed/a", "late", late)
    result = move(source, f"oci:{tmp_path}/layout:v1", referrers=True)
    assert late.digest in {str(digest) for digest in result.referrers}
    assert (tmp_path / "layout" / "blobs" / late.digest.replace(":", "/")).exists()


def test_referrers_in_a_circle(move: Callable[..., CopyResult], scripted: Origin, tmp_path: Path) -> None:
    """Issue 4: "cycles survived": a registry may say that two manifests refer to one another."""
    one, two = images.image(), samples.signature(images.image())
    listed = {one.digest: two, two.digest: one}
    for each in (one, two):
        answer = Answer(200, {"Content-Type": each.manifest.media_type}, each.manifest.data)
        scripted.on("GET|HEAD", f"/v2/a/manifests/{each.digest}", answer)
        for blob in each.blobs:
            scripted.on("GET", f"/v2/a/blobs/{blob.digest}", Answer(200, body=blob.data))
        entries = {"schemaVersion": 2, "manifests": [listed[each.digest].manifest.descriptor()]}
        scripted.on("GET", f"/v2/a/referrers/{each.digest}", Answer(200, json=entries))
    result = move(f"{scripted.host}/a@{one.digest}", f"oci:{tmp_path}/layout", referrers=True)
    assert [str(digest) for digest in result.referrers] == [two.digest]


def foreign_image(*urls: str) -> tuple[images.Image, images.Content]:
    base = images.layer({"base": b"kept elsewhere"}).content
    sample = images.image(images.layer({"own": b"own"}))
    document = sample.manifest.json
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    document["layers"].insert(0, {**base.descriptor(), "mediaType": kind, "urls": list(urls)})
    manifest = images.Content(sample.manifest.media_type, json.dumps(document).encode())
    return images.Image(manifest, sample.blobs), base


def test_foreign_layers_stay_where_they_are(move: Callable[..., CopyResult], scripted: Origin, tmp_path: Path) -> None:
    """ROBUSTNESS: "`urls` of foreign layers are not fetched unless asked for" (CVE-2020-15157)."""
    sample, base = foreign_image(f"{scripted.url}/elsewhere")
    images.write_layout(tmp_path / "start", {"v1": sample})
    result = move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/end:v1")
    assert [str(blob.digest) for blob in result.foreign] == [base.digest]
    assert scripted.requests == []


def test_foreign_layers_when_asked_for(
    move: Callable[..., CopyResult], scripted: Origin, sonar_registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """… "and then without credentials"."""
    sample, base = foreign_image(f"{scripted.url}/gone", f"{scripted.url}/elsewhere")
    scripted.on("GET", "/elsewhere", Answer(200, body=base.data))
    push(f"http://{sonar_registry.host}", "foreign/a", "v1", sample)
    result = move(f"{sonar_registry.host}/foreign/a:v1", f"oci:{tmp_path}/end:v1", foreign=True)
    assert base.digest in {str(blob.digest) for blob in result.sent}
    assert (tmp_path / "end" / "blobs" / base.digest.replace(":", "/")).read_bytes() == base.data
    assert all("authorization" not in {name.lower() for name, _ in request.headers} for request in scripted.requests)


def test_foreign_layers_lead_nowhere_private(move: Callable[..., CopyResult], scripted: Origin, tmp_path: Path) -> None:
    """A manifest from a disk is a stranger's word: its URLs do not lead into a private network."""
    sample, base = foreign_image(f"{scripted.url}/elsewhere")
    scripted.on("GET", "/elsewhere", Answer(200, body=base.data))
    images.write_layout(tmp_path / "start", {"v1": sample})
    with pytest.raises(Missing, match="could not be fetched"):
        move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/end:v1", foreign=True)
    assert scripted.requests == []


def test_a_blob_that_was_said_to_exist_is_pushed_once_more(
    move: Callable[..., CopyResult], scripted: Origin, tmp_path: Path
) -> None:
    """ROBUSTNESS: "MANIFEST_BLOB_UNKNOWN after a HEAD that said it exists → push it once more"."""
    sample = images.image()
    images.write_layout(tmp_path / "start", {"v1": sample})
    for blob in sample.blobs:
        scripted.on("HEAD", f"/v2/a/blobs/{blob.digest}", Answer(200, headers={"Content-Length": str(len(blob.data))}))
    scripted.on("POST", "/v2/a/blobs/uploads/", Answer(202, headers={"Location": "/v2/a/blobs/uploads/1"}))
    scripted.on("PUT", "/v2/a/blobs/uploads/1", Answer(201))
    scripted.on("PUT", "/v2/a/manifests/v1", error(404, "MANIFEST_BLOB_UNKNOWN"), Answer(201))
    result = move(f"oci:{tmp_path}/start:v1", f"{scripted.host}/a:v1")
    assert {str(blob.digest) for blob in result.sent} == {blob.digest for blob in sample.blobs}
    assert result.skipped == ()
    bodies = [request.body for request in scripted.requests if request.method == "PUT"]
    assert {blob.data for blob in sample.blobs} <= set(bodies)


def test_a_registry_that_never_has_the_blob(move: Callable[..., CopyResult], scripted: Origin, tmp_path: Path) -> None:
    """… once, and not for ever."""
    images.write_layout(tmp_path / "start", {"v1": images.image()})
    scripted.on("POST", "/v2/a/blobs/uploads/", Answer(202, headers={"Location": "/v2/a/blobs/uploads/1"}))
    scripted.on("PUT", "/v2/a/blobs/uploads/1", Answer(201))
    scripted.on("PUT", "/v2/a/manifests/v1", error(404, "MANIFEST_BLOB_UNKNOWN"))
    with pytest.raises(Missing, match="MANIFEST_BLOB_UNKNOWN"):
        move(f"oci:{tmp_path}/start:v1", f"{scripted.host}/a:v1")
    assert sum(request.path == "/v2/a/manifests/v1" for request in scripted.requests if request.method == "PUT") == 1


def test_wrong_bytes_never_arrive(move: Callable[..., CopyResult], tmp_path: Path) -> None:
    """DESIGN 5: "Every byte that enters is checked against the digest asked for"; nothing of it is left."""
    sample = samples.oci()
    images.write_layout(tmp_path / "start", {"v1": sample})
    blob = sample.blobs[2]
    path = tmp_path / "start" / "blobs" / blob.digest.replace(":", "/")
    path.write_bytes(b"x" + blob.data[1:])
    with pytest.raises(IntegrityError, match=blob.digest):
        move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/end:v1")
    left = {each.name for each in (tmp_path / "end").rglob("*") if each.is_file()}
    assert blob.digest.partition(":")[2] not in left
    assert left <= {"oci-layout", "index.json", *(each.digest.partition(":")[2] for each in sample.blobs)}
    assert json.loads((tmp_path / "end" / "index.json").read_text())["manifests"] == []


@pytest.mark.real
def test_wrong_bytes_are_not_pushed(
    move: Callable[..., CopyResult], shared_registry: DockerRegistry, tmp_path: Path
) -> None:
    sample = samples.oci()
    images.write_layout(tmp_path / "start", {"v1": sample})
    blob = sample.blobs[2]
    path = tmp_path / "start" / "blobs" / blob.digest.replace(":", "/")
    path.write_bytes(b"x" + blob.data[1:])
    with pytest.raises(IntegrityError, match=blob.digest):
        move(f"oci:{tmp_path}/start:v1", f"{shared_registry.host}/wrong/a:v1")
    with pytest.raises(Missing):
        move(f"{shared_registry.host}/wrong/a:v1", f"oci:{tmp_path}/end:v1")


def test_progress_is_told(move: Callable[..., CopyResult], tmp_path: Path) -> None:
    """Issue 4: "planned before it starts so that the totals are known", "progress through a callback"."""
    sample = samples.oci()
    images.write_layout(tmp_path / "start", {"v1": sample})
    events: list[Event] = []
    move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/end:v1", progress=events.append)
    sizes = {blob.digest: len(blob.data) for blob in sample.blobs}
    assert (events[0].kind, events[0].items, events[0].bytes) == ("plan", len(sizes), sum(sizes.values()))
    for digest, size in sizes.items():
        of_this = [event for event in events if event.item == digest]
        assert [of_this[0].kind, of_this[-1].kind] == ["start", "finish"]
        assert of_this[-1].outcome == "sent"
        assert sum(event.bytes for event in of_this if event.kind == "advance") == size


def test_indexes_inside_of_indexes_end(move: Callable[..., CopyResult], tmp_path: Path) -> None:
    """ROBUSTNESS: "An index that contains itself, or a thousand nested ones → a cycle or depth error"."""
    nested = images.index()
    for _ in range(20):
        nested = images.index(nested)
    images.write_layout(tmp_path / "start", {"v1": nested})
    with pytest.raises(ContentError, match="inside of one another"):
        move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/end:v1")
    assert not (tmp_path / "end").exists()


def test_an_index_that_lies_about_a_size(move: Callable[..., CopyResult], tmp_path: Path) -> None:
    image = images.image()
    document = images.index(image).manifest.json
    document["manifests"][0]["size"] += 1
    content = images.Content(images.index().manifest.media_type, json.dumps(document).encode())
    images.write_layout(tmp_path / "start", {"v1": images.Image(content, (), (image,))})
    with pytest.raises(ContentError, match="the index says"):
        move(f"oci:{tmp_path}/start:v1", f"oci:{tmp_path}/end:v1")


def test_content_in_the_manifest_is_not_fetched(
    move: Callable[..., CopyResult], scripted: Origin, tmp_path: Path
) -> None:
    """image-spec, descriptor.md: `data` holds the content itself."""
    artifact = samples.artifact()
    document = artifact.manifest.json
    for place, blob in ((document["config"], artifact.blobs[0]), (document["layers"][0], artifact.blobs[1])):
        place["data"] = base64.b64encode(blob.data).decode()
    content = images.Content(artifact.manifest.media_type, json.dumps(document).encode())
    answer = Answer(200, {"Content-Type": content.media_type, "Docker-Content-Digest": content.digest}, content.data)
    scripted.on("GET|HEAD", f"/v2/a/manifests/{content.digest}", answer)
    move(f"{scripted.host}/a@{content.digest}", f"oci:{tmp_path}/end:v1")
    assert all("/manifests/" in request.path for request in scripted.requests)
    for blob in artifact.blobs:
        assert (tmp_path / "end" / "blobs" / blob.digest.replace(":", "/")).read_bytes() == blob.data
