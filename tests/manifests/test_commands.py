"""`sonar manifest`: what a user types, what comes out, what is deleted and what is not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from sonar_core.content import Digest
from sonar_core.testing.scripted import Answer, Origin
from sonar_plugins.serve.server import EmbeddedRegistry
from tests.support import images
from tests.support.docker_registry import DockerRegistry
from tests.support.endpoints import Program
from tests.support.push import push

IMAGE = images.image()
INDEX = images.index()
AMD64, ARM64 = INDEX.children


@dataclass(frozen=True)
class Filled:
    """A repository with an image (v1, latest) and an index."""

    url: str
    host: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.host}/{self.path}"


@pytest.fixture
def filled(host: str, path: str) -> Filled:
    url = f"http://{host}"
    for tag, made in (("v1", IMAGE), ("latest", IMAGE), ("index", INDEX)):
        push(url, path, tag, made)
    return Filled(url, host, path)


def test_get(filled: Filled, sonar: Program) -> None:
    """Laid out, and whole."""
    run = sonar("manifest", "get", f"{filled.name}:v1")
    assert (run.code, run.stderr) == (0, "")
    assert run.stdout == json.dumps(IMAGE.manifest.json, indent=2) + "\n"
    assert sonar("manifest", "get", filled.name).stdout == run.stdout


def test_get_as_json(filled: Filled, sonar: Program) -> None:
    assert sonar("manifest", "get", f"{filled.name}:v1", "-o", "json").json == IMAGE.manifest.json
    two = sonar("manifest", "get", f"{filled.name}:v1", f"{filled.name}:index", "-o", "json")
    assert two.json == [IMAGE.manifest.json, INDEX.manifest.json]


def test_get_the_exact_bytes(filled: Filled, sonar: Program) -> None:
    assert sonar("manifest", "get", "--raw", f"{filled.name}:v1").stdout == IMAGE.manifest.data.decode()
    assert sonar("manifest", "get", "--raw", f"{filled.name}@{INDEX.digest}").stdout == INDEX.manifest.data.decode()


def test_get_a_field(filled: Filled, sonar: Program) -> None:
    run = sonar("manifest", "get", f"{filled.name}:v1", "--format", "{config.digest}")
    assert run.stdout == f"{IMAGE.blobs[0].digest}\n"


def test_get_for_a_platform(filled: Filled, sonar: Program) -> None:
    name = f"{filled.name}:index"
    assert sonar("manifest", "get", "--raw", name, "--platform", "linux/arm64").stdout.encode() == ARM64.manifest.data
    assert sonar("manifest", "head", name, "--platform", "linux/amd64").stdout == f"{AMD64.digest}\n"
    missing = sonar("manifest", "get", name, "--platform", "linux/s390x")
    assert (missing.code, missing.stdout) == (3, "")
    assert "linux/amd64" in missing.stderr
    of_an_image = sonar("manifest", "head", f"{filled.name}:v1", "--platform", "linux/arm64")
    assert of_an_image.stdout == f"{IMAGE.digest}\n"


def test_head(filled: Filled, sonar: Program) -> None:
    assert sonar("manifest", "head", f"{filled.name}:v1").stdout == f"{IMAGE.digest}\n"
    expected = {
        "mediaType": INDEX.manifest.media_type,
        "digest": INDEX.digest,
        "size": len(INDEX.manifest.data),
    }
    assert sonar("manifest", "head", f"{filled.name}:index", "-o", "json").json == expected
    several = sonar("manifest", "head", f"{filled.name}:v1", f"{filled.name}:index")
    assert several.stdout == f"{IMAGE.digest}\n{INDEX.digest}\n"


@pytest.mark.parametrize("verb", ["get", "head"])
def test_what_is_not_there(filled: Filled, sonar: Program, verb: str) -> None:
    run = sonar("manifest", verb, f"{filled.name}:nothing")
    assert (run.code, run.stdout) == (3, "")
    assert "nothing" in run.stderr
    assert run.stderr.count("\n") == 1


def test_put(filled: Filled, sonar: Program, tmp_path: Path) -> None:
    """Byte for byte, from a file and from stdin."""
    text = json.dumps(IMAGE.manifest.json, indent=1)
    digest = Digest.of(text.encode())
    (tmp_path / "manifest.json").write_text(text)
    assert sonar("manifest", "put", f"{filled.name}:v2", str(tmp_path / "manifest.json")).stdout == f"{digest}\n"
    put = sonar("manifest", "put", f"{filled.name}:v3", "-o", "json", stdin=text)
    assert put.json == {"mediaType": IMAGE.manifest.media_type, "digest": str(digest), "size": len(text)}
    for tag in ("v2", "v3"):
        assert sonar("manifest", "get", "--raw", f"{filled.name}:{tag}").stdout == text


def test_put_under_a_digest(filled: Filled, sonar: Program) -> None:
    text = json.dumps(IMAGE.manifest.json, indent=1)
    digest = Digest.of(text.encode())
    assert sonar("manifest", "put", f"{filled.name}@{digest}", stdin=text).stdout == f"{digest}\n"
    assert sonar("manifest", "put", f"{filled.name}:v4@{digest}", stdin=text).stdout == f"{digest}\n"
    assert sonar("manifest", "head", f"{filled.name}:v4").stdout == f"{digest}\n"


def test_put_that_does_not_say_what_it_is(filled: Filled, sonar: Program) -> None:
    document = {name: value for name, value in IMAGE.manifest.json.items() if name != "mediaType"}
    media_type = IMAGE.manifest.media_type
    put = sonar("manifest", "put", f"{filled.name}:v5", "--media-type", media_type, stdin=json.dumps(document))
    assert put.code == 0, put.stderr
    assert sonar("manifest", "head", f"{filled.name}:v5", "-o", "json").json["mediaType"] == media_type


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        (("{name}@" + INDEX.digest,), IMAGE.manifest.data.decode(), 5),
        (("{name}:v1@" + INDEX.digest,), IMAGE.manifest.data.decode(), 5),
        (("{name}:v1",), "no JSON", 1),
        (("{name}:v1",), "[]", 1),
        (("{name}:v1", "--media-type", INDEX.manifest.media_type), IMAGE.manifest.data.decode(), 1),
        (("{name}:v1",), " " * (4 * 1024 * 1024 + 1), 2),
        (("{name}:v1", "/nowhere/manifest.json"), "", 1),
        (("{name}:",), "{{}}", 2),
    ],
)
def test_put_of_what_is_wrong_sends_nothing(
    scripted: Origin, sonar: Program, arguments: tuple[str, ...], text: str, code: int
) -> None:
    name = f"{scripted.host}/app"
    run = sonar("manifest", "put", *(argument.format(name=name) for argument in arguments), stdin=text)
    assert (run.code, run.stdout) == (code, ""), run.stderr
    assert run.stderr.count("\n") == 1
    assert scripted.requests == []


def test_rm_a_tag_keeps_the_manifest(sonar_registry: EmbeddedRegistry, sonar: Program) -> None:
    """DESIGN 4: "removing by tag never removes a digest that other tags share"."""
    for tag in ("v1", "latest"):
        push(sonar_registry.url, "app", tag, IMAGE)
    name = f"{sonar_registry.host}/app"
    assert sonar("manifest", "rm", f"{name}:v1").stdout == f"{name}:v1\n"
    assert sonar("manifest", "head", f"{name}:v1").code == 3
    assert sonar("manifest", "head", f"{name}:latest").stdout == f"{IMAGE.digest}\n"


def test_rm_a_tag_where_the_registry_can_not(shared_registry: DockerRegistry, path: str, sonar: Program) -> None:
    """Nothing is deleted, and the error says how the manifest is."""
    push(shared_registry.url, path, "v1", IMAGE)
    name = f"{shared_registry.host}/{path}:v1"
    run = sonar("manifest", "rm", name)
    assert (run.code, run.stdout) == (1, "")
    assert f"sonar manifest rm --digest {name}" in run.stderr
    assert sonar("manifest", "head", name).code == 0


def test_rm_by_digest(filled: Filled, sonar: Program) -> None:
    name = f"{filled.name}@{IMAGE.digest}"
    assert sonar("manifest", "rm", name, "-o", "json").json == [{"reference": name, "digest": IMAGE.digest}]
    assert sonar("manifest", "head", f"{filled.name}:v1").code == 3
    assert sonar("manifest", "head", f"{filled.name}:index").code == 0


def test_rm_the_digest_of_a_tag(filled: Filled, sonar: Program) -> None:
    """`--digest` says so: every tag goes."""
    run = sonar("manifest", "rm", "--digest", f"{filled.name}:v1")
    assert (run.code, run.stdout) == (0, f"{filled.name}:v1\n")
    assert IMAGE.digest in run.stderr
    assert sonar("manifest", "head", f"{filled.name}:latest").code == 3


def test_rm_wants_the_exact_thing(scripted: Origin, sonar: Program) -> None:
    """DESIGN 4: "Nothing destructive without being told the exact thing": no tag is supplied."""
    run = sonar("manifest", "rm", f"{scripted.host}/app")
    assert (run.code, run.stdout) == (2, "")
    assert "neither tag nor digest" in run.stderr
    assert scripted.requests == []


def test_rm_stops_at_the_first_that_fails(filled: Filled, sonar: Program) -> None:
    """What was deleted before has been told."""
    gone, missing = f"{filled.name}@{IMAGE.digest}", f"{filled.name}@{Digest.of(b'missing')}"
    run = sonar("manifest", "rm", gone, missing, f"{filled.name}@{INDEX.digest}")
    assert (run.code, run.stdout) == (3, f"{gone}\n")
    assert sonar("manifest", "head", f"{filled.name}:index").code == 0


def test_indexes_too_deep(scripted: Origin, sonar: Program) -> None:
    """An index that names an index for the platform is followed, eight deep."""
    last = images.image()
    for _ in range(9):
        last = images.index(images.Image(last.manifest, (), (), {"os": "linux", "architecture": "amd64"}))
        headers = {"Content-Type": last.manifest.media_type}
        scripted.on("GET", f"/v2/a/manifests/{last.digest}", Answer(200, headers, last.manifest.data))
    run = sonar("manifest", "get", f"{scripted.host}/a@{last.digest}", "--platform", "linux/amd64")
    assert (run.code, run.stdout) == (1, "")
    assert "8 deep" in run.stderr
