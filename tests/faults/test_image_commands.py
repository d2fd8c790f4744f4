"""ROBUSTNESS, Moving blobs: whole images to and from registries that fail half-way."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import HANG, RESET, Answer, Origin, Request, error
from tests.faults.registry import Uploads, behind, blob_answer, manifest_answer, ranged, serve, unauthorized
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.program import Outcome, Program

LAYERS = [images.layer({f"file{n}": images.noise(400_000, n)}) for n in range(4)]
IMAGE = images.image(*LAYERS)
LAYER = LAYERS[0].content


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return images.write_layout(tmp_path / "source", {"v1": IMAGE})


def pull(sonar: Program, origin: Origin) -> Outcome:
    return sonar("image", "pull", f"{origin.host}/a:v1", f"oci:{target(sonar)}:v1")


def push(sonar: Program, origin: Origin, layout: Path, repository: str = "a") -> Outcome:
    return sonar("image", "push", f"oci:{layout}:v1", f"{origin.host}/{repository}:v1")


def target(sonar: Program) -> Path:
    return sonar.home / "out"


def assert_sound(layout: Path) -> None:
    """Every file under a digest's name has that digest, nothing is half-written, and the index can be trusted."""
    if not layout.exists():
        return
    for path in layout.rglob("*"):
        if path.is_file() and path.parent.name == "sha256":
            assert images.sha256(path.read_bytes()) == f"sha256:{path.name}", path
    index = layout / "index.json"
    if index.exists():
        for entry in json.loads(index.read_text())["manifests"]:
            assert (layout / "blobs" / "sha256" / entry["digest"].partition(":")[2]).is_file()


def tags_of(layout: Path) -> list[str]:
    index = layout / "index.json"
    entries = json.loads(index.read_text())["manifests"] if index.exists() else []
    return [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries]


FAULTS = {
    "wrong bytes": (Answer(200, body=b"\0" * len(LAYER.data)), 5),
    "one byte more": (Answer(200, body=LAYER.data + b"x"), 5),
    "endless": (Answer(200, body=LAYER.data, times=10_000, framing="chunked"), 5),
    "one byte less": (Answer(200, body=LAYER.data[:-1]), 5),
    "missing": (Answer(404), 3),
    "forbidden": (Answer(403), 4),
    "always reset": (Answer(200, body=LAYER.data, cut=1000, then="reset"), 1),
    "a page of HTML": (Answer(200, {"Content-Type": "text/html"}, b"<html>"), 5),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_layer_that_fails_makes_the_pull_fail(sonar: Program, scripted: Origin, name: str) -> None:
    """B1/B4: "wrong bytes leave no file"; the tag is not there, what is there is right."""
    answer, code = FAULTS[name]
    serve(scripted, "a", IMAGE)
    scripted.on("GET", f"/v2/a/blobs/{LAYER.digest}", answer)
    pull(sonar, scripted).failed(code=code)
    assert_sound(target(sonar))
    assert tags_of(target(sonar)) == []
    assert not (target(sonar) / "blobs" / "sha256" / LAYER.digest.partition(":")[2]).exists()


def test_after_a_failure_only_the_rest_is_fetched(sonar: Program, scripted: Origin) -> None:
    """B1: what is there and right is not fetched again."""
    serve(scripted, "a", IMAGE)
    scripted.on("GET", f"/v2/a/blobs/{LAYER.digest}", Answer(404))
    pull(sonar, scripted).failed(code=3)
    scripted.on("GET", f"/v2/a/blobs/{LAYER.digest}", blob_answer(LAYER.data))
    pull(sonar, scripted).succeeded()
    assert tags_of(target(sonar)) == ["v1"]
    assert_sound(target(sonar))


def test_a_rough_registry_is_pulled_from_in_the_end(sonar: Program, scripted: Origin) -> None:
    """B1/T3: every blob breaks, every manifest is refused once, and the image is whole."""
    serve(scripted, "a", IMAGE)
    for content in IMAGE.all_blobs():
        broken = Answer(200, body=content.data, cut=len(content.data) // 2, then="reset")
        scripted.on("GET", f"/v2/a/blobs/{content.digest}", Answer(503), broken, RESET, ranged(content.data))
    pull(sonar, scripted).succeeded()
    assert_sound(target(sonar))
    for content in IMAGE.all_blobs():
        path = target(sonar) / "blobs" / "sha256" / content.digest.partition(":")[2]
        assert path.read_bytes() == content.data


def test_an_interrupted_pull(sonar: Program, scripted: Origin) -> None:
    """B4: "Ctrl-C and errors cancel the other transfers, … leave no partial files, exit 130 … within two seconds"."""
    serve(scripted, "a", IMAGE)
    for each in LAYERS:
        answer = Answer(200, body=each.content.data, cut=100_000, then="hang")
        scripted.on("GET", f"/v2/a/blobs/{each.content.digest}", answer)
    running = sonar.start("image", "pull", f"{scripted.host}/a:v1", f"oci:{target(sonar)}:v1")
    while not any("/blobs/" in request.path for request in scripted.requests):
        scripted.wait_for(len(scripted.requests) + 1)
    running.interrupt()
    outcome = running.wait(2.5)
    assert outcome.code == 130, outcome.shown()
    assert "Traceback" not in outcome.err
    assert_sound(target(sonar))
    assert tags_of(target(sonar)) == []
    leftovers = [path for path in target(sonar).rglob("*") if path.is_file() and "blobs" in path.parts]
    assert all(len(path.name) == 64 for path in leftovers), leftovers


def test_one_failure_ends_the_other_transfers(sonar: Program, scripted: Origin) -> None:
    """B4: "errors cancel the other transfers … exit … 1 within two seconds"."""
    serve(scripted, "a", IMAGE)
    for each in LAYERS[1:]:
        answer = Answer(200, body=each.content.data, cut=100_000, then="hang")
        scripted.on("GET", f"/v2/a/blobs/{each.content.digest}", answer)
    scripted.on("GET", f"/v2/a/blobs/{LAYER.digest}", Answer(404, delay=0.3))
    running = sonar.start("image", "pull", f"{scripted.host}/a:v1", f"oci:{target(sonar)}:v1")
    outcome = running.wait(5)
    assert outcome.code == 3, outcome.shown()
    outcome.reported()
    assert_sound(target(sonar))


def test_a_push_stores_everything(sonar: Program, scripted: Origin, layout: Path) -> None:
    """B2: blobs first, the manifest last, each once."""
    uploads = Uploads(scripted, "a")
    push(sonar, scripted, layout).succeeded()
    assert set(uploads.stored) == {content.digest for content in (*IMAGE.all_blobs(), IMAGE.manifest)}
    assert scripted.requests[-1].path == "/v2/a/manifests/v1"


def test_manifest_blob_unknown_is_pushed_once_more(sonar: Program, scripted: Origin, layout: Path) -> None:
    """B3: "MANIFEST_BLOB_UNKNOWN after a HEAD that said it exists → push it once more"."""
    uploads = Uploads(scripted, "a")
    scripted.on("HEAD", f"/v2/a/blobs/{LAYER.digest}", blob_answer(LAYER.data))

    def manifest(request: Request) -> Answer:
        if LAYER.digest not in uploads.stored:
            return error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", detail={"digest": LAYER.digest})
        return uploads.manifest(request)

    scripted.on("PUT", "/v2/a/manifests/v1", manifest)
    push(sonar, scripted, layout).succeeded()
    assert uploads.stored[LAYER.digest] == LAYER.data
    assert len(scripted.calls("PUT", "/v2/a/manifests/v1")) == 2


def test_manifest_blob_unknown_for_ever(sonar: Program, scripted: Origin, layout: Path) -> None:
    """B3: "push it once more", not for ever."""
    Uploads(scripted, "a")
    refusal = error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", detail={"digest": LAYER.digest})
    scripted.on("PUT", "/v2/a/manifests/v1", refusal)
    outcome = push(sonar, scripted, layout)
    assert outcome.code in (1, 3), outcome.shown()
    outcome.reported("MANIFEST_BLOB_UNKNOWN")
    assert len(scripted.calls("PUT", "/v2/a/manifests/v1")) <= 2


def test_a_manifest_put_answered_with_another_digest(sonar: Program, scripted: Origin, layout: Path) -> None:
    """B3: "A PUT answered with another digest → error"."""
    Uploads(scripted, "a")
    scripted.on("PUT", "/v2/a/manifests/v1", Answer(201, {"Docker-Content-Digest": "sha256:" + "0" * 64}))
    push(sonar, scripted, layout).failed("digest", code=5)


def test_a_manifest_put_answered_with_a_page_of_html(sonar: Program, scripted: Origin, layout: Path) -> None:
    """T8: "An HTML page with status 200 where JSON belongs": a push that met a log-in page at its end has failed."""
    Uploads(scripted, "a")
    page = Answer(200, {"Content-Type": "text/html"}, b"<html><title>Sign in</title></html>")
    scripted.on("PUT", "/v2/a/manifests/v1", page)
    push(sonar, scripted, layout).failed("HTML")


@pytest.mark.parametrize("status", [202, 401, 403, 404, 405])
def test_a_mount_that_is_refused(sonar: Program, scripted: Origin, status: int) -> None:
    """B3: "Mount refused in any way (202, 401, 403, 404, 405) → plain upload", in a copy inside of a registry."""
    serve(scripted, "a", IMAGE)
    uploads = Uploads(scripted, "b")

    def begin(request: Request) -> Answer:
        return uploads.begin(request) if status == 202 or "mount" not in request.query else Answer(status)

    scripted.on("POST", "/v2/b/blobs/uploads/", begin)
    sonar("image", "copy", f"{scripted.host}/a:v1", f"{scripted.host}/b:v1").succeeded()
    assert set(uploads.stored) == {content.digest for content in (*IMAGE.all_blobs(), IMAGE.manifest)}


@pytest.mark.parametrize("fault", ["PUT 500", "PUT reset", "PATCH 404", "POST 503", "slow head"])
def test_a_rough_registry_is_pushed_to_in_the_end(sonar: Program, scripted: Origin, layout: Path, fault: str) -> None:
    """B2/T3: one fault of each kind on the way, and everything is there."""
    uploads = Uploads(scripted, "a")
    if fault == "PUT 500":
        scripted.on("PUT", uploads.sessions, Answer(500), uploads.put)
    elif fault == "PUT reset":
        scripted.on("PUT", uploads.sessions, Answer(raw=b"", read=1000, then="reset"), RESET, uploads.put)
    elif fault == "PATCH 404":
        scripted.on("PUT", uploads.sessions, error(404, "BLOB_UPLOAD_UNKNOWN"), uploads.put)
    elif fault == "POST 503":
        scripted.on("POST", "/v2/a/blobs/uploads/", Answer(503), RESET, uploads.begin)
    else:
        scripted.on("HEAD", "/v2/a/manifests/v1", Answer(503), Answer(404))
    push(sonar, scripted, layout).succeeded()
    assert set(uploads.stored) == {content.digest for content in (*IMAGE.all_blobs(), IMAGE.manifest)}


@pytest.mark.parametrize(("status", "code"), [(403, 4), (413, 1), (507, 1), (400, 1)])
def test_a_refused_blob_ends_the_push(sonar: Program, scripted: Origin, layout: Path, status: int, code: int) -> None:
    """B4: "errors cancel the other transfers, DELETE open sessions": and no manifest is put."""
    uploads = Uploads(scripted, "a")
    scripted.on("PUT", uploads.sessions, Answer(status))
    push(sonar, scripted, layout).failed(str(status), code=code)
    assert uploads.open == {}
    assert not scripted.calls("PUT", "/v2/a/manifests/v1")


def test_an_interrupted_push(sonar: Program, scripted: Origin, layout: Path) -> None:
    """B4: "Ctrl-C … DELETE open sessions, … exit 130 … within two seconds"."""
    uploads = Uploads(scripted, "a")
    scripted.on("PATCH|PUT", uploads.sessions, Answer(raw=b"", read=1000, then="hang"))
    running = sonar.start("image", "push", f"oci:{layout}:v1", f"{scripted.host}/a:v1")
    while not scripted.calls("PUT") and not scripted.calls("PATCH"):
        scripted.wait_for(len(scripted.requests) + 1)
    running.interrupt()
    outcome = running.wait(2.5)
    assert outcome.code == 130, outcome.shown()
    assert "Traceback" not in outcome.err
    assert uploads.open == {}
    assert not scripted.calls("PUT", "/v2/a/manifests/v1")


def test_a_registry_that_never_answers_a_blob(sonar: Program, scripted: Origin) -> None:
    """T2: one blob that hangs does not hang the pull."""
    serve(scripted, "a", IMAGE)
    scripted.on("GET", f"/v2/a/blobs/{LAYER.digest}", HANG)
    outcome = sonar(
        "image", "pull", f"{scripted.host}/a:v1", f"oci:{target(sonar)}:v1", "--timeout", "0.5",
        environment={"SONAR_ATTEMPTS": "2"},
    )  # fmt: skip
    outcome.failed(scripted.host)


def test_a_tag_that_moves_between_the_requests(sonar: Program, scripted: Origin) -> None:
    """N2: a tag that points elsewhere from one request to the next yields one of the two images, whole."""
    other = images.image(labels={"other": "yes"})
    serve(scripted, "a", IMAGE)
    serve(scripted, "a", other)
    scripted.on("GET|HEAD", "/v2/a/manifests/v1", manifest_answer(IMAGE.manifest), manifest_answer(other.manifest))
    outcome = pull(sonar, scripted)
    assert outcome.code == 0, outcome.shown()
    assert_sound(target(sonar))


def test_credentials_of_two_registries_do_not_mix(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin]
) -> None:
    """T5: in a copy from one registry to another each gets its own credentials, and no other."""
    other = origins()
    keys = {scripted.host: "from:one-secret", other.host: "to:two-secret"}
    encoded = {host: base64.b64encode(pair.encode()).decode() for host, pair in keys.items()}
    sonar.docker_config({"auths": {host: {"auth": auth} for host, auth in encoded.items()}})
    serve(scripted, "a", IMAGE)
    uploads = Uploads(other, "b")
    good = manifest_answer(IMAGE.manifest)
    scripted.on("GET|HEAD", "/v2/a/manifests/v1", behind(f"Basic {encoded[scripted.host]}", good, "Basic realm=x"))

    def begin(request: Request) -> Answer:
        known = request.header("Authorization") == f"Basic {encoded[other.host]}"
        return uploads.begin(request) if known else unauthorized("Basic realm=x")

    other.on("POST", "/v2/b/blobs/uploads/", begin)
    sonar("image", "copy", f"{scripted.host}/a:v1", f"{other.host}/b:v1").succeeded()
    for origin in (scripted, other):
        sent = {request.header("Authorization") for request in origin.requests} - {None}
        assert sent == {f"Basic {encoded[origin.host]}"}
