"""`sonar check` and `client.check` (distribution-spec, end-1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonar_core.errors import NotFound, ProtocolError, Unauthorized
from sonar_core.plugins import Plugins
from sonar_core.testing.scripted import Answer, Origin, Request
from sonar_plugins.check.endpoint import Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.client import Client
    from tests.support.endpoints import Program

VERSION = {"Docker-Distribution-API-Version": "registry/2.0"}


def test_a_registry_that_is_open(scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/", Answer(200, VERSION, json={}))
    client = clients(scripted.host)
    found = Check(client)()
    assert (found.registry, found.url) == (str(client.registry), f"{scripted.url}/v2/")
    assert (found.status, found.auth, found.api_version) == (200, None, "registry/2.0")


@pytest.mark.parametrize("body", [b"", b"{}", b"true", b"not even JSON"])
def test_the_body_does_not_matter(body: bytes, scripted: Origin, clients: Callable[..., Client]) -> None:
    """The spec says nothing of it."""
    scripted.on("GET", "/v2/", Answer(200, body=body))
    assert Check(clients(scripted.host))().api_version is None


def test_three_different_answers(scripted: Origin, clients: Callable[..., Client]) -> None:
    """200, 401 and 404 are three different answers; a page of HTML is a fourth."""
    scripted.on(
        "GET",
        "/v2/",
        Answer(404, body=b"<html>no registry"),
        Answer(401, {"WWW-Authenticate": "Basic realm=x"}),
        Answer(200, {"Content-Type": "text/html"}, body=b"<html>log in"),
    )
    check = Check(clients(scripted.host, plugins=Plugins.discover(only=("basic",))))
    with pytest.raises(NotFound, match="does not speak the distribution API v2") as missing:
        check()
    assert missing.value.status == 404
    with pytest.raises(Unauthorized, match="it asks for Basic; no credentials were found"):
        check()
    with pytest.raises(ProtocolError, match="HTML"):
        check()


def test_what_the_program_shows(scripted: Origin, sonar: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check -o json` has registry, url, status, auth, apiVersion (DESIGN, 4)."""

    def guarded(request: Request) -> Answer:
        if request.header("Authorization"):
            return Answer(200, VERSION, json={})
        return Answer(401, {"WWW-Authenticate": "Basic realm=x"})

    scripted.on("GET", "/v2/", guarded)
    refused = sonar("check", scripted.host, "-o", "json")
    assert (refused.code, refused.stdout) == (4, "")

    for name, value in {"USERNAME": "alice", "PASSWORD": "wonder", "AUTH_REGISTRY": scripted.host}.items():
        monkeypatch.setenv(f"SONAR_{name}", value)
    assert sonar("check", scripted.host).stdout == f"{scripted.host}: ok, registry/2.0, asks for Basic authentication\n"
    assert sonar("check", scripted.host, "-o", "json").json == {
        "registry": scripted.host,
        "url": f"{scripted.url}/v2/",
        "status": 200,
        "auth": "basic",
        "apiVersion": "registry/2.0",
    }


def test_the_default_registry(scripted: Origin, sonar: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """SONAR_REGISTRY, else localhost over http."""
    scripted.on("GET", "/v2/", Answer(200, VERSION, json={}))
    monkeypatch.setenv("SONAR_REGISTRY", scripted.host)
    assert sonar("check").stdout == f"{scripted.host}: ok, registry/2.0, no authentication asked for\n"
    monkeypatch.setenv("SONAR_REGISTRY", "")
    monkeypatch.setenv("SONAR_ATTEMPTS", "1")
    run = sonar("check", "-v")
    assert run.stderr.startswith("GET http://localhost/v2/ ")
    monkeypatch.setenv("SONAR_REGISTRY", "not a host")
    assert sonar("check").code == 2


def test_options_reach_the_transport(scripted: Origin, sonar: Program) -> None:
    """--plain-http turns a host that would be asked by https."""
    scripted.on("GET", "/v2/", Answer(200, VERSION, json={}))
    assert sonar("check", f"https://{scripted.host}").code == 1
    assert sonar("check", f"https://{scripted.host}", "--plain-http").code == 0


def test_real_registries(host: str, sonar: Program) -> None:
    run = sonar("check", host)
    assert run.stdout == f"{host}: ok, registry/2.0, no authentication asked for\n"
