"""Referrers, with the API and with the tag that stands in for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from sonar_core.client import Client
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import ContentError, Forbidden, NotFound, ProtocolError
from sonar_core.manifest import Manifest
from sonar_core.media_types import OCI_EMPTY, OCI_INDEX, OCI_MANIFEST
from sonar_core.sources import BytesSource
from sonar_core.testing.scripted import Answer, Origin, error
from sonar_plugins.blobs.endpoint import Blobs
from sonar_plugins.manifests.endpoint import Manifests
from sonar_plugins.referrers.endpoint import Referrers, descriptor_of, fallback_tag
from sonar_plugins.serve.server import EmbeddedRegistry
from tests.support import images
from tests.support.docker_registry import DockerRegistry
from tests.support.endpoints import Connect
from tests.support.push import push

SIGNATURE, SBOM = "application/vnd.example.signature", "application/vnd.example.sbom+json"
IMAGE = images.image()
SUBJECT = Digest.parse(IMAGE.digest)
EMPTY = Digest.of(b"{}")


@pytest.fixture(scope="session")
def without_api() -> Iterator[EmbeddedRegistry]:
    """An embedded registry that has no referrers API."""
    with EmbeddedRegistry(referrers=False) as registry:
        yield registry


@pytest.fixture(params=["with the API", "without", "docker-registry"])
def client(request: pytest.FixtureRequest, connect: Connect, path: str) -> Client:
    """A client of each kind of registry in turn; the repository holds the subject and the empty blob."""
    running: EmbeddedRegistry | DockerRegistry
    if request.param == "docker-registry":
        running = request.getfixturevalue("shared_registry")
    else:
        running = request.getfixturevalue("embedded" if request.param == "with the API" else "without_api")
    push(running.url, path, "v1", IMAGE)
    made, _ = connect(running.host)
    Blobs(made).put(path, EMPTY, BytesSource(b"{}"), 2)
    return made


def artifact(kind: str, note: str = "", subject: Digest = SUBJECT) -> Manifest:
    empty = Descriptor(OCI_EMPTY, EMPTY, 2).to_json()
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": empty,
        "layers": [empty],
        "subject": Descriptor(OCI_MANIFEST, subject, len(IMAGE.manifest.data)).to_json(),
        "annotations": {"note": note},
    }
    return Manifest.parse(json.dumps(document).encode())


def attach(client: Client, path: str, manifest: Manifest) -> None:
    """What `sonar manifest put` and a copy do."""
    if Manifests(client).put(path, manifest.digest, manifest).subject is None:
        Referrers(client).add(path, manifest)


def test_what_was_attached_is_listed(client: Client, path: str) -> None:
    referrers = Referrers(client)
    assert list(referrers.list(path, SUBJECT)) == []
    made = [artifact(SIGNATURE), artifact(SBOM), artifact(SIGNATURE, "again")]
    for manifest in made:
        attach(client, path, manifest)
    attach(client, path, made[0])  # twice is once
    found = {entry.digest: entry for entry in referrers.list(path, SUBJECT)}
    assert found == {manifest.digest: descriptor_of(manifest) for manifest in made}
    entry = found[made[2].digest]
    assert (entry.artifact_type, dict(entry.annotations)) == (SIGNATURE, {"note": "again"})


def test_only_one_type(client: Client, path: str) -> None:
    for manifest in (artifact(SIGNATURE), artifact(SBOM)):
        attach(client, path, manifest)
    listed = Referrers(client).list(path, SUBJECT, artifact_type=SBOM)
    assert [entry.digest for entry in listed] == [artifact(SBOM).digest]
    assert list(Referrers(client).list(path, SUBJECT, artifact_type="application/other")) == []


def test_what_was_deleted_is_listed_no_more(client: Client, path: str) -> None:
    kept, gone = artifact(SIGNATURE), artifact(SBOM)
    for manifest in (kept, gone):
        attach(client, path, manifest)
    Manifests(client).delete(path, gone.digest)
    Referrers(client).remove(path, gone)
    assert [entry.digest for entry in Referrers(client).list(path, SUBJECT)] == [kept.digest]
    Manifests(client).delete(path, kept.digest)
    Referrers(client).remove(path, kept)
    assert list(Referrers(client).list(path, SUBJECT)) == []


def test_attached_side_by_side(without_api: EmbeddedRegistry, connect: Connect, path: str) -> None:
    """The tag is read, changed and written: eight threads, each with a client of its own, lose nothing."""
    push(without_api.url, path, "v1", IMAGE)
    first, _ = connect(without_api.host)
    Blobs(first).put(path, EMPTY, BytesSource(b"{}"), 2)
    made = [artifact(SIGNATURE, str(number)) for number in range(8)]
    clients = [connect(without_api.host)[0] for _ in made]
    threads = [
        threading.Thread(target=attach, args=(client, path, manifest))
        for client, manifest in zip(clients, made, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    listed = {entry.digest for entry in Referrers(first).list(path, SUBJECT)}
    assert listed == {manifest.digest for manifest in made}


def test_what_has_no_subject_changes_nothing(scripted: Origin, connect: Connect) -> None:
    client, record = connect(scripted.host)
    plain = Manifest.parse(IMAGE.manifest.data)
    Referrers(client).add("a", plain)
    Referrers(client).remove("a", plain)
    assert record.exchanges == []


def test_a_type_that_only_the_config_says() -> None:
    """distribution-spec: "If the artifactType is empty or missing …, set to the config descriptor's mediaType"."""
    document = {**IMAGE.manifest.json, "subject": IMAGE.manifest.descriptor()}
    assert descriptor_of(Manifest.parse(json.dumps(document).encode())).artifact_type == (
        "application/vnd.oci.image.config.v1+json"
    )


def test_the_tag() -> None:
    """distribution-spec, "Referrers Tag Schema": at most 32 characters of the algorithm and 64 of the hash."""
    assert fallback_tag(Digest.of(b"x")) == f"sha256-{Digest.of(b'x').hex}"
    assert fallback_tag(Digest.of(b"x", "sha512")) == f"sha512-{Digest.of(b'x', 'sha512').hex[:64]}"


def page(*entries: Descriptor, link: str = "") -> Answer:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.to_json() for entry in entries]}
    headers = {"Content-Type": OCI_INDEX} | ({"Link": f"<{link}>; rel=next"} if link else {})
    return Answer(200, headers, json=document)


def url(path: str = "a") -> str:
    return f"/v2/{path}/referrers/{SUBJECT}"


def test_pages(scripted: Origin, connect: Connect) -> None:
    """end-12a with `Link`; the second page is asked for when the first is used up."""
    client, _ = connect(scripted.host)
    first, second = descriptor_of(artifact(SIGNATURE)), descriptor_of(artifact(SBOM))
    scripted.on("GET", url(), page(first, link=f"{url()}?next=2"))
    scripted.on("GET", f"{url()}?next=2", page(second))
    listed = Referrers(client).list("a", SUBJECT)
    assert next(listed) == first
    assert len(scripted.requests) == 1
    assert list(listed) == [second]


def test_a_registry_that_does_not_filter(scripted: Origin, connect: Connect) -> None:
    """end-12b: without `OCI-Filters-Applied` the client filters; with it, again, which does no harm."""
    client, _ = connect(scripted.host)
    entries = [descriptor_of(artifact(SIGNATURE)), descriptor_of(artifact(SBOM))]
    scripted.on("GET", url(), page(*entries))
    assert list(Referrers(client).list("a", SUBJECT, artifact_type=SBOM)) == [entries[1]]
    assert scripted.requests[0].query == {"artifactType": [SBOM]}


def test_an_unknown_repository(scripted: Origin, connect: Connect) -> None:
    client, _ = connect(scripted.host)
    scripted.default = error(404, "NAME_UNKNOWN")
    with pytest.raises(NotFound):
        list(Referrers(client).list("a", SUBJECT))
    assert len(scripted.requests) == 1


def test_an_error_is_not_an_empty_list(scripted: Origin, connect: Connect) -> None:
    client, _ = connect(scripted.host, attempts=1)
    scripted.default = Answer(403)
    with pytest.raises(Forbidden):
        list(Referrers(client).list("a", SUBJECT))


def test_a_second_page_that_is_missing(scripted: Origin, connect: Connect) -> None:
    """ROBUSTNESS: "a page that fails makes the command fail": no fallback half-way."""
    client, _ = connect(scripted.host)
    scripted.on("GET", url(), page(descriptor_of(artifact(SBOM)), link=f"{url()}?next=2"))
    scripted.on("GET", f"{url()}?next=2", Answer(404))
    with pytest.raises(NotFound):
        list(Referrers(client).list("a", SUBJECT))


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"manifests": [{"mediaType": OCI_MANIFEST, "digest": "nonsense", "size": 1}]}, ContentError),
        ({"manifests": ["text"]}, ContentError),
        ({"manifests": {}}, ProtocolError),
        ([], ProtocolError),
    ],
)
def test_a_list_that_is_damaged(scripted: Origin, connect: Connect, document: object, kind: type[Exception]) -> None:
    client, _ = connect(scripted.host)
    scripted.on("GET", url(), Answer(200, json=document))
    with pytest.raises(kind):
        list(Referrers(client).list("a", SUBJECT))


def test_a_tag_that_is_no_index(scripted: Origin, connect: Connect) -> None:
    """It is somebody's image: not listed, and above all not replaced."""
    client, _ = connect(scripted.host)
    headers = {"Content-Type": IMAGE.manifest.media_type}
    scripted.on("GET", f"/v2/a/manifests/{fallback_tag(SUBJECT)}", Answer(200, headers, IMAGE.manifest.data))
    with pytest.raises(ContentError, match="no index"):
        list(Referrers(client).list("a", SUBJECT))
    with pytest.raises(ContentError, match="no index"):
        Referrers(client).add("a", artifact(SBOM))
    assert scripted.calls("PUT") == []
