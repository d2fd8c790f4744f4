"""Scenarios for a network of their own, where 8.8.8.8, 10.1.1.1 and 169.254.169.254 are addresses of this machine.

`test_addresses.py` runs this file with pytest under `unshare`: real sockets on real public addresses, and an
`/etc/hosts` of its own. By itself it is not collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import Answer, Origin
from tests.faults.registry import digest, unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.program import Outcome, Program

HOSTS = """\
127.0.0.1 localhost
8.8.8.8 registry.public.test
8.8.4.4 cdn.public.test
10.1.1.1 registry.private.test intranet.test
10.1.1.2 other.private.test
127.0.0.1 loopback.test
169.254.169.254 metadata.test
0.0.0.0 zero.test
"""
ADDRESSES = ("8.8.8.8", "8.8.4.4", "10.1.1.1", "10.1.1.2", "169.254.169.254", "100.64.0.1")
PLAIN = ("--plain-http", "--timeout", "2")
ONCE = {"SONAR_ATTEMPTS": "1"}
BLOB = b"what the registry points to"

INSIDE = [
    pytest.param("127.0.0.1", "127.0.0.1", id="loopback"),
    pytest.param("127.0.0.1", "localhost", id="localhost"),
    pytest.param("127.0.0.1", "loopback.test", id="a name that is loopback"),
    pytest.param("127.0.0.1", "0.0.0.0", id="unspecified"),
    pytest.param("127.0.0.1", "zero.test", id="a name that is unspecified"),
    pytest.param("127.0.0.1", "2130706433", id="loopback as a number"),
    pytest.param("127.0.0.1", "0x7f.1", id="loopback in hexadecimal"),
    pytest.param("127.0.0.1", "127.1", id="loopback in short"),
    pytest.param("127.0.0.1", "0177.0.0.1", id="loopback in octal"),
    pytest.param("127.0.0.1", "[::ffff:127.0.0.1]", id="loopback mapped into IPv6"),
    pytest.param("::1", "[::1]", id="IPv6 loopback"),
    pytest.param("10.1.1.1", "10.1.1.1", id="private"),
    pytest.param("10.1.1.1", "intranet.test", id="a name that is private"),
    pytest.param("100.64.0.1", "100.64.0.1", id="carrier-grade NAT"),
    pytest.param("169.254.169.254", "169.254.169.254", id="metadata"),
    pytest.param("169.254.169.254", "metadata.test", id="a name that is metadata"),
]


def blob(sonar: Program, name: str, *options: str) -> Outcome:
    return sonar("blob", "get", f"{name}/a@{digest(BLOB)}", *PLAIN, *options, environment=ONCE)


def redirecting(origins: Callable[..., Origin], address: str, target: str) -> Origin:
    registry = origins(address=address)
    registry.on("GET", f"/v2/a/blobs/{digest(BLOB)}", Answer(307, {"Location": target}))
    return registry


@pytest.mark.parametrize(("address", "name"), INSIDE)
def test_a_public_registry_redirects_inside(
    sonar: Program, origins: Callable[..., Origin], address: str, name: str
) -> None:
    victim = origins(address=address)
    victim.default = Answer(200, body=BLOB)
    registry = redirecting(origins, "8.8.8.8", f"http://{name}:{victim.port}/x")
    blob(sonar, f"registry.public.test:{registry.port}").failed("address")
    assert victim.connections == 0


@pytest.mark.parametrize(("address", "name"), INSIDE)
def test_a_public_registry_names_a_realm_inside(
    sonar: Program, origins: Callable[..., Origin], address: str, name: str
) -> None:
    victim = origins(address=address)
    victim.default = Answer(200, json={"token": "t"})
    registry = origins(address="8.8.8.8")
    registry.default = unauthorized(f'Bearer realm="http://{name}:{victim.port}/token",service="s"')
    outcome = sonar("tag", "ls", f"registry.public.test:{registry.port}/a", *PLAIN, environment=ONCE)
    assert outcome.code in (1, 4), outcome.shown()
    outcome.reported("address")
    assert victim.connections == 0


def test_a_public_registry_gives_an_upload_location_inside(sonar: Program, origins: Callable[..., Origin]) -> None:
    victim, registry = origins(address="10.1.1.1"), origins(address="8.8.8.8")
    away = {"Location": f"http://intranet.test:{victim.port}/upload"}
    registry.on("POST", "/v2/a/blobs/uploads/", Answer(202, away))
    file = sonar.home / "blob"
    file.write_bytes(BLOB)
    name = f"registry.public.test:{registry.port}/a"
    sonar("blob", "put", name, file, *PLAIN, environment=ONCE).failed("address")
    assert victim.connections == 0


def test_a_public_registry_may_point_to_another_public_address(sonar: Program, origins: Callable[..., Origin]) -> None:
    cdn = origins(address="8.8.4.4")
    cdn.default = Answer(200, body=BLOB)
    registry = redirecting(origins, "8.8.8.8", f"http://cdn.public.test:{cdn.port}/x")
    assert blob(sonar, f"registry.public.test:{registry.port}").succeeded().stdout == BLOB


def test_to_its_own_host_it_may_always_point(sonar: Program, origins: Callable[..., Origin]) -> None:
    other = origins(address="8.8.8.8")
    other.default = Answer(200, body=BLOB)
    registry = redirecting(origins, "8.8.8.8", f"http://registry.public.test:{other.port}/x")
    assert blob(sonar, f"registry.public.test:{registry.port}").succeeded().stdout == BLOB


def test_a_setting_allows_it(sonar: Program, origins: Callable[..., Origin]) -> None:
    inside = origins(address="10.1.1.1")
    inside.default = Answer(200, body=BLOB)
    registry = redirecting(origins, "8.8.8.8", f"http://intranet.test:{inside.port}/x")
    sonar.environment["SONAR_ALLOW_PRIVATE"] = "1"
    assert blob(sonar, f"registry.public.test:{registry.port}").succeeded().stdout == BLOB


def test_the_setting_does_not_open_link_local(sonar: Program, origins: Callable[..., Origin]) -> None:
    metadata = origins(address="169.254.169.254")
    registry = redirecting(origins, "8.8.8.8", f"http://metadata.test:{metadata.port}/latest/meta-data")
    sonar.environment["SONAR_ALLOW_PRIVATE"] = "1"
    blob(sonar, f"registry.public.test:{registry.port}").failed("address")
    assert metadata.connections == 0


def test_a_private_registry_may_point_to_private_addresses(sonar: Program, origins: Callable[..., Origin]) -> None:
    storage = origins(address="10.1.1.2")
    storage.default = Answer(200, body=BLOB)
    registry = redirecting(origins, "10.1.1.1", f"http://other.private.test:{storage.port}/x")
    assert blob(sonar, f"registry.private.test:{registry.port}").succeeded().stdout == BLOB


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "loopback.test"])
def test_a_private_registry_may_not_point_to_loopback(
    sonar: Program, origins: Callable[..., Origin], name: str
) -> None:
    victim = origins()
    registry = redirecting(origins, "10.1.1.1", f"http://{name}:{victim.port}/x")
    blob(sonar, f"registry.private.test:{registry.port}").failed("address")
    assert victim.connections == 0


@pytest.mark.parametrize("home", ["127.0.0.1", "10.1.1.1"])
@pytest.mark.parametrize("name", ["169.254.169.254", "metadata.test"])
def test_nobody_may_point_to_link_local(sonar: Program, origins: Callable[..., Origin], home: str, name: str) -> None:
    metadata = origins(address="169.254.169.254")
    registry = redirecting(origins, home, f"http://{name}:{metadata.port}/x")
    blob(sonar, registry.host).failed("address")
    assert metadata.connections == 0


def test_a_loopback_registry_may_point_to_loopback(sonar: Program, origins: Callable[..., Origin]) -> None:
    other = origins(address="127.0.0.2")
    other.default = Answer(200, body=BLOB)
    registry = redirecting(origins, "127.0.0.1", f"{other.url}/x")
    assert blob(sonar, registry.host).succeeded().stdout == BLOB
