"""Redirects: what is followed, and what goes along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonar_core.errors import ConnectionFailed, ProtocolError
from sonar_core.testing.scripted import Answer, Origin
from sonar_core.transport import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.testing.certificates import Authority
    from sonar_core.transport import Transport


def test_private_headers_stay_with_their_origin(
    origins: Callable[..., Origin], transports: Callable[..., Transport]
) -> None:
    """GHSA-qvqc-4c52-x6qp: no header of anyone's goes to another origin, but for those that HTTP itself needs."""
    home, other = origins(), origins()
    home.on("GET", "/x", Answer(307, {"Location": f"{other.url}/y"}))
    home.on("GET", "/back", Answer(200, body=b"back"))
    other.on("GET", "/y", Answer(302, {"Location": f"{home.url}/back"}))
    request = Request(
        "GET",
        f"{home.url}/x",
        headers={"Accept": "a/b", "X-Plugin": "may be a secret", "Cookie": "c"},
        private={"Authorization": "Bearer secret", "X-Acme-Auth": "secret"},
    )
    assert transports(home.url).send(request).read(10) == b"back"
    stranger = other.requests[0]
    assert stranger.header("Accept") == "a/b"
    sent = {name.lower() for name, _ in stranger.headers}
    assert sent == {"host", "user-agent", "accept", "accept-encoding"}
    for call in home.requests:
        assert call.header("Authorization") == "Bearer secret"
        assert call.header("X-Acme-Auth") == "secret"


def test_redirects_are_counted(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(302, {"Location": "/x"}))
    with pytest.raises(ProtocolError, match="redirects more than 3 times"):
        transports(scripted.url, redirects=3).send(Request("GET", f"{scripted.url}/x"))
    assert len(scripted.requests) == 4
    assert scripted.connections == 1


@pytest.mark.parametrize(
    "target",
    ["http://[::1", "http://h:99999/", "http://u:p@h/", "ftp://h/", "http:///x", "//[", "http://h:0/", "mailto:a@b"],
)
def test_a_location_that_leads_nowhere(target: str, scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(307, {"Location": target}))
    with pytest.raises(ProtocolError) as caught:
        transports(scripted.url).send(Request("GET", f"{scripted.url}/x"))
    assert "u:p" not in str(caught.value)


def test_a_redirect_without_a_location_is_an_answer(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(307))
    assert transports(scripted.url).send(Request("GET", f"{scripted.url}/x")).status == 307


@pytest.mark.parametrize(
    ("method", "status", "followed"),
    [
        *[("PUT", 307, True), ("PUT", 308, True), ("DELETE", 307, True)],
        *[("PUT", 301, False), ("PUT", 302, False), ("PUT", 303, False), ("POST", 307, False), ("PATCH", 308, False)],
    ],
)
def test_writes_follow_only_what_keeps_the_method(
    method: str, status: int, followed: bool, scripted: Origin, transports: Callable[..., Transport]
) -> None:
    scripted.on(method, "/x", Answer(status, {"Location": "/y"}))
    scripted.on("*", "/y", Answer(201))
    request = Request(method, f"{scripted.url}/x", body=b"content")
    transport = transports(scripted.url)
    if followed:
        assert transport.send(request).status == 201
        assert [call.body for call in scripted.requests] == [b"content", b"content"]
    else:
        with pytest.raises(ProtocolError, match=f"where a {method} does not follow"):
            transport.send(request)
        assert scripted.calls("*", "/y") == []


def test_a_write_does_not_follow_to_another_origin(
    origins: Callable[..., Origin], transports: Callable[..., Transport]
) -> None:
    home, other = origins(), origins()
    home.on("PUT", "/x", Answer(307, {"Location": f"{other.url}/y"}))
    with pytest.raises(ProtocolError, match="where a PUT does not follow"):
        transports(home.url).send(Request("PUT", f"{home.url}/x", body=b"content"))
    assert other.connections == 0


def test_a_registry_that_wants_https_is_understood(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("POST", "/x", Answer(301, {"Location": f"https://{scripted.host}/x"}))
    with pytest.raises(ProtocolError, match="name the registry with https://"):
        transports(scripted.url).send(Request("POST", f"{scripted.url}/x"))


def test_https_never_leads_to_http(
    scripted_tls: Origin, scripted: Origin, authority: Authority, transports: Callable[..., Transport]
) -> None:
    scripted_tls.on("GET", "/x", Answer(307, {"Location": f"{scripted.url}/y"}))
    with pytest.raises(ProtocolError, match="from https to plain http, which is not followed"):
        transports(scripted_tls.url, ca_file=authority.cert).send(Request("GET", f"{scripted_tls.url}/x"))
    assert scripted.connections == 0


def test_metadata_addresses_are_never_asked(scripted: Origin, transports: Callable[..., Transport]) -> None:
    scripted.on("GET", "/x", Answer(307, {"Location": "http://169.254.169.254/latest"}))
    with pytest.raises(ConnectionFailed, match=r"refused: 169\.254\.169\.254"):
        transports(scripted.url, allow_private=True).send(Request("GET", f"{scripted.url}/x"))
