"""Digests and times of tags: asked for in parallel, in the order of the list."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.testing.scripted import Answer, Origin, Request, error
from sonar_plugins.tags.created import parse_time
from sonar_plugins.tags.endpoint import Tag, Tags
from sonar_plugins.tags.order import ORDERS
from tests.support.images import image, index
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.endpoints import Program


@pytest.fixture
def tags(scripted: Origin) -> Iterator[Tags]:
    settings = Settings(timeout=5, backoff=0.001, connections=4, jobs=4)
    plugins = Plugins.discover(only=("tags", "manifests", "blobs"))
    with Client(scripted.host, settings=settings, plugins=plugins) as client:
        yield Tags(client)


def document(media_type: str, data: Mapping[str, object]) -> Answer:
    body = json.dumps({"schemaVersion": 2, "mediaType": media_type, **data}).encode()
    return Answer(200, {"Content-Type": media_type, "Docker-Content-Digest": str(Digest.of(body))}, body=body)


def descriptor(media_type: str, body: bytes, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(body)), "size": len(body), **more}


def with_created(origin: Origin, created: object, *, annotations: dict[str, str] | None = None) -> Answer:
    """A manifest whose config states `created`; the config is served."""
    config = json.dumps({"created": created, "architecture": "amd64", "os": "linux"}).encode()
    origin.on("GET", f"/v2/a/blobs/{Digest.of(config)}", Answer(200, body=config))
    given = {"annotations": annotations} if annotations else {}
    return document(OCI_MANIFEST, {"config": descriptor(OCI_CONFIG, config), "layers": [], **given})


def test_digests_come_in_the_order_of_the_tags(scripted: Origin, tags: Tags) -> None:
    """By HEADs over a few pooled connections, whichever answers first."""
    digests = {f"v{number}": Digest.of(str(number).encode()) for number in range(60)}

    def head(tag: str) -> Answer:
        headers = {"Content-Type": OCI_MANIFEST, "Content-Length": "5", "Docker-Content-Digest": str(digests[tag])}
        return Answer(200, headers, delay=0.02 if tag.endswith("0") else 0.0)

    for tag in digests:
        scripted.on("HEAD", f"/v2/a/manifests/{tag}", head(tag))
    assert list(tags.digests("a", digests)) == [Tag(tag, digest) for tag, digest in digests.items()]
    assert len(scripted.calls("HEAD")) == len(scripted.requests) == 60
    assert scripted.connections <= 4


def test_one_tag_that_is_gone_makes_it_fail(scripted: Origin, tags: Tags) -> None:
    """A list cut short is never shown as complete."""
    scripted.on(
        "HEAD",
        "/v2/a/manifests/v1",
        Answer(
            200, {"Content-Type": OCI_MANIFEST, "Content-Length": "1", "Docker-Content-Digest": str(Digest.of(b"x"))}
        ),
    )
    found = tags.digests("a", ["v1", "gone"])
    assert next(found) == Tag("v1", Digest.of(b"x"))
    with pytest.raises(Exception, match="answered 404"):
        next(found)


def test_created_of_the_config(scripted: Origin, tags: Tags) -> None:
    answer = with_created(scripted, "2026-01-02T03:04:05.123456789Z")
    scripted.on("GET", "/v2/a/manifests/v1", answer)
    (found,) = tags.created("a", ["v1"])
    assert found == Tag("v1", Digest.of(answer.body), datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC))


def test_created_of_an_index(scripted: Origin, tags: Tags) -> None:
    """Of the entry for this platform; of the index itself where it says so; the digest is the index's."""
    entry = with_created(scripted, "2025-01-01T00:00:00Z")
    scripted.on("GET", f"/v2/a/manifests/{Digest.of(entry.body)}", entry)
    listed = {"manifests": [descriptor(OCI_MANIFEST, entry.body, platform={"os": "plan9", "architecture": "mips"})]}
    plain = document(OCI_INDEX, listed)
    stated = document(
        OCI_INDEX, {**listed, "annotations": {"org.opencontainers.image.created": "2020-01-01T00:00:00Z"}}
    )
    empty = document(OCI_INDEX, {"manifests": []})
    for tag, answer in (("plain", plain), ("stated", stated), ("empty", empty)):
        scripted.on("GET", f"/v2/a/manifests/{tag}", answer)
    found = list(tags.created("a", ["plain", "stated", "empty"]))
    assert [tag.created.year if tag.created else None for tag in found] == [2025, 2020, None]
    assert [tag.digest for tag in found] == [Digest.of(answer.body) for answer in (plain, stated, empty)]


@pytest.mark.parametrize("created", [None, 5, "", "soon", "0000-00-00T00:00:00Z", "2026-13-01T00:00:00Z", "x" * 1000])
def test_created_that_is_none(created: object, scripted: Origin, tags: Tags) -> None:
    """The annotation of the manifest is asked then."""
    scripted.on("GET", "/v2/a/manifests/v1", with_created(scripted, created))
    annotations = {"org.opencontainers.image.created": "2021-01-01T00:00:00Z"}
    scripted.on("GET", "/v2/a/manifests/v2", with_created(scripted, created, annotations=annotations))
    first, second = tags.created("a", ["v1", "v2"])
    assert first.created is None
    assert second.created == datetime(2021, 1, 1, tzinfo=UTC)


def test_an_artifact_has_no_config_to_read(scripted: Origin, tags: Tags) -> None:
    answer = document(OCI_MANIFEST, {"config": descriptor("application/vnd.acme.model", b"x" * 9), "layers": []})
    scripted.on("GET", "/v2/a/manifests/v1", answer)
    assert [tag.created for tag in tags.created("a", ["v1"])] == [None]
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.1Z", datetime(2026, 1, 2, 3, 4, 5, 100_000, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("yesterday", None),
        (5, None),
        (None, None),
    ],
)
def test_times(text: object, expected: datetime | None) -> None:
    assert parse_time(text) == expected


@given(
    st.lists(st.text(alphabet="v0123456789.-+_abrc²", max_size=12).map(Tag), max_size=12),
    st.sampled_from(sorted(ORDERS)),
)
def test_every_order_is_total(tags: list[Tag], order: str) -> None:
    """Any names can be compared, and the result does not depend on where they stood."""
    backwards = list(reversed(tags))
    assert sorted(tags, key=ORDERS[order]) == sorted(backwards, key=ORDERS[order])


def test_versions_by_their_rules() -> None:
    """Semantic Versioning 2.0.0, section 11: the example of the spec, and what registries have besides."""
    expected = [
        *[
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
        ],
        *["1.0.0", "v1.0.1", "1.2", "1.10.0", "2", "10.0.0"],
    ]
    assert [tag.tag for tag in sorted(map(Tag, reversed(expected)), key=ORDERS["semver"])] == expected
    names = sorted(map(Tag, ["latest", "1.0", "main", "²", "1.²"]), key=ORDERS["semver"])
    assert names[-1].tag == "1.0"


def test_columns_of_the_program(scripted: Origin, sonar: Program) -> None:
    """With --digests, tag and digest are separated by a tab; with JSON, objects."""
    old, new = with_created(scripted, "2020-01-01T00:00:00Z"), with_created(scripted, "2024-01-01T00:00:00Z")
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"tags": ["new", "old"]}))

    def either(request: Request) -> Answer:
        return {"old": old, "new": new}.get(request.path.rpartition("/")[2], error(404, "MANIFEST_UNKNOWN"))

    for tag in ("old", "new"):
        scripted.on("GET|HEAD", f"/v2/a/manifests/{tag}", either)
    digests = {"old": str(Digest.of(old.body)), "new": str(Digest.of(new.body))}
    listed = sonar("tag", "ls", f"{scripted.host}/a", "--digests")
    assert listed.stdout.splitlines() == [f"{tag}\t{digests[tag]}" for tag in ("new", "old")]
    dated = sonar("tag", "ls", f"{scripted.host}/a", "--sort", "created")
    assert dated.stdout.splitlines() == [
        f"old\t{digests['old']}\t2020-01-01T00:00:00+00:00",
        f"new\t{digests['new']}\t2024-01-01T00:00:00+00:00",
    ]
    newest = sonar("tag", "ls", f"{scripted.host}/a", "--sort", "created", "--reverse", "--limit", "1", "-o", "json")
    assert newest.json == [{"tag": "new", "digest": digests["new"], "created": "2024-01-01T00:00:00+00:00"}]


def test_real_registries(host: str, sonar: Program) -> None:
    path = f"columns-{uuid.uuid4().hex}"
    digests = {
        "one": push(f"http://{host}", path, "one", image()),
        "many": push(f"http://{host}", path, "many", index(image())),
    }
    run = sonar("tag", "ls", f"{host}/{path}", "--digests", "-o", "json")
    assert {row["tag"]: row["digest"] for row in run.json} == digests
    assert sonar("tag", "ls", f"{host}/{path}", "--sort", "created").code == 0
