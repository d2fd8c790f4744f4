"""Proxies of the environment, with a real one in between."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from sonar_core.errors import ConnectionFailed, IntegrityError, ProtocolError, SettingsError, SonarError
from sonar_core.proxies import proxy_for
from sonar_core.testing.scripted import Answer, Origin
from sonar_core.transport import Request
from tests.core.tiny_proxy import TinyProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonar_core.testing.certificates import Authority
    from sonar_core.transport import Transport


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def proxied(scripted: Origin) -> Iterator[TinyProxy]:
    scripted.on("GET", "/v2/", Answer(200, body=b"through"))
    with TinyProxy((scripted.address, scripted.port)) as proxy:
        yield proxy


def test_plain_http_goes_through_the_proxy(
    scripted: Origin, proxied: TinyProxy, transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy resolves the name: here nobody else could."""
    monkeypatch.setenv("HTTP_PROXY", proxied.url)
    transport = transports("http://registry.test")
    assert transport.send(Request("GET", "http://registry.test/v2/")).read(10) == b"through"
    assert proxied.heads[0].startswith("GET http://registry.test/v2/ HTTP/1.1\r\n")
    assert scripted.requests[0].header("Host") == "registry.test"


def test_https_goes_through_a_tunnel(
    origins: Callable[..., Origin],
    authority: Authority,
    transports: Callable[..., Transport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proxy sees the host and its own password, and nothing else."""
    origin = origins(tls=authority.server_context(authority.issue("proxied", ("registry.test",))))
    origin.on("GET", "/v2/", Answer(200, body=b"through"))
    with TinyProxy((origin.address, origin.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "http://robot:p%40ss@"))
        transport = transports("https://registry.test", ca_file=authority.cert)
        request = Request("GET", "https://registry.test/v2/", private={"Authorization": "Bearer secret"})
        for _ in range(2):
            assert transport.send(request).read(10) == b"through"
        assert len(proxy.heads) == 1
    assert proxy.heads[0].startswith("CONNECT registry.test:443 HTTP/1.")
    expected = base64.b64encode(b"robot:p@ss").decode()
    assert f"Basic {expected}" in proxy.heads[0]
    assert "secret" not in proxy.heads[0]
    assert origin.requests[0].header("Authorization") == "Bearer secret"
    assert origin.requests[0].header("Proxy-Authorization") is None


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"])
def test_a_tunnel_that_is_refused(
    status: str, transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    with TinyProxy(("127.0.0.1", 1), refuse=status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "http://robot:hunter2@"))
        with pytest.raises(ConnectionFailed, match=f"the proxy failed: .*{status[:3]}") as caught:
            transports("https://registry.test").send(Request("GET", "https://registry.test/v2/"))
        assert "hunter2" not in str(caught.value)


def test_a_proxy_that_is_not_there(transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(ConnectionFailed, match="the proxy failed: connection refused") as caught:
        transports("http://registry.test", attempts=2).send(Request("POST", "http://registry.test/v2/"))
    assert caught.value.attempts == 2


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://127.0.0.1:1", "is not an http or https proxy"),
        ("http://[::1", "is malformed"),
        ("http://127.0.0.1:99999", "is malformed"),
        ("http://us☃er:p@127.0.0.1:1", "malformed"),
    ],
)
def test_a_proxy_that_can_not_be_used(
    proxy: str, words: str, transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(SettingsError, match=words):
        transports("http://registry.test").send(Request("GET", "http://registry.test/v2/"))


@pytest.mark.parametrize("target", ["http://10.0.0.1/", "http://127.0.0.1/", "http://2130706433/", "http://[::1]/"])
def test_a_redirect_into_the_proxys_own_network(
    target: str, scripted: Origin, transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy would connect unseen, so what can be told by the address alone is refused."""
    scripted.on("GET", "/v2/", Answer(307, {"Location": target}))
    with TinyProxy((scripted.address, scripted.port)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(SonarError, match="refused: "):
            transports("http://registry.test").send(Request("GET", "http://registry.test/v2/"))
        assert len(proxy.heads) == 1


def test_loopback_and_no_proxy_go_direct(
    scripted: Origin, proxied: TinyProxy, transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxied.url)
    assert transports(scripted.url).send(Request("GET", f"{scripted.url}/v2/")).read(10) == b"through"
    assert proxied.heads == []
    assert proxy_for("http", "registry.test:80") == proxied.url
    for host in ("localhost:5000", "x.localhost:80", "127.0.0.9:80", "::1:5000"):
        assert proxy_for("http", host) is None
    monkeypatch.setenv("NO_PROXY", "registry.test,example.com:8080")
    assert proxy_for("https", "registry.test:443") is None
    assert proxy_for("https", "sub.registry.test:443") is None
    assert proxy_for("http", "example.com:8080") is None
    assert proxy_for("http", "example.com:80") == proxied.url


def test_a_proxy_without_a_scheme_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.test:3128")
    assert proxy_for("https", "registry.test:443") == "http://proxy.test:3128"
    assert proxy_for("http", "registry.test:80") is None


def test_what_is_not_the_proxys_fault_is_not_blamed_on_it(
    scripted: Origin, proxied: TinyProxy, transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxied.url)
    transport = transports("http://registry.test", attempts=3)
    scripted.on("GET", "/junk", Answer(raw=b"SSH-2.0\r\n\r\n", then="close"))
    with pytest.raises(ProtocolError, match="not an HTTP answer") as caught:
        transport.send(Request("GET", "http://registry.test/junk"))
    assert "proxy" not in str(caught.value)
    opened: list[int] = []

    def body() -> Iterator[bytes]:
        opened.append(1)
        yield b"12"
        raise IntegrityError("bad digest")

    with pytest.raises(IntegrityError, match="bad digest"):
        transport.send(Request("PUT", "http://registry.test/x", body=body, length=4))
    assert opened == [1]
