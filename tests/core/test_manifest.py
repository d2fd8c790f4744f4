"""Manifests keep their bytes, are what they say, and say one thing to every reader."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import ContentError, IntegrityError, SonarError
from sonar_core.manifest import Manifest
from sonar_core.media_types import (
    DOCKER_CONFIG,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA1,
    DOCKER_SCHEMA1_SIGNED,
    MANIFEST_TYPES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    essence,
    is_index,
    is_manifest,
)
from tests.core.outcome import outcome


def pointer(media_type: str, content: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(content.encode())), "size": len(content)}


CONFIG = pointer(OCI_CONFIG, "config")
LAYERS = [pointer(OCI_LAYER_GZIP, "one"), pointer(OCI_LAYER_GZIP, "two")]
IMAGE = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": LAYERS}
INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [pointer(OCI_MANIFEST, "m")]}


def raw(document: object) -> bytes:
    return json.dumps(document).encode()


def without(document: dict[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in document.items() if name not in names}


def test_an_image_manifest_is_read():
    subject = pointer(OCI_MANIFEST, "subject")
    data = raw(IMAGE | {"subject": subject, "artifactType": "application/x", "annotations": {"a": "1"}})
    manifest = Manifest.parse(data, OCI_MANIFEST)
    assert manifest.media_type == OCI_MANIFEST
    assert not manifest.is_index
    assert manifest.config == Descriptor.from_json(CONFIG)
    assert manifest.layers == tuple(Descriptor.from_json(layer) for layer in LAYERS)
    assert manifest.children() == (manifest.config, *manifest.layers)
    assert manifest.manifests == ()
    assert manifest.subject == Descriptor.from_json(subject)
    assert manifest.artifact_type == "application/x"
    assert manifest.annotations == {"a": "1"}
    assert manifest.json["schemaVersion"] == 2


def test_an_index_is_read():
    manifest = Manifest.parse(raw(INDEX), OCI_INDEX)
    assert manifest.is_index
    assert manifest.config is None
    assert manifest.layers == ()
    assert manifest.manifests == manifest.children() == (Descriptor.from_json(INDEX["manifests"][0]),)
    assert (manifest.subject, manifest.artifact_type, manifest.annotations) == (None, None, {})


def test_the_exact_bytes_are_kept_and_named():
    """DESIGN: a digest is always computed over the bytes that came, never over re-serialised JSON."""
    data = b" " + json.dumps(IMAGE, indent=7).encode() + b"\n\n"
    manifest = Manifest.parse(data)
    assert manifest.raw == data
    assert manifest.digest == Digest("sha256", hashlib.sha256(data).hexdigest())
    assert manifest.descriptor() == Descriptor(OCI_MANIFEST, manifest.digest, len(data))


def test_the_digest_that_was_asked_for_decides_the_algorithm():
    data = raw(IMAGE)
    digest = Digest.of(data, "sha512")
    assert Manifest.parse(data, expected=digest).digest == digest


def test_other_bytes_than_asked_for_are_an_integrity_error_that_names_both():
    """CVE-2025-24882: the digest asked for is compared with a hash over the bytes that came."""
    data, other = raw(IMAGE), Digest.of(b"other")
    with pytest.raises(IntegrityError) as caught:
        Manifest.parse(data, OCI_MANIFEST, other)
    assert str(other) in str(caught.value)
    assert str(Digest.of(data)) in str(caught.value)
    with pytest.raises(IntegrityError):
        Manifest.parse(b"not even JSON", OCI_MANIFEST, other)


@pytest.mark.parametrize("media_type", MANIFEST_TYPES)
def test_all_four_types_are_known(media_type):
    document = (INDEX if is_index(media_type) else IMAGE) | {"mediaType": media_type}
    assert is_manifest(media_type)
    for content_type in (media_type, f"{media_type}; charset=utf-8", f" {media_type.upper()} ;q=1", None):
        assert Manifest.parse(raw(document), content_type).media_type == media_type


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", "application/json; charset=utf-8", "application/octet-stream", "text/plain"],
)
def test_a_content_type_that_says_nothing_leaves_it_to_the_document(content_type):
    assert Manifest.parse(raw(IMAGE | {"mediaType": DOCKER_MANIFEST}), content_type).media_type == DOCKER_MANIFEST
    assert Manifest.parse(raw(without(IMAGE, "mediaType")), content_type).media_type == OCI_MANIFEST
    assert Manifest.parse(raw(without(INDEX, "mediaType")), content_type).media_type == OCI_INDEX


def test_oci_documents_may_lack_their_media_type():
    assert Manifest.parse(raw(without(IMAGE, "mediaType")), OCI_MANIFEST).media_type == OCI_MANIFEST
    assert Manifest.parse(raw(without(INDEX, "mediaType")), OCI_INDEX).media_type == OCI_INDEX


def test_lists_that_go_wrote_as_null_are_empty():
    assert Manifest.parse(raw(IMAGE | {"layers": None})).layers == ()
    assert Manifest.parse(raw(INDEX | {"manifests": None})).manifests == ()


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        (IMAGE | {"manifests": []}, OCI_MANIFEST),
        (IMAGE | {"manifests": None}, OCI_MANIFEST),
        (INDEX | {"layers": []}, OCI_INDEX),
        (INDEX | {"config": CONFIG}, None),
        (without(IMAGE, "mediaType") | {"manifests": []}, None),
        (without(IMAGE, "mediaType"), OCI_INDEX),
        (without(INDEX, "mediaType"), OCI_MANIFEST),
        (without(INDEX, "manifests") | {"layers": []}, OCI_INDEX),
        (IMAGE, OCI_INDEX),
        (IMAGE, DOCKER_MANIFEST),
        (INDEX, DOCKER_LIST),
        (IMAGE | {"mediaType": OCI_INDEX}, None),
        (IMAGE | {"mediaType": OCI_INDEX}, OCI_INDEX),
        (INDEX | {"mediaType": OCI_MANIFEST}, None),
    ],
)
def test_a_document_of_two_kinds_is_refused(document, content_type):
    with pytest.raises(ContentError, match="CVE-2021-41190"):
        Manifest.parse(raw(document), content_type)


@pytest.mark.parametrize(
    "name", ["Manifests", "MANIFESTS", "manife\u017fts", "Layers", "Config", "MediaType", "fslayers"]
)
def test_a_member_that_only_some_readers_take_for_another_is_refused(name):
    """Go's encoding/json does not tell case apart: `Manifests` would make an index of it there."""
    with pytest.raises(ContentError, match="which clients read differently"):
        Manifest.parse(raw(IMAGE | {name: []}))


def test_a_member_twice_is_refused():
    with pytest.raises(ContentError, match="the name 'layers' stands twice"):
        Manifest.parse(raw(IMAGE)[:-1] + b', "layers": []}')


def test_docker_documents_must_have_their_media_type():
    with pytest.raises(ContentError, match="no mediaType"):
        Manifest.parse(raw(without(IMAGE, "mediaType")), DOCKER_MANIFEST)
    with pytest.raises(ContentError, match="no mediaType"):
        Manifest.parse(raw(without(INDEX, "mediaType")), DOCKER_LIST)


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        ({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []}, DOCKER_SCHEMA1_SIGNED),
        ({"schemaVersion": 1, "name": "a", "tag": "b"}, "application/json"),
        ({"schemaVersion": 1}, None),
        (IMAGE | {"mediaType": DOCKER_SCHEMA1}, None),
        (without(IMAGE, "mediaType"), DOCKER_SCHEMA1),
        (IMAGE | {"fsLayers": []}, None),
    ],
)
def test_schema_1_is_a_clear_error_that_says_what_to_do(document, content_type):
    with pytest.raises(
        ContentError, match=r"Docker's schema 1, .* not supported; push the image again with Docker 1\.10"
    ):
        Manifest.parse(raw(document), content_type)


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        ([], None),
        (None, OCI_MANIFEST),
        ("x", None),
        ({}, None),
        ({"errors": []}, "application/json"),
        (IMAGE, "text/html"),
        (without(IMAGE, "mediaType"), "text/html"),
        (IMAGE | {"mediaType": OCI_CONFIG}, None),
        (IMAGE | {"mediaType": DOCKER_CONFIG}, DOCKER_CONFIG),
        (IMAGE | {"mediaType": 1}, None),
        (IMAGE | {"mediaType": False}, None),
        ({"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "blobs": []}, None),
        (IMAGE | {"schemaVersion": 3}, None),
        (IMAGE | {"schemaVersion": "2"}, None),
        (IMAGE | {"schemaVersion": 2.0}, None),
        (IMAGE | {"schemaVersion": True}, None),
        (without(IMAGE, "config"), None),
        (IMAGE | {"config": None}, None),
        (IMAGE | {"config": []}, None),
        (IMAGE | {"config": CONFIG | {"size": -1}}, None),
        (IMAGE | {"layers": {}}, None),
        (IMAGE | {"layers": [None]}, None),
        (IMAGE | {"layers": [*LAYERS, LAYERS[0] | {"size": True}]}, None),
        (IMAGE | {"layers": [LAYERS[0] | {"digest": "sha256:../../x"}]}, None),
        (IMAGE | {"subject": []}, None),
        (IMAGE | {"subject": {}}, None),
        (IMAGE | {"annotations": []}, None),
        (IMAGE | {"annotations": {"a": 1}}, None),
        (IMAGE | {"artifactType": 1}, None),
        (INDEX | {"manifests": "x"}, None),
        (INDEX | {"manifests": [{}]}, None),
        (INDEX | {"manifests": [pointer(OCI_MANIFEST, "m") | {"size": 2**63}]}, None),
    ],
)
def test_a_damaged_document_is_a_content_error(document, content_type):
    data = raw(document)
    with pytest.raises(ContentError, match=str(Digest.of(data))) as caught:
        Manifest.parse(data, content_type)
    assert str(caught.value).isprintable()


def test_the_place_of_the_damage_is_named():
    with pytest.raises(ContentError, match=r": layers\[1\]\.size is not a whole number of bytes but 'big'"):
        Manifest.parse(raw(IMAGE | {"layers": [LAYERS[0], LAYERS[1] | {"size": "big"}]}))


@pytest.mark.parametrize(
    "size", [b"NaN", b"1e5", b"-0.5", b"9223372036854775808", b"9" * 5000, b"-1", b"1e999", b'"3"']
)
def test_sizes_that_are_none_are_content_errors(size):
    data = raw(IMAGE).replace(b'"size": 6', b'"size": ' + size)
    assert data != raw(IMAGE)
    with pytest.raises(ContentError):
        Manifest.parse(data)


@pytest.mark.parametrize("bomb", [b"[" * 100_000, b'{"layers":' * 100_000, b'{"a":[' * 500 + b"]}" * 500])
def test_a_json_bomb_is_a_content_error(bomb):
    with pytest.raises(ContentError):
        Manifest.parse(bomb, OCI_MANIFEST)


def test_a_page_instead_of_a_manifest_is_named():
    with pytest.raises(ContentError, match="begins with '<!DOCTYPE html>"):
        Manifest.parse(b"<!DOCTYPE html><title>Log in</title>", "text/html")


def test_a_manifest_made_by_hand_reads_its_bytes_when_asked():
    data = raw(IMAGE)
    manifest = Manifest(data, OCI_MANIFEST, Digest.of(data))
    assert manifest == Manifest.parse(data)
    assert len(manifest.layers) == 2
    assert hash(manifest) == hash(Manifest.parse(data))
    assert "schemaVersion" not in repr(manifest)


def test_the_essence_of_a_content_type_has_no_parameters():
    assert essence(' Application/JSON ;charset="a;b"') == "application/json"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(CONFIG),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    [
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "manifests",
        "subject",
        "annotations",
        "artifactType",
        "fsLayers",
    ]
)
changes = st.dictionaries(names, json_values, max_size=3)
content_types = (
    st.none() | st.sampled_from([*MANIFEST_TYPES, "application/json", DOCKER_SCHEMA1]) | st.text(max_size=10)
)


@given(st.sampled_from([IMAGE, INDEX, {}]), changes, content_types)
def test_a_changed_document_is_a_manifest_or_a_sonar_error(document, changed, content_type):
    data = raw(document | changed)
    result = outcome(Manifest.parse, data, content_type)
    if isinstance(result, Manifest):
        assert result.digest == Digest.of(data)
        assert result.is_index != ("config" in result.json)
        assert all(isinstance(child, Descriptor) for child in result.children())
    else:
        assert isinstance(result, SonarError)


@given(st.binary(), content_types)
def test_arbitrary_bytes_are_a_sonar_error(data, content_type):
    with pytest.raises(SonarError):
        Manifest.parse(data, content_type)
