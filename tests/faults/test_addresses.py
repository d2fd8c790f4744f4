"""ROBUSTNESS, Transport: where a registry may send us, in a network where public addresses are on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import network

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCENARIOS = Path(network.__file__)
_ROOT = _SCENARIOS.parents[2]
_NAMES = re.findall(r"^def (test_\w+)\(", _SCENARIOS.read_text(), re.MULTILINE)
_SETUP = """set -e
ip link set lo up
for address in $ADDRESSES; do ip addr add $address/32 dev lo; done
mount --bind "$HOSTS" /etc/hosts
exec "$@"
"""


def _missing(reason: str) -> None:
    if os.environ.get("SONAR_TEST_REAL") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[str]]:
    """The failures of each scenario, from one run of all of them in a namespace."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        _missing("UNSHARE AND IP ARE NOT INSTALLED: public addresses are not tested (apt-get install iproute2)")
    directory = tmp_path_factory.mktemp("network")
    hosts, report = directory / "hosts", directory / "report.xml"
    hosts.write_text(network.HOSTS)
    inner = [sys.executable, "-m", "pytest", str(_SCENARIOS), "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    inner += [f"--junitxml={report}", f"--basetemp={directory / 'tmp'}", "-o", "addopts="]
    command = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-c", _SETUP, "sh", *inner]
    environment = {**os.environ, "ADDRESSES": " ".join(network.ADDRESSES), "HOSTS": str(hosts)}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if not report.exists():
        _missing(f"NO NETWORK OF ONE'S OWN HERE: public addresses are not tested: {done.stderr.strip()[-300:]}")
    found: dict[str, list[str]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own report
        name = (case.get("name") or "").partition("[")[0]
        problems = [*case.iter("failure"), *case.iter("error"), *case.iter("skipped")]
        found.setdefault(name, []).extend(f"{case.get('name')}: {p.text or p.get('message')}" for p in problems)
    return found


@pytest.mark.parametrize("name", _NAMES)
def test_addresses(results: Mapping[str, list[str]], name: str) -> None:
    """T6: "A redirect, a realm or a Location given by a public registry is not followed to loopback, link-local,
    unspecified or private addresses, by literal or by name (the address connected to decides), unless it is the
    registry's own host or the settings allow it. A registry that is itself private may point to private addresses,
    one on loopback to loopback; link-local (cloud metadata) is never followed."
    """
    assert name in results
    assert results[name] == [], "\n\n".join(results[name])
