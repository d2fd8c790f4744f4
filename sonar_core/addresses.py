"""Which addresses a registry may send us to.

A redirect, a realm or a Location comes from a stranger. Given by a public registry, it must not lead into the
user's own network (server-side request forgery); a registry that is itself private may name private addresses,
and one on loopback may name loopback. Link-local addresses (cloud metadata) are never followed.
"""

from __future__ import annotations

import re
import threading
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_OLD_FORM = r"[0-9][0-9a-fA-FxX.]*"


class Reach(IntEnum):
    """How near an address is. A registry may send us to addresses as near as its own, or farther."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    NEVER = 3


def reach(address: str) -> Reach:
    """The reach of an IP address, given as text (a zone id is ignored)."""
    import ipaddress

    ip = _parse(address)
    if ip is None:
        return Reach.NEVER
    if isinstance(ip, ipaddress.IPv6Address):
        # ::ffff:a.b.c.d, 64:ff9b::/96 (NAT64, RFC 6052) and 2002::/16 (6to4) carry an IPv4 address.
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    if ip.is_loopback:
        return Reach.LOOPBACK
    if ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        return Reach.NEVER
    return Reach.PUBLIC if ip.is_global else Reach.PRIVATE


def is_literal(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    return _parse(host.strip("[]")) is not None


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address, in the old forms too that resolvers take: 127.1, 0x7f.1, 0177.0.0.1, 2130706433."""
    import ipaddress
    import socket

    text = text.partition("%")[0].rstrip(".")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        if not re.fullmatch(_OLD_FORM, text):
            return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


class AddressRule:
    """What one client may connect to. Knows its registry's host, and learns how near that is by connecting."""

    def __init__(self, home: str, *, allow_private: bool = False) -> None:
        self._home = home.strip("[]").lower()
        self._allow_private = allow_private
        self._lock = threading.Lock()
        self._reach = reach(self._home) if is_literal(self._home) else None

    def refusal(self, host: str, address: str) -> str | None:
        """Why `address`, which `host` resolved to, must not be connected to; None where it may be."""
        near = reach(address)
        if host.strip("[]").lower() == self._home:
            with self._lock:
                # The nearest of its addresses counts least: a name that is both public and private is public.
                self._reach = near if self._reach is None else min(self._reach, near)
            return None
        if near is Reach.NEVER:
            return f"{host} is the address {address}, which sonar never follows a registry to"
        allowed = Reach.LOOPBACK if self._allow_private else (self._reach or Reach.PUBLIC)
        if near <= allowed:
            return None
        kind = near.name.lower()
        return f"{host} is the {kind} address {address}, and {self._home} is not {kind} itself"
