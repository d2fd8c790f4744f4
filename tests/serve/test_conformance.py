"""The same kinds of checks as the official OCI conformance suite (distribution-spec v1.1), on real sockets.

Pull, push, content discovery and content management, for every kind of content that the suite makes, on both storages.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest

from tests.serve.contents import (
    CONFIG,
    DOCKER_IMAGE,
    DOCKER_LIST,
    FOREIGN,
    IMAGE,
    INDEX,
    SBOM,
    SIGNATURE,
    Set,
    digest,
    push,
    push_blob,
    put_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serve.conftest import Answer, Caller

algorithms = pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
ACCEPT = {"Accept": f"{INDEX}, {IMAGE}"}


def open_upload(call: Caller, repository: str) -> str:
    answer = call("POST", f"/v2/{repository}/blobs/uploads/")
    assert answer.status == 202
    assert answer.location
    return answer.location


def close_upload(call: Caller, location: str, name: str, body: bytes = b"", **headers: str) -> Answer:
    separator = "&" if "?" in location else "?"
    return call("PUT", f"{location}{separator}digest={quote(name)}", body, headers)


def send_chunk(call: Caller, location: str, data: bytes, first: int) -> Answer:
    span = f"{first}-{first + len(data) - 1}"
    headers = {"Content-Range": span, "Content-Type": "application/octet-stream"}
    return call("PATCH", location, data, headers)


def assert_pushed(call: Caller, answer: Answer, repository: str, name: str, data: bytes) -> None:
    assert answer.status == 201, answer.body
    assert answer.headers["Docker-Content-Digest"] == name
    assert call("GET", answer.location).body == data
    head = call("HEAD", f"/v2/{repository}/blobs/{name}")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(data))
    assert head.headers["Docker-Content-Digest"] == name
    got = call("GET", f"/v2/{repository}/blobs/{name}")
    assert (got.status, got.body) == (200, data)
    assert got.headers["Content-Length"] == str(len(data))
    assert got.headers["Docker-Content-Digest"] == name


def assert_deleted(call: Caller, path: str) -> None:
    assert call("DELETE", path).status == 202
    assert call("HEAD", path).status == 404
    assert call("GET", path).status == 404
    assert call("DELETE", path).status == 404


# ── an empty registry ───────────────────────────────────────────────────────────────────────────────────────


def test_the_base_answers(call: Caller) -> None:
    """end-1: `GET /v2/` … 200."""
    assert call("GET", "/v2/").status == 200
    assert call("HEAD", "/v2/").status == 200


def test_an_unknown_repository_has_no_tags_and_no_referrers(call: Caller, repository: str) -> None:
    """ "If the registry supports the referrers API … it MUST NOT return a 404" for what nobody refers to."""
    tags = call("GET", f"/v2/{repository}/tags/list")
    assert (tags.status, tags.code) == (404, "NAME_UNKNOWN")
    answer = call("GET", f"/v2/{repository}/referrers/{digest(b'nothing')}")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == INDEX
    assert answer.json == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}


@pytest.mark.parametrize("known", [False, True])
def test_what_is_missing_is_404_with_the_specs_codes(call: Caller, repository: str, known: bool) -> None:
    if known:
        push_blob(call, repository, digest(b"{}"), b"{}")
    codes = ("BLOB_UNKNOWN", "MANIFEST_UNKNOWN") if known else ("NAME_UNKNOWN", "NAME_UNKNOWN")
    for part, code in zip(("blobs", "manifests"), codes, strict=True):
        path = f"/v2/{repository}/{part}/{digest(os.urandom(9))}"
        assert call("GET", path).status == call("HEAD", path).status == 404
        assert call("GET", path).code == code
    assert call("GET", f"/v2/{repository}/manifests/no-such-tag").code == codes[1]
    assert call("HEAD", f"/v2/{repository}/manifests/no-such-tag").status == 404


# ── blobs ───────────────────────────────────────────────────────────────────────────────────────────────────


@algorithms
@pytest.mark.parametrize("data", [os.urandom(512), b"", b"{}"], ids=["some", "empty", "empty-json"])
def test_push_with_one_post(call: Caller, repository: str, algorithm: str, data: bytes) -> None:
    """end-4b."""
    name = digest(data, algorithm)
    answer = call("POST", f"/v2/{repository}/blobs/uploads/?digest={quote(name)}", data)
    assert_pushed(call, answer, repository, name, data)
    assert_deleted(call, f"/v2/{repository}/blobs/{name}")


@algorithms
@pytest.mark.parametrize("data", [os.urandom(512), b"", b"{}"], ids=["some", "empty", "empty-json"])
def test_push_with_post_and_put(call: Caller, repository: str, algorithm: str, data: bytes) -> None:
    """end-4a, end-6."""
    name = digest(data, algorithm)
    answer = close_upload(call, open_upload(call, repository), name, data)
    assert_pushed(call, answer, repository, name, data)
    assert_deleted(call, f"/v2/{repository}/blobs/{name}")


@algorithms
def test_push_as_a_stream(call: Caller, repository: str, algorithm: str) -> None:
    """One PATCH without `Content-Range`, its body in chunked coding."""
    data = os.urandom(5000)
    name = digest(data, algorithm)
    answer = call("PATCH", open_upload(call, repository), iter([data[:7], data[7:4000], data[4000:]]))
    assert answer.status == 202
    assert answer.headers["Range"] == "0-4999"
    assert_pushed(call, close_upload(call, answer.location, name), repository, name, data)


@algorithms
@pytest.mark.parametrize("last_by_put", [False, True])
@pytest.mark.parametrize("size", [1024, 1025, 3067])
def test_push_in_chunks(call: Caller, repository: str, algorithm: str, last_by_put: bool, size: int) -> None:
    data = os.urandom(size)
    name = digest(data, algorithm)
    location = open_upload(call, repository)
    pieces = [data[start : start + 1024] for start in range(0, size, 1024)]
    last = pieces.pop() if last_by_put else b""
    sent = 0
    for piece in pieces:
        answer = send_chunk(call, location, piece, sent)
        sent += len(piece)
        assert answer.status == 202
        assert answer.headers["Range"] == f"0-{sent - 1}"
        location = answer.location
    headers = {"Content-Range": f"{sent}-{size - 1}"} if last else {}
    assert_pushed(call, close_upload(call, location, name, last, **headers), repository, name, data)


@algorithms
@pytest.mark.parametrize("last_by_put", [False, True])
def test_chunks_out_of_order_are_416_and_the_upload_goes_on(
    call: Caller, repository: str, algorithm: str, last_by_put: bool
) -> None:
    """ "If a chunk is uploaded out of order, the registry MUST respond with … 416"; a GET says where to go on."""
    data = os.urandom(3067)
    name = digest(data, algorithm)
    location = open_upload(call, repository)
    sent = 0
    while sent < len(data):
        wrong = sent + 1024 if sent + 1024 < len(data) else 0
        assert send_chunk(call, location, data[wrong : wrong + 1024], wrong).status == 416
        if last_by_put:
            stray = {"Content-Range": f"{wrong}-{wrong + 9}"}
            assert close_upload(call, location, name, data[wrong : wrong + 10], **stray).status == 416
        state = call("GET", location)
        assert state.status == 204
        assert state.headers["Range"] == f"0-{max(sent - 1, 0)}"
        location = state.location
        piece = data[sent : sent + 1024]
        if last_by_put and sent + len(piece) == len(data):
            headers = {"Content-Range": f"{sent}-{len(data) - 1}"}
            assert_pushed(call, close_upload(call, location, name, piece, **headers), repository, name, data)
            return
        answer = send_chunk(call, location, piece, sent)
        assert answer.status == 202
        location, sent = answer.location, sent + len(piece)
    assert_pushed(call, close_upload(call, location, name), repository, name, data)


def test_a_cancelled_upload_is_gone(call: Caller, repository: str) -> None:
    location = open_upload(call, repository)
    assert call("DELETE", location).status == 204
    assert (call("GET", location).status, call("GET", location).code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert call("PATCH", location, b"x").status == 404
    assert call("DELETE", location).status == 404


def test_an_upload_belongs_to_its_repository(call: Caller, repository: str) -> None:
    location = open_upload(call, repository)
    assert call("GET", location.replace(repository, f"{repository}/other")).status == 404


@algorithms
def test_mount_from_a_named_repository(call: Caller, repository: str, algorithm: str) -> None:
    """end-11."""
    data = os.urandom(512)
    name = digest(data, algorithm)
    push_blob(call, f"{repository}/source", name, data)
    assert call("HEAD", f"/v2/{repository}/blobs/{name}").status == 404
    query = urlencode({"mount": name, "from": f"{repository}/source"})
    answer = call("POST", f"/v2/{repository}/blobs/uploads/?{query}")
    assert_pushed(call, answer, repository, name, data)
    assert_deleted(call, f"/v2/{repository}/source/blobs/{name}")
    assert call("GET", f"/v2/{repository}/blobs/{name}").body == data


@algorithms
def test_mount_from_anywhere(call: Caller, repository: str, algorithm: str) -> None:
    data = os.urandom(512)
    name = digest(data, algorithm)
    push_blob(call, f"{repository}/source", name, data)
    answer = call("POST", f"/v2/{repository}/blobs/uploads/?{urlencode({'mount': name})}")
    assert_pushed(call, answer, repository, name, data)


@pytest.mark.parametrize("source", [None, "no/such", "NOT A NAME", "../.."])
def test_a_mount_that_cannot_be_falls_back_to_an_upload(call: Caller, repository: str, source: str | None) -> None:
    data = os.urandom(512)
    query = {"mount": digest(data)} | ({"from": source} if source else {})
    answer = call("POST", f"/v2/{repository}/blobs/uploads/?{urlencode(query)}")
    assert answer.status == 202
    assert_pushed(call, close_upload(call, answer.location, digest(data), data), repository, digest(data), data)


@algorithms
def test_other_bytes_than_the_digest_says_are_refused(call: Caller, repository: str, algorithm: str) -> None:
    data = os.urandom(3067)
    name, wrong = digest(data, algorithm), data + b"oh no"

    def by_post() -> Answer:
        return call("POST", f"/v2/{repository}/blobs/uploads/?digest={name}", wrong)

    def by_put() -> Answer:
        return close_upload(call, open_upload(call, repository), name, wrong)

    def by_stream() -> Answer:
        return close_upload(call, call("PATCH", open_upload(call, repository), iter([wrong])).location, name)

    def by_chunks() -> Answer:
        location = send_chunk(call, open_upload(call, repository), wrong[:2000], 0).location
        return close_upload(call, send_chunk(call, location, wrong[2000:], 2000).location, name)

    ways: list[Callable[[], Answer]] = [by_post, by_put, by_stream, by_chunks]
    for way in ways:
        answer = way()
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
        assert call("HEAD", f"/v2/{repository}/blobs/{name}").status == 404


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("500-1499", 500, 1499), ("500-", 500, 2047), ("-500", 1548, 2047), ("2000-5000", 2000, 2047), ("-9999", 0, 2047)],
)
def test_a_part_of_a_blob(call: Caller, repository: str, asked: str, first: int, last: int) -> None:
    """RFC 9110, 14: 206 with `Content-Range`."""
    data = os.urandom(2048)
    push_blob(call, repository, digest(data), data)
    path = f"/v2/{repository}/blobs/{digest(data)}"
    answer = call("GET", path, headers={"Range": f"bytes={asked}"})
    assert (answer.status, answer.body) == (206, data[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/2048"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert call("GET", path, headers={"Range": f"bytes={asked}", "If-Range": '"other"'}).body == data
    assert call("HEAD", path, headers={"Range": f"bytes={asked}"}).headers["Content-Length"] == "2048"


@pytest.mark.parametrize("asked", ["500-0", "5000-10000", "2048-", "-0"])
def test_a_part_that_is_not_there_is_416(call: Caller, repository: str, asked: str) -> None:
    data = os.urandom(2048)
    push_blob(call, repository, digest(data), data)
    answer = call("GET", f"/v2/{repository}/blobs/{digest(data)}", headers={"Range": f"bytes={asked}"})
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */2048"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=-", "nonsense"])
def test_a_range_that_is_not_understood_gives_the_whole(call: Caller, repository: str, asked: str) -> None:
    data = os.urandom(2048)
    push_blob(call, repository, digest(data), data)
    answer = call("GET", f"/v2/{repository}/blobs/{digest(data)}", headers={"Range": asked})
    assert (answer.status, answer.body) == (200, data)


# ── manifests ───────────────────────────────────────────────────────────────────────────────────────────────


def nondistributable() -> Set:
    made = Set()
    away = {"mediaType": FOREIGN, "digest": digest(b"elsewhere"), "size": 9}
    linked = {**away, "digest": digest(b"linked"), "urls": ["https://store.example.com/linked"]}
    made.manifest(
        {"config": made.config(), "layers": [away, {**linked, "mediaType": f"{FOREIGN}+gzip"}, made.layer()]},
        IMAGE,
        tag="nondistributable",
    )
    return made


def nested() -> Set:
    made = Set()
    made.manifest({"manifests": [made.index(), made.index()]}, INDEX, tag="nested")
    return made


def with_data() -> Set:
    made = Set()
    config = {**made.blob(b'{"a":1}', CONFIG), "data": "eyJhIjoxfQ=="}
    made.manifest({"config": config, "layers": [made.layer()]}, IMAGE, tag="data")
    return made


def docker() -> Set:
    made = Set()
    layer = {**made.layer(), "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}
    config = {**made.config(), "mediaType": "application/vnd.docker.container.image.v1+json"}
    image = made.manifest({"config": config, "layers": [layer]}, DOCKER_IMAGE, tag="docker")
    made.manifest({"manifests": [{**image, "platform": {"os": "linux", "architecture": "amd64"}}]}, DOCKER_LIST)
    return made


def made_by(method: str, *arguments: Any, algorithm: str = "sha256", **options: Any) -> Callable[[], Set]:
    def make() -> Set:
        made = Set(algorithm)
        getattr(made, method)(*arguments, **options)
        return made

    return make


MISSING = {"mediaType": IMAGE, "size": 123, "digest": digest(b"a subject that nobody has")}
LARGE = {f"large-{number}": "A" * 10000 for number in range(390)}
KINDS: dict[str, Callable[[], Set]] = {
    "image": made_by("image", tag="image"),
    "uncompressed": made_by("image", tag="image-uncompressed", compress=False),
    "large-manifest": made_by("image", tag="large-manifest", annotations=LARGE),
    "no-layers": made_by("image", tag="no-layers", layers=0),
    "index": made_by("index", tag="index"),
    "empty-index": made_by("index", tag="index", platforms=()),
    "nested-index": nested,
    "artifact": made_by("artifact", SBOM, tag="artifact"),
    "artifact-index": made_by("index", tag="artifact-index", artifactType=SBOM),
    "missing-subject": made_by("artifact", SBOM, tag="signature", subject=MISSING),
    "data-field": with_data,
    "nondistributable": nondistributable,
    "custom-fields": made_by("index", tag="custom", orgExampleField={"a": [1, None, "b"]}),
    "docker": docker,
    "sha512": made_by("index", algorithm="sha512"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_content_is_pushed_listed_pulled_and_deleted(call: Caller, repository: str, kind: str) -> None:
    content = KINDS[kind]()
    for name, data in content.blobs.items():
        push_blob(call, repository, name, data)
    for name, raw in content.manifests.items():
        assert_manifest_pushed(call, repository, content, name, name, raw)
    for tag, name in content.tags.items():
        assert_manifest_pushed(call, repository, content, tag, name, content.manifests[name])
    if content.tags:
        assert call("GET", f"/v2/{repository}/tags/list").json == {"name": repository, "tags": sorted(content.tags)}
    for reference, name in {**content.tags, **{name: name for name in content.manifests}}.items():
        path = f"/v2/{repository}/manifests/{reference}"
        for method, body in (("HEAD", b""), ("GET", content.manifests[name])):
            answer = call(method, path, headers=ACCEPT)
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["Content-Type"] == content.types[name]
            assert answer.headers["Content-Length"] == str(len(content.manifests[name]))
            assert answer.headers["Docker-Content-Digest"] == name
    for name, data in content.blobs.items():
        assert call("GET", f"/v2/{repository}/blobs/{name}").body == data
    for tag, name in content.tags.items():
        assert_deleted(call, f"/v2/{repository}/manifests/{tag}")
        assert call("HEAD", f"/v2/{repository}/manifests/{name}").status == 200
    for name in reversed(content.manifests):
        assert_deleted(call, f"/v2/{repository}/manifests/{name}")
    for name in content.blobs:
        assert_deleted(call, f"/v2/{repository}/blobs/{name}")
    assert call("GET", f"/v2/{repository}/tags/list").json["tags"] == []


def assert_manifest_pushed(call: Caller, repository: str, content: Set, reference: str, name: str, raw: bytes) -> None:
    answer = put_manifest(call, repository, reference, raw, content.types[name])
    assert answer.status == 201, answer.body
    subject = json.loads(raw).get("subject")
    assert answer.headers["OCI-Subject"] == (subject["digest"] if subject else None)
    if content.algorithm == "sha256" or ":" in reference:
        assert answer.headers["Docker-Content-Digest"] == name
    got = call("GET", answer.location, headers=ACCEPT)
    assert (got.status, got.body, got.headers["Content-Type"]) == (200, raw, content.types[name])


@algorithms
def test_tags_given_with_a_digest(call: Caller, repository: str, algorithm: str) -> None:
    """end-7b: `PUT …/manifests/<digest>?tag=a&tag=b`, answered with `OCI-Tag` (distribution-spec, 1.2)."""
    content = Set(algorithm)
    name = content.image()["digest"]
    for blob, data in content.blobs.items():
        push_blob(call, repository, blob, data)
    answer = put_manifest(call, repository, f"{name}?tag=one&tag=two", content.manifests[name])
    assert answer.status == 201
    assert answer.headers.get_all("OCI-Tag") == ["one", "two"]
    for tag in ("one", "two"):
        got = call("GET", f"/v2/{repository}/manifests/{tag}")
        assert (got.body, got.headers["Docker-Content-Digest"]) == (content.manifests[name], name)
    assert call("GET", f"/v2/{repository}/tags/list").json["tags"] == ["one", "two"]


def test_deleting_a_manifest_takes_its_tags_along(call: Caller, repository: str) -> None:
    content = Set()
    content.image(tag="one")
    other = content.image(tag="kept")
    push(call, repository, content)
    put_manifest(call, repository, "two", content.manifests[content.tags["one"]])
    assert_deleted(call, f"/v2/{repository}/manifests/{content.tags['one']}")
    assert call("GET", f"/v2/{repository}/tags/list").json["tags"] == ["kept"]
    assert call("HEAD", f"/v2/{repository}/manifests/{other['digest']}").status == 200


def test_a_tag_moves_and_the_old_manifest_stays(call: Caller, repository: str) -> None:
    content = Set()
    old = content.image(tag="latest")
    new = content.image()
    push(call, repository, content)
    put_manifest(call, repository, "latest", content.manifests[new["digest"]])
    head = call("HEAD", f"/v2/{repository}/manifests/latest")
    assert head.headers["Docker-Content-Digest"] == new["digest"]
    assert call("HEAD", f"/v2/{repository}/manifests/{old['digest']}").status == 200


def test_a_manifest_under_another_digest_is_refused(call: Caller, repository: str) -> None:
    content = Set()
    name = content.image()["digest"]
    for blob, data in content.blobs.items():
        push_blob(call, repository, blob, data)
    answer = put_manifest(call, repository, name, content.manifests[name] + b"  ")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert call("GET", f"/v2/{repository}/manifests/{name}").status == 404


@pytest.mark.parametrize("reference", ["sha256:baddigeststring", f"sha256:{'A' * 64}", "md5:" + "0" * 32])
def test_a_malformed_digest_is_refused(call: Caller, repository: str, reference: str) -> None:
    content = Set()
    name = content.image()["digest"]
    push(call, repository, content)
    answer = put_manifest(call, repository, reference, content.manifests[name])
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    for part in ("manifests", "blobs", "referrers"):
        answer = call("GET", f"/v2/{repository}/{part}/{reference}")
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


def test_a_manifest_whose_blobs_are_missing_is_refused(call: Caller, repository: str) -> None:
    content = Set()
    name = content.image(tag="latest")["digest"]
    answer = put_manifest(call, repository, "latest", content.manifests[name])
    assert (answer.status, answer.code) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert {detail["digest"] for detail in answer.json["errors"][0]["detail"]} == set(content.blobs)
    assert call("GET", f"/v2/{repository}/tags/list").status == 404


def test_an_index_whose_manifests_are_missing_is_refused(call: Caller, repository: str) -> None:
    content = Set()
    name = content.index()["digest"]
    for blob, data in content.blobs.items():
        push_blob(call, repository, blob, data)
    answer = put_manifest(call, repository, "latest", content.manifests[name], INDEX)
    assert (answer.status, answer.code) == (400, "MANIFEST_BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("raw", "media_type"),
    [
        (b"", IMAGE),
        (b"not json", IMAGE),
        (b"[]", IMAGE),
        (b'{"schemaVersion": 2}', "application/x-unknown"),
        (b'{"schemaVersion": 2, "mediaType": "%s", "manifests": []}' % INDEX.encode(), IMAGE),
        (b'{"schemaVersion": 2, "config": 1, "layers": []}', IMAGE),
        (b'{"schemaVersion": 2, "config": {}, "layers": [], "manifests": []}', INDEX),
        (b'{"schemaVersion": 1, "name": "a", "fsLayers": []}', "application/vnd.docker.distribution.manifest.v1+json"),
    ],
)
def test_what_is_no_manifest_is_refused(call: Caller, repository: str, raw: bytes, media_type: str) -> None:
    answer = put_manifest(call, repository, "latest", raw, media_type)
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")


def test_a_manifest_above_4_mib_is_413(call: Caller, repository: str) -> None:
    for body in (b" " * (4 * 1024 * 1024 + 1), iter([b" " * 4096] * 1025)):
        answer = call("PUT", f"/v2/{repository}/manifests/latest", body, {"Content-Type": IMAGE})
        assert (answer.status, answer.code) == (413, "SIZE_INVALID")


# ── discovery ───────────────────────────────────────────────────────────────────────────────────────────────


def test_tags_come_sorted_in_pages(call: Caller, repository: str) -> None:
    """ "The list of tags MUST be in lexical order"; `n`, `last` and `Link` (end-8b)."""
    content = Set()
    name = content.image()["digest"]
    push(call, repository, content)
    tags = sorted(["latest", "1.0", "1.10", "1.9", "Z", "a", "_x"])
    for tag in reversed(tags):
        put_manifest(call, repository, tag, content.manifests[name])
    path = f"/v2/{repository}/tags/list"
    assert call("GET", path).json["tags"] == tags
    for last in tags:
        assert call("GET", f"{path}?last={last}").json["tags"] == tags[tags.index(last) + 1 :]
    assert call("GET", f"{path}?n=2&last=zzz").json["tags"] == []
    assert call("GET", f"{path}?n=99").headers["Link"] is None
    nothing = call("GET", f"{path}?n=0")
    assert (nothing.json["tags"], nothing.headers["Link"]) == ([], None)
    seen, follow = [], f"{path}?n=3"
    while follow:
        answer = call("GET", follow)
        assert len(answer.json["tags"]) <= 3
        seen += answer.json["tags"]
        follow = next_page(answer)
    assert seen == tags


def next_page(answer: Answer) -> str:
    link = answer.headers["Link"] or ""
    assert not link or link.endswith('>; rel="next"')
    return link.partition(">")[0].removeprefix("<")


def test_repositories_come_sorted_in_pages(call: Caller, repository: str) -> None:
    mine = [f"{repository}/{name}" for name in ("a", "b", "c/d", "e")]
    for name in mine:
        push_blob(call, name, digest(b"{}"), b"{}")
    whole = call("GET", "/v2/_catalog?n=10000").json["repositories"]
    assert whole == sorted(whole)
    assert set(mine) <= set(whole)
    seen, follow = [], f"/v2/_catalog?n=3&last={quote(repository)}"
    while follow:
        answer = call("GET", follow)
        seen += answer.json["repositories"]
        follow = next_page(answer)
    assert [name for name in seen if name.startswith(f"{repository}/")] == mine


@pytest.mark.parametrize("n", ["-1", "x", "", "1.5"])
def test_a_page_size_that_is_no_number_is_refused(call: Caller, repository: str, n: str) -> None:
    push_blob(call, repository, digest(b"{}"), b"{}")
    assert call("GET", f"/v2/{repository}/tags/list?n={n}").status == 400


@pytest.mark.parametrize("subject_kind", ["image", "index"])
def test_referrers_are_listed_and_filtered(call: Caller, repository: str, subject_kind: str) -> None:
    """ "Each descriptor … MUST include artifactType and annotations" of the manifest that refers."""
    content = Set()
    subject = getattr(content, subject_kind)(tag=subject_kind)
    plain = content.image(subject=subject)
    sbom = content.artifact(SBOM, subject=subject, tag="sbom")
    signature = content.artifact(SIGNATURE, subject=subject)
    listed = content.index(artifactType=SBOM, subject=subject, annotations={"org.example.kind": "index"})
    content.artifact(SBOM, subject=MISSING)
    push(call, repository, content)
    path = f"/v2/{repository}/referrers/{subject['digest']}"

    answer = call("GET", path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, INDEX)
    assert (answer.json["schemaVersion"], answer.json["mediaType"]) == (2, INDEX)
    assert answer.headers["OCI-Filters-Applied"] is None
    found = {entry.pop("digest"): entry for entry in answer.json["manifests"]}
    types = {plain["digest"]: CONFIG, sbom["digest"]: SBOM, signature["digest"]: SIGNATURE, listed["digest"]: SBOM}
    assert set(found) == set(types)
    for name, entry in found.items():
        document = json.loads(content.manifests[name])
        assert entry["artifactType"] == types[name]
        assert entry["mediaType"] == content.types[name]
        assert entry["size"] == len(content.manifests[name])
        assert entry.get("annotations", {}) == document.get("annotations", {})

    for wanted in (SBOM, CONFIG, "application/vnd.nobody.made"):
        answer = call("GET", f"{path}?{urlencode({'artifactType': wanted})}")
        assert answer.headers["OCI-Filters-Applied"] == "artifactType"
        names = {entry["digest"] for entry in answer.json["manifests"]}
        assert names == {name for name, kind in types.items() if kind == wanted}

    assert_deleted(call, f"/v2/{repository}/manifests/{signature['digest']}")
    assert signature["digest"] not in call("GET", path).body.decode()
    assert len(call("GET", f"/v2/{repository}/referrers/{MISSING['digest']}").json["manifests"]) == 1


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["blobs", "a/blobs/uploads", "x/manifests", "tags/list", "index.json", "a/oci-layout"])
def test_names_that_look_like_a_part_of_the_path(call: Caller, repository: str, name: str) -> None:
    """A repository may have any name of the grammar, also the names of endpoints and of files in a layout."""
    where = f"{repository}/{name}"
    content = Set()
    content.image(tag="list")
    push(call, repository, content)
    push(call, where, content)
    assert call("GET", f"/v2/{where}/tags/list").json == {"name": where, "tags": ["list"]}
    assert call("GET", f"/v2/{where}/manifests/list").status == 200
    assert {repository, where} <= set(call("GET", "/v2/_catalog?n=10000").json["repositories"])


@pytest.mark.parametrize(
    "name", ["UPPER", "a//b", "-a", "a/../b", "..", "a%2Fb", "a/%2e%2e/b", "%00", "a" * 256, ".incoming", "_blobs", "ä"]
)
def test_names_outside_the_grammar_are_refused(call: Caller, name: str) -> None:
    for path in (f"/v2/{quote(name, safe='/%')}/tags/list", f"/v2/{quote(name, safe='/%')}/blobs/uploads/"):
        answer = call("GET" if path.endswith("list") else "POST", path)
        assert (answer.status, answer.code) == (400, "NAME_INVALID")


@pytest.mark.parametrize("tag", [".hidden", "-x", "a" * 129, "a%20b", "%2e%2e"])
def test_tags_outside_the_grammar_are_refused(call: Caller, repository: str, tag: str) -> None:
    content = Set()
    name = content.image()["digest"]
    push(call, repository, content)
    answer = put_manifest(call, repository, tag, content.manifests[name])
    assert (answer.status, answer.code) == (400, "TAG_INVALID")
    assert put_manifest(call, repository, f"{name}?tag={tag}", content.manifests[name]).code == "TAG_INVALID"
    assert call("GET", f"/v2/{repository}/manifests/{tag}").status == 404


def test_a_digest_may_be_percent_encoded(call: Caller, repository: str) -> None:
    push_blob(call, repository, digest(b"{}"), b"{}")
    assert call("GET", f"/v2/{repository}/blobs/{quote(digest(b'{}'), safe='')}").body == b"{}"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v2/", 405, "UNSUPPORTED"),
        ("PATCH", "/v2/a/manifests/latest", 405, "UNSUPPORTED"),
        ("OPTIONS", "/v2/a/tags/list", 405, "UNSUPPORTED"),
        ("GET", "/", 404, "UNSUPPORTED"),
        ("GET", "/v1/", 404, "UNSUPPORTED"),
        ("GET", "/v2/a/nonsense", 404, "UNSUPPORTED"),
        ("PUT", "/v2/a/blobs/uploads/no-such?digest=x", 404, "BLOB_UPLOAD_UNKNOWN"),
    ],
)
def test_what_there_is_no_operation_for(call: Caller, method: str, path: str, status: int, code: str) -> None:
    answer = call(method, path)
    assert (answer.status, answer.code) == (status, code)


def test_an_upload_is_closed_with_a_digest_only(call: Caller, repository: str) -> None:
    location = open_upload(call, repository)
    assert (call("PUT", location).status, call("PUT", location).code) == (400, "DIGEST_INVALID")
    assert close_upload(call, location, "sha256:short").code == "DIGEST_INVALID"
    assert close_upload(call, location, digest(b"x"), b"x").status == 201


@pytest.mark.parametrize(
    ("span", "status"), [("nonsense", 400), ("0-99", 400), ("5-4", 416), ("bytes 0-9/10", 202), ("0-9", 202)]
)
def test_a_content_range_and_the_bytes_must_agree(call: Caller, repository: str, span: str, status: int) -> None:
    location = open_upload(call, repository)
    assert call("PATCH", location, b"0123456789", {"Content-Range": span}).status == status


def test_a_manifest_is_not_deleted_as_a_blob(call: Caller, repository: str) -> None:
    content = Set()
    name = content.image(tag="a")["digest"]
    push(call, repository, content)
    assert call("DELETE", f"/v2/{repository}/blobs/{name}").status == 405
    assert call("GET", f"/v2/{repository}/manifests/{name}").status == 200
