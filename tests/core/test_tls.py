"""TLS: whom to trust, and what is said where someone is not; `tests/auth` has clients' certificates."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from sonar_core.errors import ConnectionFailed, SettingsError, TransportError
from sonar_core.testing.scripted import Answer, Origin
from sonar_core.transport import Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_core.testing.certificates import Authority
    from sonar_core.transport import Transport


def get(transport: Transport, url: str) -> bytes:
    return transport.send(Request("GET", f"{url}/x")).read(10)


def test_an_authority_of_ones_own(
    scripted_tls: Origin, authority: Authority, transports: Callable[..., Transport]
) -> None:
    """Unknown, it is refused at once, and not tried again; named, it is trusted; --insecure trusts everyone."""
    scripted_tls.on("GET", "/x", Answer(200, body=b"secure"))
    url = scripted_tls.url
    with pytest.raises(ConnectionFailed, match=r"the certificate is not trusted: .*name its authority with --ca-file"):
        get(transports(url), url)
    assert scripted_tls.connections == 1
    assert get(transports(url, ca_file=authority.cert), url) == b"secure"
    assert get(transports(url, insecure=True), url) == b"secure"
    assert len(scripted_tls.requests) == 2


@pytest.mark.parametrize(
    ("hosts", "days", "words"), [(("other.test",), 2, "mismatch"), (("127.0.0.1",), -1, "expired")]
)
def test_a_certificate_that_does_not_fit(
    hosts: tuple[str, ...],
    days: int,
    words: str,
    authority: Authority,
    origins: Callable[..., Origin],
    transports: Callable[..., Transport],
) -> None:
    certificate = authority.issue(f"unfit{days}", hosts, days=days)
    origin = origins(tls=authority.server_context(certificate))
    with pytest.raises(ConnectionFailed, match=words):
        get(transports(origin.url, ca_file=authority.cert), origin.url)
    assert origin.requests == []


def test_plain_http_where_tls_was_wanted(scripted: Origin, transports: Callable[..., Transport]) -> None:
    """What to do is said; it is never done by itself."""
    scripted.default = Answer(raw=b"HTTP/1.1 400 Bad Request\r\n\r\n", then="close")
    url = scripted.url.replace("http:", "https:")
    with pytest.raises(TransportError, match=r"TLS: .*it speaks plain http, perhaps: --plain-http"):
        get(transports(url), url)


def test_old_tls_is_refused(
    authority: Authority, origins: Callable[..., Origin], transports: Callable[..., Transport]
) -> None:
    context = authority.server_context(authority.issue("old"))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    origin = origins(tls=context)
    with pytest.raises(ConnectionFailed, match="TLS: "):
        get(transports(origin.url, ca_file=authority.cert), origin.url)
    assert origin.requests == []


@pytest.mark.parametrize(
    ("setting", "content", "words"),
    [
        ("ca_file", None, "cannot use ca_file .*: No such file or directory"),
        ("ca_file", b"garbage", "ca_file .* holds nothing usable"),
        ("cert", b"garbage", "cert .* holds nothing usable"),
        ("key", b"garbage", "a client key was given without its certificate; add --cert FILE"),
    ],
)
def test_files_that_can_not_be_used(
    setting: str, content: bytes | None, words: str, tmp_path: Path, transports: Callable[..., Transport]
) -> None:
    """Said before anything is sent."""
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=words):
        get(transports("https://127.0.0.1:1", **{setting: file}), "https://127.0.0.1:1")


def test_a_name_that_can_be_none(transports: Callable[..., Transport]) -> None:
    """A label of a name has at most 63 characters; the URL, which may hold what is secret, is not repeated."""
    url = f"http://{'a' * 64}.test"
    with pytest.raises(TransportError, match=r"the URL is malformed|does not resolve") as caught:
        transports(url).send(Request("GET", f"{url}/x?X-Sig=hunter2"))
    assert "hunter2" not in str(caught.value)
