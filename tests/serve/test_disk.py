"""On disk: one OCI image layout for each repository, that lasts, bears other writers, and is never half-written."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sonar_core.errors import UsageError
from sonar_plugins.serve.disk import DiskStorage
from sonar_plugins.serve.server import EmbeddedRegistry
from tests.serve.conftest import Caller
from tests.serve.contents import INDEX, SBOM, Set, digest, push, push_blob, put_manifest
from tests.serve.program import Serving
from tests.support.images import image, write_layout

REF_NAME = "org.opencontainers.image.ref.name"


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    content = Set()
    subject = content.image(tag="latest")
    content.index(tag="index")
    signature = content.artifact(SBOM, subject=subject)
    long = Set("sha512")
    long.index()
    with EmbeddedRegistry(DiskStorage(tmp_path)) as registry:
        call = Caller(registry.host)
        push(call, "library/hello", content)
        push(call, "other", long)
        call.close()
    with EmbeddedRegistry(DiskStorage(tmp_path)) as registry:
        call = Caller(registry.host)
        assert call("GET", "/v2/_catalog").json == {"repositories": ["library/hello", "other"]}
        assert call("GET", "/v2/library/hello/tags/list").json["tags"] == ["index", "latest"]
        for name, made in (("library/hello", content), ("other", long)):
            for key, raw in made.manifests.items():
                answer = call("GET", f"/v2/{name}/manifests/{key}")
                assert (answer.body, answer.headers["Content-Type"]) == (raw, made.types[key])
            for key, data in made.blobs.items():
                assert call("GET", f"/v2/{name}/blobs/{key}").body == data
        entries = call("GET", f"/v2/library/hello/referrers/{subject['digest']}").json["manifests"]
        assert [entry["digest"] for entry in entries] == [signature["digest"]]
        assert call("DELETE", "/v2/library/hello/manifests/latest").status == 202
        call.close()
    with EmbeddedRegistry(DiskStorage(tmp_path)) as registry:
        call = Caller(registry.host)
        assert call("GET", "/v2/library/hello/tags/list").json["tags"] == ["index"]
        call.close()


def test_a_repository_is_an_oci_image_layout(tmp_path: Path) -> None:
    """image-spec, image-layout.md: `oci-layout`, `index.json` with `ref.name`, `blobs/ALGORITHM/HEX`."""
    content = Set()
    content.image(tag="latest")
    content.index()
    with EmbeddedRegistry(DiskStorage(tmp_path)) as registry:
        call = Caller(registry.host)
        push(call, "library/hello", content)
        put_manifest(call, "library/hello", "again", content.manifests[content.tags["latest"]])
        call.close()
    layout = tmp_path / "library" / "hello"
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_bytes())
    assert (index["schemaVersion"], index["mediaType"]) == (2, INDEX)
    assert {entry["digest"] for entry in index["manifests"]} == set(content.manifests)
    tagged = {entry["annotations"][REF_NAME]: entry["digest"] for entry in index["manifests"] if "annotations" in entry}
    assert tagged == {"latest": content.tags["latest"], "again": content.tags["latest"]}
    files = {path.name: path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()}
    assert {f"sha256:{name}": data for name, data in files.items()} == {**content.blobs, **content.manifests}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".incoming", ".lock", "library"]
    assert list((tmp_path / ".incoming").iterdir()) == []


def test_a_layout_that_another_tool_made_is_served(tmp_path: Path) -> None:
    """A full name as `ref.name` (as `docker save` writes it) is no tag; its manifest is there by digest."""
    one, other = image(), image(platform="linux/arm64")
    layout = write_layout(tmp_path / "made" / "elsewhere", {"one": one, "docker.io/library/a:b": other})
    index = json.loads((layout / "index.json").read_bytes())
    (layout / "index.json").write_text(json.dumps({**index, "annotations": {"kept": "yes"}}))
    with EmbeddedRegistry(DiskStorage(tmp_path)) as registry:
        call = Caller(registry.host)
        assert call("GET", "/v2/_catalog").json == {"repositories": ["made/elsewhere"]}
        assert call("GET", "/v2/made/elsewhere/tags/list").json["tags"] == ["one"]
        assert call("GET", "/v2/made/elsewhere/manifests/one").body == one.manifest.data
        assert call("GET", f"/v2/made/elsewhere/manifests/{other.digest}").body == other.manifest.data
        put_manifest(call, "made/elsewhere", "two", one.manifest.data, one.manifest.media_type)
        call.close()
    assert json.loads((layout / "index.json").read_bytes())["annotations"] == {"kept": "yes"}


def test_what_another_process_writes_is_seen_and_kept(tmp_path: Path) -> None:
    """The index is read again when its file was replaced, and before it is changed."""
    first, second, third = image(), image(platform="linux/arm64"), image(platform="linux/s390x")
    with EmbeddedRegistry(DiskStorage(tmp_path)) as registry:
        call = Caller(registry.host)
        write_layout(tmp_path / "a", {"first": first})
        assert call("GET", "/v2/a/tags/list").json["tags"] == ["first"]
        write_layout(tmp_path / "a", {"first": first, "second": second})
        for blob in third.blobs:
            push_blob(call, "a", blob.digest, blob.data)
        assert put_manifest(call, "a", "third", third.manifest.data, third.manifest.media_type).status == 201
        assert call("GET", "/v2/a/tags/list").json["tags"] == ["first", "second", "third"]
        call.close()


def test_a_damaged_index_is_an_error_and_other_repositories_go_on(tmp_path: Path) -> None:
    write_layout(tmp_path / "good", {"latest": image()})
    for name, text in {"bad": "{", "worse": "[]", "worst": '{"manifests": [{"digest": "sha256:../../x"}]}'}.items():
        write_layout(tmp_path / name, {"latest": image()})
        (tmp_path / name / "index.json").write_text(text)
    with EmbeddedRegistry(DiskStorage(tmp_path)) as registry:
        call = Caller(registry.host)
        for name in ("bad", "worse", "worst"):
            answer = call("GET", f"/v2/{name}/tags/list")
            assert (answer.status, answer.code) == (500, "UNKNOWN")
            assert "index.json" in answer.body.decode()
        assert call("GET", "/v2/good/tags/list").json["tags"] == ["latest"]
        call.close()


def test_content_that_is_a_link_to_elsewhere_is_not_served(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    layout = write_layout(tmp_path / "root" / "a", {"latest": image()})
    (layout / "blobs" / "sha256" / digest(b"secret").partition(":")[2]).symlink_to(secret)
    with EmbeddedRegistry(DiskStorage(tmp_path / "root")) as registry:
        call = Caller(registry.host)
        path = f"/v2/a/blobs/{digest(b'secret')}"
        assert call("GET", path).status == call("HEAD", path).status == 404
        assert call("POST", f"/v2/b/blobs/uploads/?mount={digest(b'secret')}&from=a").status == 202
        call.close()


def test_a_mounted_blob_takes_no_more_room(tmp_path: Path) -> None:
    with EmbeddedRegistry(DiskStorage(tmp_path)) as registry:
        call = Caller(registry.host)
        push_blob(call, "a", digest(b"data"), b"data")
        assert call("POST", f"/v2/b/blobs/uploads/?mount={digest(b'data')}&from=a").status == 201
        assert call("POST", f"/v2/b/blobs/uploads/?mount={digest(b'data')}&from=a").status == 201
        call.close()
    paths = [tmp_path / name / "blobs" / "sha256" / digest(b"data").partition(":")[2] for name in "ab"]
    assert paths[0].samefile(paths[1])


def test_memory_does_not_grow_with_a_blob(tmp_path: Path) -> None:
    """64 MiB go in and out, in a fraction of that."""
    piece = os.urandom(1 << 20)
    whole = hashlib.sha256()
    for _ in range(64):
        whole.update(piece)
    name = f"sha256:{whole.hexdigest()}"
    with EmbeddedRegistry(DiskStorage(tmp_path)) as registry:
        call = Caller(registry.host)
        tracemalloc.start()
        try:
            location = call("POST", "/v2/a/blobs/uploads/").location
            assert call("PATCH", location, iter([piece] * 64)).status == 202
            assert call("PUT", f"{location}?digest={name}").status == 201
            connection = http.client.HTTPConnection(registry.host, timeout=20)
            connection.request("GET", f"/v2/a/blobs/{name}")
            response = connection.getresponse()
            got, buffer = hashlib.sha256(), memoryview(bytearray(1 << 20))
            while count := response.readinto(buffer):
                got.update(buffer[:count])
            connection.close()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        call.close()
    assert f"sha256:{got.hexdigest()}" == name
    assert peak < 8 << 20


def test_one_root_has_one_registry(tmp_path: Path) -> None:
    """Each empties the other's unfinished uploads otherwise."""
    with EmbeddedRegistry(DiskStorage(tmp_path)), pytest.raises(UsageError, match="is in use by another registry"):
        DiskStorage(tmp_path)
    DiskStorage(tmp_path).close()


def test_a_root_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"can't keep a registry in .*file"):
        DiskStorage(tmp_path / "file")


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_eight_pushes_at_once_lose_nothing(tmp_path: Path, where: str) -> None:
    """Eight clients, each with ten images and an index, into one repository."""
    contents = [Set() for _ in range(8)]
    for number, content in enumerate(contents):
        for each in range(10):
            content.image(tag=f"image-{number}-{each}")
        content.index(tag=f"index-{number}")
    with EmbeddedRegistry(DiskStorage(tmp_path) if where == "disk" else None) as registry:
        host = registry.host
        start = threading.Barrier(8)

        def work(content: Set) -> None:
            call = Caller(host)
            start.wait()
            push(call, "busy/place", content)
            call.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, contents))
        call = Caller(host)
        expected = {tag: name for content in contents for tag, name in content.tags.items()}
        assert call("GET", "/v2/busy/place/tags/list").json["tags"] == sorted(expected)
        for tag, name in expected.items():
            assert call("HEAD", f"/v2/busy/place/manifests/{tag}").headers["Docker-Content-Digest"] == name
        for content in contents:
            for name in content.manifests:
                assert call("HEAD", f"/v2/busy/place/manifests/{name}").status == 200
        call.close()


def assert_sound(root: Path, repository: str) -> set[str]:
    """Every file under a digest's name has that digest, everything in the index is there; the tags."""
    layout = root / repository
    for path in (layout / "blobs" / "sha256").iterdir():
        assert digest(path.read_bytes()) == f"sha256:{path.name}"
    index = json.loads((layout / "index.json").read_bytes())
    for entry in index["manifests"]:
        assert (layout / "blobs" / entry["digest"].replace(":", "/")).stat().st_size == entry["size"]
    return {entry["annotations"][REF_NAME] for entry in index["manifests"] if "annotations" in entry}


def test_a_kill_in_the_middle_of_pushes_leaves_a_layout_that_loads(tmp_path: Path) -> None:
    """Three times: four clients push without end, the registry is killed; what was answered with 201 is there."""
    answered: set[str] = set()
    data = os.urandom(2 << 20)
    for turn in range(3):
        running = Serving.start("--root", str(tmp_path))
        enough = threading.Event()
        pushed: list[str] = []

        def work(client: int, *, host: str, turn: int, done: list[str], enough: threading.Event) -> None:
            call = Caller(host)
            try:
                for number in range(1000):
                    content = Set()
                    content.manifest(
                        {"config": content.config(), "layers": [content.blob(data + os.urandom(8), "x/y")]},
                        "application/vnd.oci.image.manifest.v1+json",
                        tag=f"t{turn}-{client}-{number}",
                    )
                    push(call, "a", content)
                    done += content.tags
                    if number:
                        enough.set()
            except (OSError, http.client.HTTPException):
                pass  # killed
            finally:
                call.close()

        with ThreadPoolExecutor(4) as pool:
            for client in range(4):
                pool.submit(work, client, host=running.host, turn=turn, done=pushed, enough=enough)
            assert enough.wait(20)
            call = Caller(running.host)  # an upload that is open for sure when the process is killed
            assert call("PATCH", call("POST", "/v2/a/blobs/uploads/").location, data).status == 202
            call.close()
            time.sleep(0.03 * turn)
            running.kill()
        answered |= set(pushed)
        assert assert_sound(tmp_path, "a") >= answered
        assert list((tmp_path / ".incoming").iterdir())
    running = Serving.start("--root", str(tmp_path))
    call = Caller(running.host)
    assert set(call("GET", "/v2/a/tags/list").json["tags"]) >= answered
    assert list((tmp_path / ".incoming").iterdir()) == []
    content = Set()
    content.image(tag="afterwards")
    push(call, "a", content)
    call.close()
    running.kill()
    assert "afterwards" in assert_sound(tmp_path, "a")
