"""Which addresses a registry may send us to: the table; `tests/faults` has the sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.addresses import AddressRule, Reach, is_literal, reach


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", Reach.PUBLIC),
        ("2606:4700::1", Reach.PUBLIC),
        ("10.0.0.1", Reach.PRIVATE),
        ("172.16.5.4", Reach.PRIVATE),
        ("192.168.1.1", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("fd00::1", Reach.PRIVATE),
        ("64:ff9b::10.0.0.1", Reach.PRIVATE),
        ("2002:a00:1::", Reach.PRIVATE),
        ("127.0.0.1", Reach.LOOPBACK),
        ("127.255.0.3", Reach.LOOPBACK),
        ("127.1", Reach.LOOPBACK),
        ("0x7f.1", Reach.LOOPBACK),
        ("0177.0.0.1", Reach.LOOPBACK),
        ("2130706433", Reach.LOOPBACK),
        ("::1", Reach.LOOPBACK),
        ("::ffff:127.0.0.1", Reach.LOOPBACK),
        ("64:ff9b::127.0.0.1", Reach.LOOPBACK),
        ("169.254.169.254", Reach.NEVER),
        ("2852039166", Reach.NEVER),
        ("::ffff:169.254.169.254", Reach.NEVER),
        ("fe80::1%eth0", Reach.NEVER),
        ("0.0.0.0", Reach.NEVER),
        ("0", Reach.NEVER),
        ("::", Reach.NEVER),
        ("224.0.0.1", Reach.NEVER),
        ("1.2.3.4.5", Reach.NEVER),
        ("registry.example.com", Reach.NEVER),
        ("", Reach.NEVER),
    ],
)
def test_reach(address: str, expected: Reach) -> None:
    assert reach(address) is expected


@pytest.mark.parametrize(
    "host", ["1.2.3.4", "[::1]", "::1", "[fe80::1%25eth0]", "127.1", "0x7f000001", "017700000001", "1.2.3.4."]
)
def test_literals(host: str) -> None:
    assert is_literal(host)


@pytest.mark.parametrize("host", ["localhost", "a.b", "face.cafe", "0xg", "1.2.3.4.5", "1password.com", ""])
def test_names(host: str) -> None:
    assert not is_literal(host)


@given(st.text(max_size=30))
def test_any_text_has_a_reach(text: str) -> None:
    """What is no address is never followed; nothing raises."""
    assert is_literal(text) or reach(text.strip("[]")) is Reach.NEVER


def test_a_public_registry_leads_to_public_addresses_only() -> None:
    rule = AddressRule("registry.example.com")
    assert rule.refusal("registry.example.com", "8.8.8.8") is None
    assert rule.refusal("cdn.example.com", "1.1.1.1") is None
    for address in ("10.0.0.1", "127.0.0.1", "169.254.169.254"):
        assert address in (rule.refusal("cdn.example.com", address) or "")


def test_before_it_was_connected_to_a_registry_counts_as_public() -> None:
    """Behind a proxy its address is never known."""
    assert AddressRule("registry.example.com").refusal("10.0.0.1", "10.0.0.1") is not None


def test_the_nearest_of_a_registrys_addresses_counts_least() -> None:
    """A name that is both public and private (DNS rebinding) is public."""
    rule = AddressRule("registry.example.com")
    assert rule.refusal("registry.example.com", "127.0.0.1") is None
    assert rule.refusal("other", "127.0.0.1") is None
    assert rule.refusal("registry.example.com", "8.8.8.8") is None
    assert rule.refusal("other", "127.0.0.1") is not None


def test_a_private_registry_leads_to_private_ones_and_loopback_to_loopback() -> None:
    private, loopback = AddressRule("10.0.0.1"), AddressRule("[::1]")
    assert private.refusal("other", "192.168.0.1") is None
    assert private.refusal("other", "127.0.0.1") is not None
    assert loopback.refusal("other", "127.0.0.1") is None
    assert loopback.refusal("other", "169.254.169.254") is not None


def test_the_settings_may_allow_it_but_never_metadata() -> None:
    rule = AddressRule("registry.example.com", allow_private=True)
    assert rule.refusal("other", "10.0.0.1") is None
    assert rule.refusal("other", "127.0.0.1") is None
    assert rule.refusal("other", "fe80::1") is not None
