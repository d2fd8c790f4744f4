"""ROBUSTNESS, Manifests and integrity: documents that lie, loop or are none."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.testing.scripted import Answer, Origin
from tests.faults.registry import digest, manifest_answer, serve
from tests.support import images
from tests.support.images import Content, Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.program import Outcome, Program

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2}


def get(sonar: Program, origin: Origin, name: str = "a:v1", *options: str) -> Outcome:
    return sonar("manifest", "get", f"{origin.host}/{name}", *options)


def answer(document: Any, media_type: str = MANIFEST, **headers: str) -> Answer:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Answer(200, {"Content-Type": media_type, **headers}, data)


# ── the digest decides ──────────────────────────────────────────────────────────────────────────────────


def test_other_bytes_under_a_digest(sonar: Program, scripted: Origin) -> None:
    """N2: "The digest asked for is compared with a hash over the bytes that came; headers never win"
    (CVE-2025-24882)."""
    wanted, other = images.image(), images.image(labels={"evil": "yes"})
    liar = Answer(200, {"Content-Type": MANIFEST, "Docker-Content-Digest": wanted.digest}, other.manifest.data)
    scripted.default = liar
    get(sonar, scripted, f"a@{wanted.digest}").failed("digest", code=5)
    get(sonar, scripted, f"a@{wanted.digest}", "--raw").failed("digest", code=5)
    get(sonar, scripted, f"a@{wanted.digest}", "-o", "json").failed("digest", code=5)


def test_a_header_that_names_another_digest(sonar: Program, scripted: Origin) -> None:
    """N2: "`Docker-Content-Digest` … present and different → error", by tag and by digest."""
    what = images.image()
    lie = {"Content-Type": MANIFEST, "Docker-Content-Digest": "sha256:" + "0" * 64}
    scripted.default = Answer(200, lie, what.manifest.data)
    get(sonar, scripted).failed("digest", code=5)
    get(sonar, scripted, f"a@{what.digest}").failed("digest", code=5)


def test_no_header_is_no_matter(sonar: Program, scripted: Origin) -> None:
    """N2: "`Docker-Content-Digest` missing → compute it"."""
    what = images.image()
    scripted.on("GET|HEAD", "/v2/a/manifests/v1", answer(what.manifest.data))
    assert get(sonar, scripted, "a:v1", "--raw").succeeded().stdout == what.manifest.data
    assert what.digest in sonar("manifest", "head", f"{scripted.host}/a:v1").succeeded().out


@pytest.mark.parametrize("value", ["nonsense", "sha256:../../x", "sha256:" + "A" * 64, "", "md5:abc", "\x1b[31m"])
def test_a_header_that_is_no_digest(sonar: Program, scripted: Origin, value: str) -> None:
    """N2: "headers never win": what is no digest is an error or passed over, never believed, never a crash."""
    what = images.image()
    scripted.default = Answer(200, {"Content-Type": MANIFEST, "Docker-Content-Digest": value}, what.manifest.data)
    outcome = get(sonar, scripted, f"a@{what.digest}", "--raw")
    assert outcome.code in (0, 1, 5), outcome.shown()
    assert outcome.stdout in (b"", what.manifest.data)
    assert "Traceback" not in outcome.err
    assert "\x1b" not in outcome.err


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_head_refused_becomes_get(sonar: Program, scripted: Origin, status: int) -> None:
    """N2: "HEAD refused → GET"."""
    what = images.image()
    scripted.on("HEAD", "/v2/a/manifests/v1", Answer(status))
    scripted.on("GET", "/v2/a/manifests/v1", manifest_answer(what.manifest))
    outcome = sonar("manifest", "head", f"{scripted.host}/a:v1")
    if status == 404:  # that is an answer
        outcome.failed("404", code=3)
    else:
        assert what.digest in outcome.succeeded().out


def test_a_manifest_cut_short(sonar: Program, scripted: Origin) -> None:
    """N2: bytes that are missing are not accepted, whatever the headers say."""
    what = images.image()
    headers = {"Content-Type": MANIFEST, "Docker-Content-Digest": what.digest}
    scripted.default = Answer(200, headers, what.manifest.data, cut=50, then="close")
    assert get(sonar, scripted).code in (1, 5)
    scripted.default = Answer(200, headers, what.manifest.data[:-1])
    assert get(sonar, scripted, f"a@{what.digest}", "--raw").failed(code=5).stdout == b""


# ── documents that are two things, or none ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        pytest.param({"mediaType": MANIFEST, "config": EMPTY, "layers": [], "manifests": []}, MANIFEST, id="both"),
        pytest.param({"config": EMPTY, "layers": [], "manifests": []}, INDEX, id="both, untyped"),
        pytest.param({"mediaType": INDEX, "manifests": [], "layers": []}, INDEX, id="index with layers"),
        pytest.param({"mediaType": INDEX, "manifests": [], "config": EMPTY}, INDEX, id="index with config"),
        pytest.param({"mediaType": INDEX, "manifests": []}, MANIFEST, id="index as manifest"),
        pytest.param({"mediaType": MANIFEST, "config": EMPTY, "layers": []}, INDEX, id="manifest as index"),
        pytest.param({"mediaType": MANIFEST, "config": EMPTY, "layers": []}, DOCKER, id="oci as docker"),
        pytest.param({"manifests": []}, MANIFEST, id="untyped index as manifest"),
        pytest.param({"config": EMPTY, "layers": []}, INDEX, id="untyped manifest as index"),
    ],
)
def test_a_document_that_is_two_things(
    sonar: Program, scripted: Origin, document: dict[str, Any], content_type: str
) -> None:
    """N3: "A document that is both manifest and index, or whose `mediaType` differs from the Content-Type, is
    refused" (CVE-2021-41190)."""
    scripted.default = answer({"schemaVersion": 2, **document}, content_type)
    get(sonar, scripted).failed()


@pytest.mark.parametrize(
    "content_type",
    [f"{MANIFEST}; charset=utf-8", f"{MANIFEST};charset=utf-8", MANIFEST.upper(), f" {MANIFEST} "],
)
def test_parameters_of_a_content_type(sonar: Program, scripted: Origin, content_type: str) -> None:
    """N3: "Parameters on a Content-Type are ignored"."""
    what = images.image()
    scripted.default = answer(what.manifest.data, content_type)
    get(sonar, scripted).succeeded()


BAD_JSON = [
    pytest.param(b"", id="empty"),
    pytest.param(b"null", id="null"),
    pytest.param(b"[]", id="list"),
    pytest.param(b"7", id="number"),
    pytest.param(b"{", id="half"),
    pytest.param(b"{} trailing", id="trailing"),
    pytest.param(b"\xff\xfe{\x00}\x00", id="not UTF-8"),
    pytest.param(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, id="deep objects"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep lists"),
    pytest.param(b'{"schemaVersion": NaN}', id="NaN"),
    pytest.param(b'{"schemaVersion": Infinity}', id="Infinity"),
    pytest.param(b'{"schemaVersion": 2}', id="neither"),
    pytest.param(b'{"schemaVersion": 1, "fsLayers": []}', id="schema 1"),
    pytest.param(b'{"schemaVersion": 99, "config": {}, "layers": []}', id="schema 99"),
]


@pytest.mark.parametrize("data", BAD_JSON)
def test_json_that_is_no_manifest(sonar: Program, scripted: Origin, data: bytes) -> None:
    """N3: "JSON too deep, NaN, … → a typed error"."""
    scripted.default = answer(data)
    get(sonar, scripted).failed()


@pytest.mark.parametrize("size", [-1, "7", 1.5, None, 10**30, True, [], 2**63])
@pytest.mark.parametrize("where", ["config", "layers", "manifests"])
def test_a_size_that_is_none(sonar: Program, scripted: Origin, size: object, where: str) -> None:
    """N3: "a size that is negative, not a number or huge → a typed error"."""
    entry = {"mediaType": MANIFEST, "digest": digest(b"x"), "size": size}
    if where == "manifests":
        what = Content(INDEX, json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
    else:
        document = {"schemaVersion": 2, "config": EMPTY, "layers": []}
        document[where] = entry if where == "config" else [entry]
        what = Content(MANIFEST, json.dumps(document).encode())
    serve(scripted, "a", Image(what))
    target = sonar.home / "out"
    outcome = sonar("image", "pull", f"{scripted.host}/a:v1", f"oci:{target}:v1")
    assert outcome.code == 1, outcome.shown()
    outcome.reported("size")


@pytest.mark.parametrize(
    "document",
    [
        {"config": "text", "layers": []},
        {"config": EMPTY, "layers": "text"},
        {"config": EMPTY, "layers": [None]},
        {"config": EMPTY, "layers": [[]]},
        {"config": {}, "layers": []},
        {"config": EMPTY, "layers": [], "annotations": "text"},
        {"config": EMPTY, "layers": [], "annotations": {"a": 1}},
        {"config": EMPTY, "layers": [], "subject": "text"},
        {"manifests": "text"},
        {"manifests": [7]},
        {"manifests": [{"digest": digest(b"x"), "size": 1, "platform": "linux"}]},
    ],
)
def test_fields_of_the_wrong_type(sonar: Program, scripted: Origin, document: dict[str, Any]) -> None:
    """N3: a manifest whose fields have the wrong types is a typed error, never a crash."""
    media_type = INDEX if "manifests" in document else MANIFEST
    what = Content(media_type, json.dumps({"schemaVersion": 2, "mediaType": media_type, **document}).encode())
    serve(scripted, "a", Image(what))
    outcome = sonar("image", "inspect", f"{scripted.host}/a:v1")
    assert outcome.code in (1, 3), outcome.shown()
    outcome.reported()


# ── indexes without end ─────────────────────────────────────────────────────────────────────────────────


def _chain(length: int) -> list[Content]:
    """Indexes of which each contains the one before; the first holds an image."""
    inner: Content = images.image().manifest
    made = [inner]
    for _ in range(length):
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner.descriptor()]}
        inner = Content(INDEX, json.dumps(document).encode())
        made.append(inner)
    return made


@pytest.mark.parametrize("command", ["inspect", "pull"])
def test_a_thousand_nested_indexes(sonar: Program, scripted: Origin, command: str) -> None:
    """N4: "An index that contains itself, or a thousand nested ones → a cycle or depth error"."""
    chain = _chain(1000)
    serve(scripted, "a", images.image())
    for content in chain:
        scripted.on("GET|HEAD", f"/v2/a/manifests/{content.digest}", manifest_answer(content))
    scripted.on("GET|HEAD", "/v2/a/manifests/v1", manifest_answer(chain[-1]))
    target = [f"oci:{sonar.home / 'out'}:v1"] if command == "pull" else []
    outcome = sonar("image", command, f"{scripted.host}/a:v1", *target)
    assert outcome.code == 1, outcome.shown()
    outcome.reported()
    assert len(scripted.requests) < 50


def test_an_index_that_says_that_it_contains_itself(sonar: Program, scripted: Origin) -> None:
    """N4: "An index that contains itself": a true one cannot be made; one that is served under a digest that it
    claims for its child fails by its digest."""
    child = "sha256:" + "1" * 64
    document = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{"mediaType": INDEX, "digest": child, "size": 200}],
    }
    self_named = Content(INDEX, json.dumps(document).encode())
    scripted.on("GET", "/v2/", Answer(200, json={}))
    lying = Answer(200, {"Content-Type": INDEX, "Docker-Content-Digest": child}, self_named.data)
    scripted.on("GET|HEAD", f"/v2/a/manifests/{child}", lying)
    for name in ("v1", self_named.digest):
        scripted.on("GET|HEAD", f"/v2/a/manifests/{name}", manifest_answer(self_named))
    outcome = sonar("image", "pull", f"{scripted.host}/a:v1", f"oci:{sonar.home / 'out'}:v1")
    assert outcome.code in (1, 5), outcome.shown()
    assert len(scripted.requests) < 20


def test_a_wide_index_is_asked_for_once_each(sonar: Program, scripted: Origin) -> None:
    """N4: an index that names one child ten thousand times does not cause ten thousand requests."""
    inner = images.image()
    serve(scripted, "a", inner)
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner.manifest.descriptor()] * 10_000}
    wide = Content(INDEX, json.dumps(document).encode())
    scripted.on("GET|HEAD", "/v2/a/manifests/v1", manifest_answer(wide))
    sonar("image", "pull", f"{scripted.host}/a:v1", f"oci:{sonar.home / 'out'}:v1")
    assert len(scripted.requests) < 30


# ── foreign layers ──────────────────────────────────────────────────────────────────────────────────────


def test_urls_of_foreign_layers_are_not_fetched(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin]
) -> None:
    """N5: "`urls` of foreign layers are not fetched unless asked for, and then without credentials"
    (CVE-2020-15157)."""
    other, what = origins(), images.image()
    document = what.manifest.json
    foreign = document["layers"][0]
    foreign["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    foreign["urls"] = [f"{other.url}/layer"]
    changed = Image(Content(MANIFEST, json.dumps(document).encode()), what.blobs)
    serve(scripted, "a", changed)
    other.default = Answer(401, {"WWW-Authenticate": 'Basic realm="give me"'})
    sonar.login(scripted.host)
    sonar("image", "pull", f"{scripted.host}/a:v1", f"oci:{sonar.home / 'out'}:v1")
    sonar("image", "files", f"{scripted.host}/a:v1")
    assert other.connections == 0


# ── platforms ───────────────────────────────────────────────────────────────────────────────────────────


def _index(*platforms: dict[str, Any]) -> tuple[Image, list[Image]]:
    """An index with one image for each platform."""
    made = [images.image(labels={"number": str(n)}) for n, _ in enumerate(platforms)]
    entries = [one.manifest.descriptor(platform=where) for one, where in zip(made, platforms, strict=True)]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    return Image(Content(INDEX, json.dumps(document).encode()), (), tuple(made)), made


def _platform(text: str) -> dict[str, Any]:
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


@pytest.mark.parametrize(
    ("asked", "there", "chosen"),
    [
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], 1),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], 2),
        ("linux/arm", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/armhf", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/arm64", ["linux/amd64", "linux/arm64/v8"], 1),
        ("linux/arm64/v8", ["linux/amd64", "linux/arm64"], 1),
        ("linux/aarch64", ["linux/amd64", "linux/arm64/v8"], 1),
        ("linux/x86_64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/amd64", ["unknown/unknown", "linux/amd64"], 1),
    ],
)
def test_the_platform_is_chosen_by_the_rules(
    sonar: Program, scripted: Origin, asked: str, there: list[str], chosen: int
) -> None:
    """N6: "arm/v7 takes v7, then v6, v5; arm64 is v8; … `x86_64`, `aarch64`, `armhf` are understood"."""
    index, made = _index(*map(_platform, there))
    serve(scripted, "a", index)
    outcome = get(sonar, scripted, "a:v1", "--platform", asked, "--raw").succeeded()
    assert digest(outcome.stdout) == made[chosen].digest


def test_windows_compares_builds(sonar: Program, scripted: Origin) -> None:
    """N6: "Windows compares major.minor.build"."""
    platforms = [
        {"os": "windows", "architecture": "amd64", "os.version": version}
        for version in ("10.0.17763.1", "10.0.20348.2", "10.0.20348.9")
    ]
    index, made = _index(*platforms)
    serve(scripted, "a", index)
    outcome = get(sonar, scripted, "a:v1", "--platform", "windows(10.0.20348.5)/amd64", "--raw")
    assert digest(outcome.succeeded().stdout) in {made[1].digest, made[2].digest}


@pytest.mark.parametrize("asked", ["linux/s390x", "windows/amd64", "linux/arm/v5"])
def test_a_missing_platform_lists_those_that_exist(sonar: Program, scripted: Origin, asked: str) -> None:
    """N6: "a missing platform lists those that exist"; never an attestation ("unknown/unknown")."""
    index, _ = _index(*map(_platform, ["linux/amd64", "linux/arm/v6", "unknown/unknown"]))
    serve(scripted, "a", index)
    outcome = get(sonar, scripted, "a:v1", "--platform", asked).failed("linux/amd64", "linux/arm/v6", code=3)
    assert "unknown/unknown" not in outcome.err


def test_attestations_alone_are_never_picked(sonar: Program, scripted: Origin) -> None:
    """N6: "attestation entries (`unknown/unknown`) are never picked"."""
    index, _ = _index(_platform("unknown/unknown"))
    serve(scripted, "a", index)
    get(sonar, scripted, "a:v1", "--platform", "linux/amd64").failed(code=3)
    get(sonar, scripted, "a:v1", "--platform", "unknown/unknown").failed(code=3)


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "li nux/amd64", "../x", "linux/\x1b"]
)
def test_a_malformed_platform(sonar: Program, scripted: Origin, text: str, tmp_path: Path) -> None:
    """N6: a platform that can't be one is a usage error; an architecture alone is none of these."""
    del tmp_path
    outcome = get(sonar, scripted, "a:v1", "--platform", text)
    assert outcome.code in (1, 2, 3), outcome.shown()
    assert not re.search(r"[\x1b]", outcome.err)
