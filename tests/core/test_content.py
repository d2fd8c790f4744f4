"""Digests that exist are valid; descriptors are checked member by member."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import BadReference, ContentError, IntegrityError, SonarError
from sonar_core.platforms import Platform
from tests.core.outcome import outcome

HEX = "0123456789abcdef" * 4
OK = {"mediaType": "application/octet-stream", "digest": f"sha256:{HEX}", "size": 7}


def test_a_digest_prints_as_it_was_parsed():
    assert str(Digest.parse(f"sha256:{HEX}")) == f"sha256:{HEX}"
    assert Digest.parse(f"sha512:{HEX}{HEX}") == Digest("sha512", HEX * 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        f"sha256:{HEX.upper()}",
        f"SHA256:{HEX}",
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX}\n",
        f"sha256:{HEX[:-1]}\n",
        f"sha512:{HEX}",
        f"md5:{HEX[:32]}",
        f":{HEX}",
        f"sha256:../{HEX[:-3]}",
        f"sha256:{'٣' * 64}",
        f"sha256+b64:{HEX}",
    ],
)
def test_a_malformed_digest_is_refused(text):
    """ROBUSTNESS, "Names, manifests, integrity": validated before it is part of a URL or a path (CVE-2024-3727)."""
    with pytest.raises(BadReference, match="a digest looks like sha256:"):
        Digest.parse(text)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_is_computed_over_the_bytes(algorithm):
    data = b"layer"
    expected = Digest(algorithm, hashlib.new(algorithm, data).hexdigest())
    assert Digest.of(data, algorithm) == expected
    hasher = expected.hasher()
    hasher.update(data)
    assert hasher.hexdigest() == expected.hex


def test_an_algorithm_that_is_not_supported_is_refused():
    with pytest.raises(BadReference, match="'md5' is not supported, only sha256 and sha512"):
        Digest.of(b"", "md5")


def test_members_stand_in_the_order_of_the_specs_go_types():
    data = b"{}"
    descriptor = Descriptor(
        media_type="application/vnd.oci.empty.v1+json",
        digest=Digest.of(data),
        size=2,
        annotations={"b": "2", "a": "1"},
        platform=Platform("windows", "amd64", "", "10.0.20348", ("win32k",)),
        artifact_type="application/x",
        urls=("https://example.com/x",),
        data=data,
    )
    obj = descriptor.to_json()
    assert list(obj) == ["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"]
    assert obj["annotations"] == {"b": "2", "a": "1"}
    assert obj["data"] == "e30="
    assert Descriptor.from_json(json.loads(json.dumps(obj))) == descriptor


def test_empty_members_are_left_out():
    assert Descriptor.from_json(OK).to_json() == OK
    assert (
        Descriptor.from_json(OK | {"annotations": None, "urls": None, "platform": None, "artifactType": ""}).to_json()
        == OK
    )


def test_members_that_the_spec_does_not_name_are_dropped():
    assert Descriptor.from_json(OK | {"x": 1}) == Descriptor.from_json(OK)


def test_a_descriptor_can_be_a_key():
    one, two = Descriptor.from_json(OK | {"annotations": {"a": "1"}}), Descriptor.from_json(OK)
    assert {one: 1, two: 2}[Descriptor.from_json(OK | {"annotations": {"a": "1"}})] == 1
    assert one != two


def test_annotations_are_the_descriptors_own():
    source = OK | {"annotations": {"a": "1"}}
    descriptor = Descriptor.from_json(source)
    source["annotations"]["a"] = "2"
    assert descriptor.annotations == {"a": "1"}


BROKEN = [
    None,
    [],
    "sha256",
    {},
    *[
        OK | {name: value}
        for name, values in {
            "mediaType": [None, "", " ", 1, [], "a\nb", "a\x1bb", "ä/b"],
            "digest": [None, "", 1, {}, HEX, f"sha256:{HEX.upper()}", "sha256:../x"],
            "size": [None, -1, 1.0, 1.5, True, "7", [], 2**63, 10**400, float("nan"), float("inf")],
            "annotations": [[], "x", {"a": 1}, {"a": None}],
            "urls": ["x", {}, [1], [None]],
            "platform": [[], "linux/amd64", {"os": 1}, {"os.features": "x"}, {"os.features": [1]}, {"variant": []}],
            "artifactType": [1, [], "a\nb", False],
            "data": [1, "?", "e30", "e30=\n", "ä", {}],
        }.items()
        for value in values
    ],
]


@pytest.mark.parametrize("obj", BROKEN)
def test_a_damaged_descriptor_is_a_content_error_that_says_where(obj):
    """ROBUSTNESS: a size that is negative, not a number or huge → a typed error."""
    with pytest.raises(ContentError, match=r"^layers\[3\]") as caught:
        Descriptor.from_json(obj, what="layers[3]")
    assert str(caught.value).isprintable()


def test_the_largest_size_is_that_of_an_int64():
    assert Descriptor.from_json(OK | {"size": 2**63 - 1}).size == 2**63 - 1


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_embedded_data_must_have_the_digest_and_the_size(algorithm):
    """image-spec, descriptor.md: "the data field … SHOULD be verified against the digest and size"."""
    data = b"hello"
    obj = OK | {
        "digest": str(Digest.of(data, algorithm)),
        "size": len(data),
        "data": base64.b64encode(data).decode(),
    }
    assert Descriptor.from_json(obj).data == data
    with pytest.raises(IntegrityError, match="has 5 bytes, its size says 6"):
        Descriptor.from_json(obj | {"size": 6})
    with pytest.raises(IntegrityError, match="has digest sha"):
        Descriptor.from_json(obj | {"data": base64.b64encode(b"hullo").decode()})


def test_embedded_data_may_be_empty():
    obj = OK | {"digest": str(Digest.of(b"")), "size": 0, "data": ""}
    assert Descriptor.from_json(obj).data == b""
    assert Descriptor.from_json(obj).to_json() == obj


text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
media_types = st.from_regex(r"[a-z]{1,8}/[a-z0-9.+-]{1,12}", fullmatch=True)
platforms = st.builds(Platform, text, text, text, text, st.lists(text, max_size=2).map(tuple))


@st.composite
def descriptors(draw):
    data = draw(st.none() | st.binary(max_size=20))
    return Descriptor(
        draw(media_types),
        Digest.of(data or b"", draw(st.sampled_from(["sha256", "sha512"]))),
        draw(st.integers(0, 2**63 - 1)) if data is None else len(data),
        draw(st.dictionaries(text, text, max_size=3)),
        draw(st.none() | platforms),
        draw(st.none() | media_types),
        tuple(draw(st.lists(text, max_size=2))),
        data,
    )


@given(descriptors())
def test_written_and_read_again_a_descriptor_is_the_same(descriptor):
    assert Descriptor.from_json(json.loads(json.dumps(descriptor.to_json()))) == descriptor


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"])


@given(json_values | st.dictionaries(names, json_values).map(lambda members: OK | members))
def test_whatever_json_holds_is_a_descriptor_or_a_sonar_error(obj):
    result = outcome(Descriptor.from_json, obj)
    assert isinstance(result, SonarError) or Descriptor.from_json(result.to_json()) == result
