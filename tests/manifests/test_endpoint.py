"""Manifests: exact bytes, a digest over them, and answers that do not agree."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from sonar_core.content import Digest
from sonar_core.errors import (
    BadReference,
    IntegrityError,
    NotFound,
    ProtocolError,
    RateLimited,
    ResponseError,
    Unauthorized,
    Unsupported,
)
from sonar_core.manifest import Manifest
from sonar_core.media_types import MANIFEST_TYPES, OCI_INDEX, OCI_MANIFEST
from sonar_core.testing.scripted import Answer, Origin, error
from sonar_plugins.manifests.endpoint import Manifests, Pushed
from sonar_plugins.serve.server import EmbeddedRegistry
from tests.support import images
from tests.support.docker_registry import DockerRegistry
from tests.support.endpoints import Connect
from tests.support.images import Content
from tests.support.push import push

IMAGE = images.image()
INDEX = images.index()
RAW = IMAGE.manifest.data
DIGEST = Digest.of(RAW)
OTHER = Digest.of(b"other")
PATH = "/v2/a/manifests/v1"


def answer(content: Content = IMAGE.manifest, **headers: str | None) -> Answer:
    """A good answer; `Docker_Content_Digest=None` leaves a header out."""
    said: dict[str, str | None] = {"Content-Type": content.media_type, "Docker-Content-Digest": content.digest}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(200, {name: value for name, value in said.items() if value is not None}, content.data)


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_what_was_pushed_comes_back(host: str, connect: Connect, path: str, kind: images.Kind) -> None:
    """end-3: the exact bytes, by tag and by digest, of images and indexes."""
    client, _ = connect(host)
    for tag, made in (("image", images.image(kind=kind)), ("index", images.index(kind=kind))):
        digest = Digest.parse(push(f"http://{host}", path, tag, made))
        for reference in (tag, digest, str(digest)):
            found = Manifests(client).get(path, reference)
            assert (found.raw, found.media_type, found.digest) == (made.manifest.data, made.manifest.media_type, digest)
            assert Manifests(client).head(path, reference) == found.descriptor()


def test_put(host: str, connect: Connect, path: str) -> None:
    """end-7: under a tag, and under its digest; indented JSON stays as it is."""
    client, _ = connect(host)
    push(f"http://{host}", path, "first", IMAGE)
    manifests = Manifests(client)
    manifest = Manifest.parse(json.dumps(IMAGE.manifest.json, indent=7).encode(), OCI_MANIFEST)
    assert manifests.put(path, "v2", manifest) == Pushed(manifest.digest)
    assert manifests.get(path, "v2").raw == manifest.raw
    other = Manifest.parse(json.dumps(IMAGE.manifest.json, indent=9).encode(), OCI_MANIFEST)
    assert manifests.put(path, other.digest, other).digest == other.digest
    assert manifests.get(path, other.digest).raw == other.raw


def test_put_by_sha512(embedded: EmbeddedRegistry, connect: Connect, path: str) -> None:
    client, _ = connect(embedded.host)
    push(embedded.url, path, "first", IMAGE)
    manifest, digest = Manifest.parse(RAW), Digest.of(RAW, "sha512")
    assert Manifests(client).put(path, digest, manifest).digest == digest
    assert Manifests(client).get(path, digest).digest == digest


def test_put_of_what_points_to_nothing(host: str, connect: Connect, path: str) -> None:
    """The code that a copy acts on: it pushes the blobs again."""
    client, _ = connect(host)
    with pytest.raises(ResponseError) as caught:
        Manifests(client).put(path, "v1", Manifest.parse(RAW))
    assert "MANIFEST_BLOB_UNKNOWN" in caught.value.codes


def test_put_says_whether_the_registry_lists_referrers(embedded: EmbeddedRegistry, connect: Connect, path: str) -> None:
    """`OCI-Subject` (distribution-spec, "Pushing Manifests with Subject")."""
    client, _ = connect(embedded.host)
    push(embedded.url, path, "v1", IMAGE)
    document = {**IMAGE.manifest.json, "subject": IMAGE.manifest.descriptor()}
    manifest = Manifest.parse(json.dumps(document).encode())
    assert Manifests(client).put(path, "signature", manifest).subject == DIGEST


def test_delete_by_digest(host: str, connect: Connect, path: str) -> None:
    """end-9: the manifest and its tags."""
    client, _ = connect(host)
    push(f"http://{host}", path, "v1", IMAGE)
    Manifests(client).delete(path, DIGEST)
    for reference in ("v1", DIGEST):
        with pytest.raises(NotFound):
            Manifests(client).get(path, reference)


def test_delete_a_tag(embedded: EmbeddedRegistry, connect: Connect, path: str) -> None:
    """end-9: the tag alone."""
    client, _ = connect(embedded.host)
    push(embedded.url, path, "v1", IMAGE)
    Manifests(client).delete(path, "v1")
    assert Manifests(client).get(path, DIGEST).raw == RAW
    with pytest.raises(NotFound):
        Manifests(client).head(path, "v1")


def test_a_registry_that_deletes_no_tags(shared_registry: DockerRegistry, connect: Connect, path: str) -> None:
    """docker-registry 2.8 can't: said as Unsupported, and the tag stays."""
    client, _ = connect(shared_registry.host)
    push(shared_registry.url, path, "v1", IMAGE)
    with pytest.raises(Unsupported, match="does not delete tags"):
        Manifests(client).delete(path, "v1")
    assert Manifests(client).head(path, "v1").digest == DIGEST


@pytest.mark.parametrize("status", [400, 405, 501])
def test_ways_to_refuse_the_deletion_of_a_tag(scripted: Origin, connect: Connect, status: int) -> None:
    client, _ = connect(scripted.host)
    scripted.on("DELETE", PATH, error(status, "DIGEST_INVALID"))
    with pytest.raises(Unsupported):
        Manifests(client).delete("a", "v1")
    scripted.on("DELETE", f"/v2/a/manifests/{DIGEST}", error(status, "DIGEST_INVALID"))
    with pytest.raises(ResponseError) as caught:
        Manifests(client).delete("a", DIGEST)
    assert caught.value.status == status


@pytest.mark.parametrize("status", [200, 202, 204])
def test_every_answer_that_means_deleted(scripted: Origin, connect: Connect, status: int) -> None:
    client, _ = connect(scripted.host)
    scripted.on("DELETE", PATH, Answer(status))
    Manifests(client).delete("a", "v1")
    assert len(scripted.requests) == 1


def test_what_is_asked_for(scripted: Origin, connect: Connect) -> None:
    """Without the types of indexes in `Accept`, a registry may choose a platform."""
    client, _ = connect(scripted.host)
    scripted.on("GET|HEAD", PATH, answer())
    Manifests(client).get("a", "v1")
    Manifests(client).head("a", "v1")
    Manifests(client).get("a", "v1", accept=[OCI_INDEX])
    accepted = [request.header("Accept") for request in scripted.requests]
    assert accepted == [", ".join(MANIFEST_TYPES), ", ".join(MANIFEST_TYPES), OCI_INDEX]


def test_a_digest_that_is_not_announced_is_computed(scripted: Origin, connect: Connect) -> None:
    """ROBUSTNESS: "`Docker-Content-Digest` missing → compute it"."""
    client, _ = connect(scripted.host)
    scripted.on("GET|HEAD", PATH, answer(Docker_Content_Digest=None))
    assert Manifests(client).get("a", "v1").digest == DIGEST
    assert Manifests(client).head("a", "v1") == Manifest.parse(RAW).descriptor()
    assert [request.method for request in scripted.requests] == ["GET", "HEAD", "GET"]


@pytest.mark.parametrize("announced", [str(OTHER), str(Digest.of(b"x", "sha512")), "nonsense", "sha256:short", "md5:x"])
def test_another_digest_is_announced(scripted: Origin, connect: Connect, announced: str) -> None:
    """ROBUSTNESS: "present and different → error"."""
    client, _ = connect(scripted.host)
    scripted.on("GET", PATH, answer(Docker_Content_Digest=announced))
    with pytest.raises(IntegrityError):
        Manifests(client).get("a", "v1")


def test_another_algorithm_may_be_announced(scripted: Origin, connect: Connect) -> None:
    client, _ = connect(scripted.host)
    scripted.on(
        "GET|HEAD", re.compile(r"/v2/a/manifests/.*"), answer(Docker_Content_Digest=str(Digest.of(RAW, "sha512")))
    )
    assert Manifests(client).get("a", DIGEST).digest == DIGEST
    assert Manifests(client).get("a", "v1").raw == RAW
    assert Manifests(client).head("a", DIGEST).digest == DIGEST


@pytest.mark.parametrize("announced", [None, str(OTHER), str(Digest.of(INDEX.manifest.data))])
def test_bytes_win_over_headers(scripted: Origin, connect: Connect, announced: str | None) -> None:
    """ROBUSTNESS: "The digest asked for is compared with a hash over the bytes that came" (CVE-2025-24882)."""
    client, _ = connect(scripted.host)
    scripted.on("GET", f"/v2/a/manifests/{OTHER}", answer(INDEX.manifest, Docker_Content_Digest=announced))
    with pytest.raises(IntegrityError):
        Manifests(client).get("a", OTHER)


def test_a_head_that_announces_another_digest_than_asked_for(scripted: Origin, connect: Connect) -> None:
    client, _ = connect(scripted.host)
    scripted.on("HEAD", f"/v2/a/manifests/{OTHER}", answer())
    with pytest.raises(IntegrityError):
        Manifests(client).head("a", OTHER)


@pytest.mark.parametrize("status", [400, 403, 405, 501])
def test_a_head_that_is_refused(scripted: Origin, connect: Connect, status: int) -> None:
    """ROBUSTNESS: "HEAD refused → GET"."""
    client, _ = connect(scripted.host)
    scripted.on("GET", PATH, answer())
    scripted.on("HEAD", PATH, Answer(status))
    assert Manifests(client).head("a", "v1") == Manifest.parse(RAW).descriptor()


@pytest.mark.parametrize(
    "head",
    [
        answer(Content_Type=None),
        answer(Content_Type="application/octet-stream"),
        answer(Docker_Content_Digest=None),
        replace(answer(), framing="chunked"),
        answer(Content_Length="0"),
        answer(Content_Length="many"),
    ],
    ids=["no type", "no manifest's type", "no digest", "no size", "size 0", "no number"],
)
def test_a_head_that_does_not_say_it_all(scripted: Origin, connect: Connect, head: Answer) -> None:
    """By GET, then: type, digest and size are always right."""
    client, _ = connect(scripted.host)
    scripted.on("GET", PATH, answer())
    scripted.on("HEAD", PATH, head)
    assert Manifests(client).head("a", "v1") == Manifest.parse(RAW).descriptor()
    assert [request.method for request in scripted.requests] == ["HEAD", "GET"]


@pytest.mark.parametrize(("status", "kind"), [(401, Unauthorized), (404, NotFound), (429, RateLimited)])
def test_a_head_that_fails_is_not_repeated_as_a_get(
    scripted: Origin, connect: Connect, status: int, kind: type[ResponseError]
) -> None:
    client, _ = connect(scripted.host, attempts=1)
    scripted.default = Answer(status)
    with pytest.raises(kind):
        Manifests(client).head("a", "v1")
    assert scripted.calls("GET", PATH) == []


def test_another_digest_than_the_reference_is_not_put(scripted: Origin, connect: Connect) -> None:
    client, record = connect(scripted.host)
    with pytest.raises(IntegrityError):
        Manifests(client).put("a", OTHER, Manifest.parse(RAW))
    assert record.exchanges == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Docker-Content-Digest": str(OTHER)},
        {"Docker-Content-Digest": "nonsense"},
        {"Location": f"/v2/a/manifests/{OTHER}"},
        {"Location": f"/v2/a/manifests/{OTHER}?x=y".replace(":", "%3A")},
    ],
)
def test_a_put_that_is_answered_with_another_digest(
    scripted: Origin, connect: Connect, headers: dict[str, str]
) -> None:
    """ROBUSTNESS: "A PUT answered with another digest → error"."""
    client, _ = connect(scripted.host)
    scripted.on("PUT", PATH, Answer(201, headers))
    with pytest.raises(IntegrityError):
        Manifests(client).put("a", "v1", Manifest.parse(RAW))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Location": "/v2/a/manifests/v1"},
        {"Location": f"/v2/a/manifests/{DIGEST}"},
        {"Location": f"/v2/a/manifests/{OTHER}", "Docker-Content-Digest": str(DIGEST)},
        {"Docker-Content-Digest": str(Digest.of(b"", "sha512"))},
        {"OCI-Subject": "nonsense"},
    ],
)
def test_a_put_that_is_answered_well(scripted: Origin, connect: Connect, headers: dict[str, str]) -> None:
    client, _ = connect(scripted.host)
    scripted.on("PUT", PATH, Answer(201, headers))
    assert Manifests(client).put("a", "v1", Manifest.parse(RAW)) == Pushed(DIGEST)
    (sent,) = scripted.requests
    assert (sent.body, sent.header("Content-Type")) == (RAW, OCI_MANIFEST)


def test_more_than_a_manifest_may_have(scripted: Origin, connect: Connect) -> None:
    client, _ = connect(scripted.host, manifest_bytes=len(RAW) - 1)
    scripted.on("GET", PATH, answer())
    with pytest.raises(ProtocolError, match=str(len(RAW) - 1)):
        Manifests(client).get("a", "v1")


@pytest.mark.parametrize("reference", ["", "a/b", "..", "sha256:short", "md5:00", "sha256:" + "g" * 64, "v1?x", "v1#"])
def test_references_are_checked_before_anything_is_sent(scripted: Origin, connect: Connect, reference: str) -> None:
    """ROBUSTNESS: "validated before it is part of a URL" (CVE-2024-3727)."""
    client, record = connect(scripted.host)
    manifests, manifest = Manifests(client), Manifest.parse(RAW)
    for ask in (
        lambda: manifests.get("a", reference),
        lambda: manifests.head("a", reference),
        lambda: manifests.delete("a", reference),
        lambda: manifests.put("a", reference, manifest),
        lambda: manifests.get("../a", "v1"),
    ):
        with pytest.raises(BadReference):
            ask()
    assert record.exchanges == []
