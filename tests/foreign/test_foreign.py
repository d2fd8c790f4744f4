"""Parsers of what strangers send, given anything: a SonarError or a right result, never another exception.

Those of names, digests, manifests, challenges and links stand beside what they test, in `tests/core`; tar headers in
`tests/layers`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from sonar_core.auth_types import Credentials
from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.errors import SonarError
from sonar_core.plugins import Plugins
from sonar_core.reference import Registry, Repository
from sonar_core.retries import Attempts
from sonar_core.settings import Settings
from sonar_core.testing.scripted import Answer, Origin
from sonar_plugins.blobs.endpoint import Blobs
from sonar_plugins.credentials.auth_file import AuthFile
from sonar_plugins.layout.store import Layout

CONTENT = b"0123456789"
DIGEST = Digest.of(CONTENT)
VISIBLE = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def blobs(scripted: Origin) -> Iterator[Blobs]:
    with Client(scripted.host, settings=Settings(attempts=1, timeout=5.0), plugins=Plugins()) as client:
        yield Blobs(client)


# ── Content-Range and Range (RFC 9110, section 14.4; distribution-spec, end-13) ─────────────────────────────

RANGES = st.from_regex(r"bytes ?=?-?[0-9]{0,25}-[0-9]{0,25}(/([0-9]{0,25}|\*))?", fullmatch=True) | VISIBLE


@quick
@given(stated=RANGES)
@example("bytes 3-9/10")
@example("bytes 4-9/10")
def test_a_part_of_a_blob_is_the_right_part_or_an_error(scripted: Origin, blobs: Blobs, stated: str) -> None:
    """ROBUSTNESS, "Moving blobs": "a 206 with a wrong offset is an error"."""
    path = f"/v2/app/blobs/{DIGEST}"
    scripted.forget()
    scripted.on("GET", path, Answer(206, {"Content-Range": stated}, CONTENT[3:]))
    with suppress(SonarError):
        assert b"".join(blobs.get("app", DIGEST, size=len(CONTENT), offset=3)) == CONTENT[3:]
        assert stated.startswith("bytes 3-")


# ── Retry-After (RFC 9110, section 10.2.3) ──────────────────────────────────────────────────────────────────


@settings(max_examples=300, deadline=None)
@given(text=VISIBLE | st.integers().map(str) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} .*"))
@example("9" * 400)
@example("Wed, 21 Oct 99999 07:28:00 GMT")
def test_a_wait_is_a_number_of_seconds_or_none(text: str) -> None:
    found = Attempts.of(5, 0.2).asked_wait(HTTPResponse(headers={"Retry-After": text}))
    assert found is None or (found >= 0 and not math.isnan(found))


# ── docker's config.json and podman's auth.json ─────────────────────────────────────────────────────────────

ENTRY = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("auth", "username", "password", "identitytoken", "registrytoken"), JSON)
)
CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "auths": JSON
        | st.dictionaries(st.sampled_from(["r.example", "https://r.example/v1/", "r.example/a"]), JSON | ENTRY),
        "credsStore": st.sampled_from(["", "../evil", "a b", 7, None]),
        "credHelpers": JSON,
    },
)


@quick
@given(document=JSON | CONFIG, extra=st.binary(max_size=6))
def test_any_docker_config_gives_credentials_nothing_or_an_error(tmp_path: Path, document: Any, extra: bytes) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(json.dumps(document).encode() + extra)
    registry = Registry.parse("r.example")
    with suppress(SonarError):
        found = AuthFile.load(file).credentials(registry, Repository(registry, "a/b"), seconds=1.0)
        assert found is None or isinstance(found, Credentials)


# ── image layouts (image-spec, image-layout.md) ─────────────────────────────────────────────────────────────

DESCRIPTOR = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": JSON,
        "digest": JSON | st.just(str(DIGEST)) | st.just("sha256:../../../etc/passwd"),
        "size": JSON | st.just(len(CONTENT)),
        "annotations": JSON | st.just({"org.opencontainers.image.ref.name": "v1"}),
    },
)


@quick
@given(
    marker=JSON | st.just({"imageLayoutVersion": "1.0.0"}),
    index=JSON | st.fixed_dictionaries({"schemaVersion": JSON, "manifests": JSON | st.lists(DESCRIPTOR, max_size=3)}),
)
def test_any_layout_is_read_or_an_error(tmp_path: Path, marker: Any, index: Any) -> None:
    blobs = tmp_path / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / DIGEST.hex).write_bytes(CONTENT)
    (tmp_path / "oci-layout").write_text(json.dumps(marker))
    (tmp_path / "index.json").write_text(json.dumps(index))
    with suppress(SonarError):
        store = Layout(tmp_path)
        names = list(store.tags())
        assert all(isinstance(name, str) for name in names)
        for name in (*names, None):
            store.manifest(name)
