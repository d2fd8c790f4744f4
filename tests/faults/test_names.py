"""ROBUSTNESS, Names: what is malformed never becomes part of a URL or a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.registry import digest, serve
from tests.support import images

if TYPE_CHECKING:
    from sonar_core.testing.scripted import Origin
    from tests.faults.program import Program

BAD_PATHS = [
    "a/../b", "../a", "a/./b", "a//b", "/a", "a/", "A/b", "a b", "a%2fb", "a%2e%2e/b", "a\\b", "a\tb", "a\nb",
    "a?x=1", "a#x", "é", "a" * 256, "a..b", "-a", "a__" + "_b", "a/b;c", "a\x00b".replace("\x00", "\x01"),
]  # fmt: skip
BAD_TAGS = ["", ".v1", "-v1", "v1/../..", "v 1", "v1%2f", "x" * 129, "é", "v1?x", "v1#x", "v1:v2", "../../v1"]
BAD_DIGESTS = [
    "sha256:",
    "sha256:abc",
    "sha256:" + "g" * 64,
    "sha256:" + "A" * 64,
    "sha256:" + "a" * 65,
    "sha256:../../../etc/passwd",
    "sha256:" + "a" * 60 + "/../",
    "md5:" + "a" * 32,
    "sha256" + "a" * 64,
    "sha256:" + "a" * 64 + "@sha256:" + "a" * 64,
    "sha512:" + "a" * 64,
    "sha256:%61" + "a" * 61,
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_malformed_repository_is_not_sent(sonar: Program, scripted: Origin, path: str) -> None:
    """N1: "A digest, tag or name is validated before it is part of a URL or a path (CVE-2024-3727)"."""
    sonar("tag", "ls", f"{scripted.host}/{path}").failed(code=2)
    assert scripted.connections == 0


@pytest.mark.parametrize("tag", BAD_TAGS)
def test_a_malformed_tag_is_not_sent(sonar: Program, scripted: Origin, tag: str) -> None:
    """N1: "A digest, tag or name is validated before it is part of a URL or a path (CVE-2024-3727)"."""
    sonar("manifest", "get", f"{scripted.host}/a:{tag}").failed(code=2)
    assert scripted.connections == 0


@pytest.mark.parametrize("text", BAD_DIGESTS)
@pytest.mark.parametrize("noun", ["manifest", "blob"])
def test_a_malformed_digest_is_not_sent(sonar: Program, scripted: Origin, noun: str, text: str) -> None:
    """N1: "A digest, tag or name is validated before it is part of a URL or a path (CVE-2024-3727)"."""
    sonar(noun, "get", f"{scripted.host}/a@{text}").failed(code=2)
    assert scripted.connections == 0


@pytest.mark.parametrize(
    "host",
    ["[::1", "[::zz]:80", "127.0.0.1:99999", "127.0.0.1:0x50", "host_name!:80", "a@b:80", "http://u:p@127.0.0.1"],
)
def test_a_malformed_registry_is_not_sent(sonar: Program, host: str) -> None:
    """N1: a registry's name too; and a password in it is not shown."""
    outcome = sonar("check", host).failed(code=2)
    assert "u:p" not in outcome.err


@pytest.mark.parametrize("text", ["sha256:../../../../etc/passwd", "sha256:abc", "md5:" + "a" * 32, "", 7, None])
@pytest.mark.parametrize("where", ["config", "layers"])
def test_a_malformed_digest_in_a_manifest_is_not_asked_for(
    sonar: Program, scripted: Origin, where: str, text: object
) -> None:
    """N1: "A digest … is validated before it is part of a URL or a path (CVE-2024-3727)": in a manifest, which a
    registry made."""
    import json

    from tests.support.images import Content, Image

    document = images.image().manifest.json
    (document["config"] if where == "config" else document["layers"][0])["digest"] = text
    bad = Content("application/vnd.oci.image.manifest.v1+json", json.dumps(document).encode())
    serve(scripted, "a", Image(bad))
    target = sonar.home / "out"
    outcome = sonar("image", "pull", f"{scripted.host}/a:v1", f"oci:{target}:v1")
    assert outcome.code in (1, 5), outcome.shown()
    outcome.reported()
    assert all(".." not in request.target and "passwd" not in request.target for request in scripted.requests)
    assert scripted.calls("GET", digest(b"")) == []


def test_nothing_is_decoded_into_a_slash(sonar: Program, scripted: Origin) -> None:
    """N1: "nothing is percent-decoded into a slash or a dot-dot": a Location with escapes is used as it came."""
    from sonar_core.testing.scripted import Answer

    data = b"blob"
    path = f"/v2/a/blobs/{digest(data)}"
    scripted.on("GET", path, Answer(302, {"Location": "/files/%2E%2E%2Fx%2Fy?sig=a%2Fb%2B"}))
    scripted.on("GET", "/files/%2E%2E%2Fx%2Fy?sig=a%2Fb%2B", Answer(200, body=data))
    assert sonar("blob", "get", f"{scripted.host}/a@{digest(data)}").succeeded().stdout == data
