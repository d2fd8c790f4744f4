"""A platform gets the image that the image-spec and containerd would give it."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import BadReference, Missing
from sonar_core.media_types import OCI_MANIFEST
from sonar_core.platforms import Platform, choose
from tests.core.outcome import outcome


def entry(platform: str | Platform | None, name: str = "", **annotations: str) -> Descriptor:
    """A descriptor for a platform written as `os/architecture/variant`, exactly so, not normalized."""
    if isinstance(platform, str):
        platform = Platform(*platform.split("/"))
    return Descriptor(OCI_MANIFEST, Digest.of(f"{platform}{name}".encode()), 1, annotations, platform)


def windows(version: str, *features: str) -> Platform:
    return Platform("windows", "amd64", "", version, features)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("Linux/X86_64", Platform("linux", "amd64")),
        ("linux/x86-64", Platform("linux", "amd64")),
        ("linux/amd64/v1", Platform("linux", "amd64")),
        ("linux/amd64/v3", Platform("linux", "amd64", "v3")),
        ("linux/i386", Platform("linux", "386")),
        ("linux/i686", Platform("linux", "386")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm64/8", Platform("linux", "arm64")),
        ("linux/arm64/v8.2", Platform("linux", "arm64", "v8.2")),
        ("linux/arm64/v9.0", Platform("linux", "arm64", "v9")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/arm/7", Platform("linux", "arm", "v7")),
        ("linux/arm/v6", Platform("linux", "arm", "v6")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("linux/armel", Platform("linux", "arm", "v6")),
        ("linux/armv7l", Platform("linux", "arm", "v7")),
        ("macos/arm64", Platform("darwin", "arm64")),
        ("myos/myarch", Platform("myos", "myarch")),
        ("windows(10.0.17763)/amd64", windows("10.0.17763")),
        ("windows(10.0.17763+win32k)/amd64", windows("10.0.17763", "win32k")),
        ("windows(+win32k)/amd64", windows("", "win32k")),
    ],
)
def test_a_platform_is_parsed_into_the_usual_spelling(text, platform):
    assert Platform.parse(text) == platform
    assert Platform.parse(str(platform)) == platform


@pytest.mark.parametrize(
    ("system", "os", "features"), [("linux", "linux", ()), ("darwin", "linux", ()), ("win32", "windows", ("win32k",))]
)
def test_containers_run_on_linux_everywhere_but_on_windows(monkeypatch, system, os, features):
    monkeypatch.setattr(sys, "platform", system)
    local = Platform.local()
    assert (local.os, local.os_features, bool(local.os_version)) == (os, features, os == "windows")


def test_an_os_or_an_architecture_alone_takes_the_rest_from_here():
    here = Platform.local()
    assert here.os in ("linux", "windows")
    assert here == here.normalized()
    assert Platform.parse(here.architecture).os == here.os
    assert Platform.parse("arm64") == Platform(here.os, "arm64")
    assert Platform.parse("armhf") == Platform(here.os, "arm", "v7")
    assert Platform.parse("linux").architecture == here.architecture
    assert Platform.parse("windows(10.0.17763)").os_version == "10.0.17763"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "linux/",
        "/amd64",
        "linux//v8",
        "a/b/c/d",
        "*",
        "linux/*",
        "linux amd64",
        "x86_65",
        "linux/a\n",
        "windows(",
        "amd64(1)",
        "\x1b",
    ],
)
def test_what_is_no_platform_is_refused(text):
    with pytest.raises(BadReference, match="a platform looks like linux/amd64") as caught:
        Platform.parse(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("wanted", "there", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["windows/amd64", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/x86_64"], "linux/x86_64"),
        ("linux/amd64", ["linux/amd64/v2", "linux/amd64/v1"], "linux/amd64/v1"),
        ("linux/amd64/v4", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v3"], "linux/amd64/v3"),
        ("linux/amd64/v2", ["linux/amd64/v3", "linux/amd64"], "linux/amd64"),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], "linux/arm64/v8"),
        ("linux/arm64/v8", ["linux/arm64"], "linux/arm64"),
        ("linux/arm64/v8.2", ["linux/arm64", "linux/arm64/v8.1", "linux/arm64/v8.3"], "linux/arm64/v8.1"),
        ("linux/arm64/v9", ["linux/arm64/v8", "linux/arm64/v8.5", "linux/arm64/v8.6"], "linux/arm64/v8.5"),
        ("linux/arm64/v9.1", ["linux/arm64/v8", "linux/arm64/v9"], "linux/arm64/v9"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], "linux/arm/v6"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v8"], "linux/arm/v5"),
        ("linux/arm/v7", ["linux/arm"], "linux/arm"),
        ("linux/arm", ["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"),
        ("linux/386", ["linux/amd64", "linux/i386"], "linux/i386"),
    ],
)
def test_the_best_variant_is_chosen(wanted, there, chosen):
    """containerd: arm/v7 takes v7, then v6, then v5; arm64 is v8; amd64/v3 takes v3, then v2, then v1."""
    assert choose([entry(platform) for platform in there], Platform.parse(wanted)) == entry(chosen)


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ("linux/arm/v6", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm"),
        ("linux/arm64", "linux/arm64/v9"),
        ("linux/amd64", "linux/amd64/v2"),
        ("linux/amd64", "linux/386"),
        ("linux/arm64", "linux/arm/v8"),
        ("linux/amd64", "windows/amd64"),
        ("linux/riscv64", "linux/amd64"),
    ],
)
def test_what_the_platform_can_not_run_or_did_not_ask_for_is_not_chosen(wanted, there):
    with pytest.raises(Missing):
        choose([entry(there)], Platform.parse(wanted))


def test_the_first_of_equals_is_chosen():
    """image-index.md: "If multiple manifests match a client or runtime's requirements, the first matching entry"."""
    first, second = entry("linux/amd64", "first"), entry("linux/amd64", "second")
    assert choose([first, second], Platform.parse("linux/amd64")) is first


@pytest.mark.parametrize(
    ("host", "there", "chosen"),
    [
        ("10.0.17763.1", ["10.0.14393.9", "10.0.17763.5"], "10.0.17763.5"),
        ("10.0.17763", ["10.0.17763.5"], "10.0.17763.5"),
        ("10.0.17763.1", ["10.0.14393.9"], None),  # before 20348 only the same build
        ("10.0.17763.1", ["10.0.20348.1"], None),
        ("10.0.20348.1", ["10.0.17763.1", "10.0.20348.9"], "10.0.20348.9"),
        ("10.0.26100.1", ["10.0.17763.1", "10.0.20348.9", "10.0.25398.1"], "10.0.25398.1"),
        ("10.0.26100.1", ["10.0.17763.1"], None),
        ("10.0.20348.1", ["10.0.26100.1"], None),
        ("10.0.20348.2", ["10.0.20348.1", "10.0.20348.2"], "10.0.20348.2"),
        ("10.0.20348.1", ["10.1.20348.1"], None),
        ("10.0.20348.1", ["", "10.0.20348.7"], "10.0.20348.7"),
        ("10.0.20348.1", [""], ""),
        ("10.0.20348.1", ["10.0"], None),
        ("10.0.20348.1", ["nonsense"], None),
        ("nonsense", ["10.0.20348.1"], None),
        ("nonsense", ["nonsense"], "nonsense"),
        ("", ["10.0.17763.1", "10.0.20348.1"], "10.0.17763.1"),
    ],
)
def test_windows_compares_major_minor_and_build(host, there, chosen):
    entries = [entry(windows(version)) for version in there]
    if chosen is None:
        with pytest.raises(Missing):
            choose(entries, windows(host))
    else:
        assert choose(entries, windows(host)) == entry(windows(chosen))


def test_os_version_counts_only_for_windows():
    there = entry(Platform("linux", "amd64", "", "5.4"))
    assert choose([there], Platform("linux", "amd64", "", "6.1")) == there


def test_a_mandatory_feature_must_be_offered():
    """image-index.md, os.features: "each specifying a mandatory OS feature"."""
    with_feature, without = entry(windows("", "win32k")), entry(windows(""))
    assert choose([with_feature, without], windows("")) == without
    assert choose([with_feature, without], windows("", "win32k")) == with_feature
    with pytest.raises(Missing, match=r"windows\(\+win32k\)/amd64"):
        choose([with_feature], windows(""))


def test_attestations_are_never_chosen():
    attestation = entry("unknown/unknown", "", **{"vnd.docker.reference.type": "attestation-manifest"})
    image = entry("linux/amd64")
    assert choose([attestation, image], Platform.parse("linux/amd64")) == image
    with pytest.raises(Missing):
        choose([entry("unknown/unknown")], Platform("unknown", "unknown"))
    with pytest.raises(Missing):
        choose(
            [entry(None, "", **{"vnd.docker.reference.type": "attestation-manifest"})], Platform.parse("linux/amd64")
        )
    with pytest.raises(Missing) as caught:
        choose([attestation, image], Platform.parse("linux/s390x"))
    assert "unknown" not in str(caught.value)


def test_a_single_entry_without_platform_is_taken():
    only = entry(None)
    assert choose([only, entry("unknown/unknown")], Platform.parse("linux/s390x")) == only
    empty = entry(Platform("", ""))
    assert choose([empty], Platform.parse("linux/s390x")) == empty
    with pytest.raises(Missing, match="its entries name no platform: choose one by its digest"):
        choose([only, entry(None, "two")], Platform.parse("linux/s390x"))
    with pytest.raises(Missing, match="there are: linux/amd64"):
        choose([only, entry("linux/amd64")], Platform.parse("linux/s390x"))


def test_a_missing_platform_lists_those_that_exist_once():
    there = [entry(name) for name in ("linux/amd64", "linux/arm/v7", "linux/arm", "linux/arm64/v8")]
    with pytest.raises(Missing) as caught:
        choose(there, Platform.parse("linux/s390x"))
    assert str(caught.value) == ("there is no image for linux/s390x; there are: linux/amd64, linux/arm/v7, linux/arm64")


def test_an_empty_index_says_so():
    with pytest.raises(Missing, match="there is no image for linux/amd64; the index is empty"):
        choose([], Platform.parse("linux/amd64"))


def test_hostile_platforms_are_listed_escaped_and_cut():
    there = [entry(Platform("li\x1b[31mnux", "a" * 5000 + str(number))) for number in range(100)]
    with pytest.raises(Missing) as caught:
        choose(there, Platform.parse("linux/amd64"))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


def test_json_members_stand_in_the_order_of_the_specs_go_types():
    platform = Platform("windows", "amd64", "v2", "10.0.1", ("win32k",))
    assert list(platform.to_json()) == ["architecture", "os", "os.version", "os.features", "variant"]
    assert Platform.from_json(platform.to_json()) == platform
    assert Platform.from_json({"os": None, "os.features": None}) == Platform("", "")


word = st.from_regex(r"[A-Za-z0-9_.-]{1,6}", fullmatch=True)
system = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)


@given(st.builds(Platform, system, word, st.just("") | word, st.just("") | word, st.lists(word, max_size=2).map(tuple)))
def test_whatever_is_printed_parses_to_the_same(platform):
    normal = platform.normalized()
    assert normal.normalized() == normal
    assert Platform.parse(str(normal)) == normal


@given(st.text() | st.text("linuxarm64/v8().+", max_size=20))
def test_arbitrary_text_is_a_platform_or_a_sonar_error(text):
    result = outcome(Platform.parse, text)
    assert isinstance(result, BadReference) or Platform.parse(str(result)) == result


names = st.sampled_from(
    ["linux", "windows", "unknown", "amd64", "arm", "arm64", "", "v7", "v8", "v9.1", "10.0.20348.1", "x\n"]
)
any_platform = st.builds(Platform, names, names, names, names, st.lists(names, max_size=2).map(tuple))


@given(st.lists(st.none() | any_platform, max_size=6), any_platform)
def test_choosing_gives_an_entry_or_missing(platforms, wanted):
    entries = [entry(platform, str(number)) for number, platform in enumerate(platforms)]
    result = outcome(choose, entries, wanted)
    if not isinstance(result, Missing):
        assert result in entries
        assert result.platform is None or "unknown" not in (result.platform.os, result.platform.architecture)
