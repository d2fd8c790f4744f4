"""The options: what a registry that can do less, or asks who one is, answers."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.errors import UsageError
from sonar_plugins.serve.memory import MemoryStorage
from sonar_plugins.serve.server import EmbeddedRegistry
from tests.serve.conftest import Caller
from tests.serve.contents import INDEX, SBOM, Set, digest, push, put_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def serving(**options: Any) -> Iterator[Caller]:
    with EmbeddedRegistry(**options) as registry:
        call = Caller(registry.host)
        yield call
        call.close()


def test_read_only_answers_reads_and_refuses_writes() -> None:
    storage = MemoryStorage()
    content = Set()
    name = content.image(tag="latest")["digest"]
    with serving(storage=storage) as call:
        push(call, "a", content)
    with serving(storage=storage, read_only=True) as call:
        assert call("GET", "/v2/a/manifests/latest").status == 200
        for method, path in [
            ("PUT", "/v2/a/manifests/other"),
            ("DELETE", "/v2/a/manifests/latest"),
            ("DELETE", f"/v2/a/manifests/{name}"),
            ("DELETE", f"/v2/a/blobs/{next(iter(content.blobs))}"),
            ("POST", "/v2/a/blobs/uploads/"),
            ("POST", f"/v2/b/blobs/uploads/?mount={next(iter(content.blobs))}&from=a"),
        ]:
            answer = call(method, path)
            assert (answer.status, answer.code) == (405, "UNSUPPORTED")
        assert call("GET", "/v2/a/tags/list").json["tags"] == ["latest"]
        assert call("GET", "/v2/_catalog").json == {"repositories": ["a"]}


def test_without_tag_delete_only_digests_can_be_deleted() -> None:
    """As docker-registry does."""
    content = Set()
    name = content.image(tag="latest")["digest"]
    with serving(tag_delete=False) as call:
        push(call, "a", content)
        answer = call("DELETE", "/v2/a/manifests/latest")
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")
        assert call("DELETE", f"/v2/a/manifests/{name}").status == 202


def test_without_referrers_clients_see_a_registry_of_before_1_1() -> None:
    """ "A 404 response … indicates the API is not available", and no `OCI-Subject` comes with a push."""
    content = Set()
    subject = content.image()
    signed = content.artifact(SBOM, subject=subject)["digest"]
    with serving(referrers=False) as call:
        push(call, "a", content)
        assert put_manifest(call, "a", signed, content.manifests[signed]).headers["OCI-Subject"] is None
        assert call("GET", f"/v2/a/referrers/{subject['digest']}").status == 404


def test_sparse_takes_manifests_whose_content_is_missing() -> None:
    content = Set()
    name = content.index()["digest"]
    with serving(sparse=True) as call:
        assert put_manifest(call, "a", "latest", content.manifests[name], INDEX).status == 201
        assert call("GET", "/v2/a/manifests/latest").body == content.manifests[name]


def test_the_page_size_bounds_what_comes_unasked() -> None:
    content = Set()
    subject = content.image(tag="a")
    for tag in "bcde":
        content.tags[tag] = subject["digest"]
    for _ in range(3):
        content.artifact(SBOM, subject=subject)
    with serving(page_size=2) as call:
        push(call, "a", content)
        answer = call("GET", "/v2/a/tags/list")
        assert answer.json["tags"] == ["a", "b"]
        assert answer.headers["Link"] == '</v2/a/tags/list?n=2&last=b>; rel="next"'
        assert len(call("GET", "/v2/a/tags/list?n=4").json["tags"]) == 4
        seen: list[str] = []
        follow = f"/v2/a/referrers/{subject['digest']}?artifactType={SBOM}"
        while follow:
            answer = call("GET", follow)
            assert answer.headers["OCI-Filters-Applied"] == "artifactType"
            seen += [entry["digest"] for entry in answer.json["manifests"]]
            follow = (answer.headers["Link"] or "").partition(">")[0].removeprefix("<")
        assert len(seen) == len(set(seen)) == 3


def test_many_large_referrers_come_in_pages_that_clients_can_read() -> None:
    """Answers stay below what clients accept as an index, 4 MiB."""
    content = Set()
    subject = content.image()
    for _ in range(3):
        content.artifact(SBOM, subject=subject, annotations={"large": "x" * 3_000_000})
    with serving() as call:
        push(call, "a", content)
        pages, follow = 0, f"/v2/a/referrers/{subject['digest']}"
        while follow:
            answer = call("GET", follow)
            assert len(answer.body) <= 4 << 20
            pages += 1
            follow = (answer.headers["Link"] or "").partition(">")[0].removeprefix("<")
        assert pages == 3


def authorization(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize("sent", ["", "Bearer x", "Basic !!!", "Basic /////w==", "Basic bm9ib2R5"])
def test_users_have_to_say_who_they_are(sent: str) -> None:
    with serving(users={"me": "secret: word", "guest": ""}) as call:
        answer = call("GET", "/v2/", headers={"Authorization": sent} if sent else {})
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="sonar"'
        for wrong in ("me:secret", "you:", "nobody:", "me:"):
            assert call("GET", "/v2/", headers=authorization(wrong)).status == 401
        assert call("GET", "/v2/", headers=authorization("me:secret: word")).status == 200
        assert call("POST", f"/v2/a/blobs/uploads/?digest={digest(b'')}").status == 401


def test_an_address_in_use_is_a_usage_error() -> None:
    with EmbeddedRegistry() as first:
        host, port = first.host.rsplit(":", 1)
        with pytest.raises(UsageError, match=f"can't listen on {first.host}"):
            EmbeddedRegistry(address=(host, int(port))).start()


def test_it_listens_on_ipv6_too() -> None:
    with serving(address=("::1", 0)) as call:
        assert call("GET", "/v2/").status == 200
