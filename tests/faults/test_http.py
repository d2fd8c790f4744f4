"""ROBUSTNESS, Transport: HTTP at its edges, TLS, and proxies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import Answer, Origin, Request
from tests.faults.registry import digest, manifest_answer, serve
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.testing.certificates import Authority, Certificate
    from tests.faults.program import Program

BODY = b'{"name":"a","tags":["v1"]}'
ONCE = {"SONAR_ATTEMPTS": "1"}


def head(*lines: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode()


CHUNKED = head("Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(CHUNKED + b"1a;ext=1\r\n" + BODY + b"\r\n0\r\nX-Trailer: 1\r\n\r\n", id="trailer"),
        pytest.param(head("Transfer-Encoding: Chunked") + b"1A\r\n" + BODY + b"\r\n0\r\n\r\n", id="upper case"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n" + BODY, id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + head("Content-Length: 26") + BODY, id="100 first"),
        pytest.param(b"HTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n" + head("Content-Length: 26") + BODY, id="103 first"),
        pytest.param(head("content-length:26") + BODY, id="no blanks"),
        pytest.param(head("Content-Length: 26", "X-Long: " + "y" * 30_000) + BODY, id="header of 30 kB"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 26\r\n\r\n" + BODY, id="no reason"),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 26\n\n" + BODY, id="bare line feeds"),
        pytest.param(head("X: \xe9\xff", "Content-Length: 26") + BODY, id="latin-1"),
    ],
)  # fmt: skip
def test_answers_that_are_odd_and_good(sonar: Program, scripted: Origin, raw: bytes) -> None:
    """T2/T3: what HTTP allows is understood (RFC 9112, RFC 8297)."""
    scripted.default = Answer(raw=raw, then="close")
    assert sonar("tag", "ls", f"{scripted.host}/a", environment=ONCE).succeeded().out == "v1\n"


@pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 206, 304, 300, 299, 599, 600, 999, 101])
@pytest.mark.parametrize("command", ["tag ls", "manifest get"])
def test_a_status_that_does_not_belong_there(sonar: Program, scripted: Origin, status: int, command: str) -> None:
    """T3: a status that the spec does not know there is an error that names it, never a success."""
    what = images.image().manifest
    body = BODY if command == "tag ls" else what.data
    scripted.default = Answer(status, {"Content-Type": what.media_type}, body, then="close")
    outcome = sonar(*command.split(), f"{scripted.host}/a" + ("" if command == "tag ls" else ":v1"), environment=ONCE)
    outcome.failed()


def test_a_head_with_a_body(sonar: Program, scripted: Origin) -> None:
    """T3: a body after a HEAD, which must have none, does not become the next answer."""
    what = images.image().manifest
    good = manifest_answer(what)
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    scripted.on("HEAD", re.compile(".*"), Answer(raw=good.head() + body))
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"tags": [f"t{n}" for n in range(20)]}))
    scripted.on("GET", re.compile(".*/manifests/.*"), good)
    outcome = sonar("tag", "ls", f"{scripted.host}/a", "--digests").succeeded()
    assert outcome.out.count(what.digest) == 20


def test_more_body_than_declared(sonar: Program, scripted: Origin) -> None:
    """T3: bytes after the declared end are not the next answer."""
    link = {"Content-Length": "26", "Link": '</v2/a/tags/list?p=2>; rel="next"'}
    scripted.on("GET", "/v2/a/tags/list", Answer(200, link, BODY + b"HTTP/1.1 200 OK\r\n\r\nevil"))
    scripted.on("GET", "/v2/a/tags/list?p=2", Answer(200, json={"tags": ["v2"]}))
    assert sonar("tag", "ls", f"{scripted.host}/a").succeeded().out == "v1\nv2\n"


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", "application/octet-stream", "text/plain; charset=utf-8", "/", ";", "a/b/c"],
)
def test_a_manifest_without_a_useful_type(sonar: Program, scripted: Origin, content_type: str | None) -> None:
    """N3: where the Content-Type says nothing, the document's own `mediaType` counts, or it is an error."""
    what = images.image().manifest
    headers = {} if content_type is None else {"Content-Type": content_type}
    scripted.default = Answer(200, headers, what.data)
    outcome = sonar("manifest", "get", f"{scripted.host}/a:v1", "--raw")
    assert outcome.code in (0, 1), outcome.shown()
    assert outcome.stdout in (what.data, b"")
    if content_type in (None, "application/json", "application/octet-stream"):
        outcome.succeeded()


@pytest.mark.parametrize("name", ["expired", "another host", "self-signed"])
def test_certificates_that_are_not_trusted(
    sonar: Program, origins: Callable[..., Origin], authority: Authority, name: str
) -> None:
    """T2/T5: a certificate that does not hold is an error that says why, tried once."""
    certificate = {
        "expired": lambda: authority.issue("fault-expired", days=-1),
        "another host": lambda: authority.issue("fault-other", ("other.example",)),
        "self-signed": lambda: authority.issue("fault-self"),
    }[name]()
    origin = origins(tls=authority.server_context(certificate))
    origin.default = Answer(200, json={})
    trust: list[str] = [] if name == "self-signed" else ["--ca-file", str(authority.cert)]
    what_next = {"expired": "renewed", "another host": "use a name", "self-signed": "--ca-file"}[name]
    sonar("check", f"https://{origin.host}", *trust).failed("certificate", what_next)
    assert origin.connections == 1
    assert origin.requests == []
    sonar("check", f"https://{origin.host}", "--insecure").succeeded()


def test_a_client_certificate_is_required(
    sonar: Program,
    origins: Callable[..., Origin],
    authority: Authority,
    server_certificate: Certificate,
    client_certificate: Certificate,
) -> None:
    """T2: without the certificate that a registry wants, the error says what is missing."""
    origin = origins(tls=authority.server_context(server_certificate, require_client=True))
    origin.default = Answer(200, json={})
    trust = ("--ca-file", authority.cert)
    sonar("check", f"https://{origin.host}", *trust).failed("--cert")
    known = ("--cert", client_certificate.cert, "--key", client_certificate.key)
    sonar("check", f"https://{origin.host}", *trust, *known).succeeded()


def test_plain_http_and_https_taken_for_each_other(sonar: Program, scripted: Origin, scripted_tls: Origin) -> None:
    """T3: https spoken to a plain http registry, and the other way round: an error with a hint."""
    sonar("check", f"https://{scripted.host}", environment=ONCE).failed("--plain-http")
    sonar("check", f"http://{scripted_tls.host}", environment=ONCE).failed(scripted_tls.host)


def test_through_a_proxy(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """T1: "proxies from the environment": the proxy is asked, its password is for it alone and never shown."""
    proxy = origins()
    proxy.default = Answer(200, json={"tags": ["through"]})
    address = f"http://eve:proxy-secret-9@{proxy.host}"
    outcome = sonar(
        "tag", "ls", "http://registry.example/a", "-v", environment={"HTTP_PROXY": address, "http_proxy": address}
    )
    assert outcome.code in (0, 1), outcome.shown()
    assert "proxy-secret-9" not in outcome.out + outcome.err
    assert all(request.header("Authorization") is None for request in proxy.requests)
    assert scripted.connections == 0


@pytest.mark.parametrize("answer", [Answer(407), Answer(502, body=b"<html>bad gateway</html>"), Answer(403)])
def test_a_proxy_that_refuses(sonar: Program, origins: Callable[..., Origin], answer: Answer) -> None:
    """T3: a proxy that refuses the tunnel is an error that names what failed."""
    proxy = origins()
    proxy.default = answer
    address = f"http://eve:proxy-secret-9@{proxy.host}"
    outcome = sonar("tag", "ls", "registry.example/a", environment={"HTTPS_PROXY": address, **ONCE})
    assert outcome.code in (1, 4), outcome.shown()
    outcome.reported("proxy")
    assert "proxy-secret-9" not in outcome.err


def test_many_link_headers(sonar: Program, scripted: Origin) -> None:
    """L1: ninety `Link` headers, of which one is next."""
    links = [("Link", f'</x{n}>; rel="x{n}"') for n in range(80)]
    links.append(("Link", '</v2/a/tags/list?p=2>; rel="next"'))
    scripted.on("GET", "/v2/a/tags/list", Answer(200, links, BODY))
    scripted.on("GET", "/v2/a/tags/list?p=2", Answer(200, json={"tags": ["v2"]}))
    assert sonar("tag", "ls", f"{scripted.host}/a").succeeded().out == "v1\nv2\n"


def test_pages_without_anything_new(sonar: Program, scripted: Origin) -> None:
    """L1: "a link to itself or seen before ends in an error": pages that repeat under ever new addresses do, too,
    before the hard limit."""

    def page(request: Request) -> Answer:
        number = int(request.query.get("p", ["0"])[0])
        return Answer(200, {"Link": f'</v2/a/tags/list?p={number + 1}>; rel="next"'}, BODY)

    scripted.on("GET", re.compile("/v2/a/tags/list.*"), page)
    outcome = sonar.start("tag", "ls", f"{scripted.host}/a").wait(10)
    assert outcome.code == 1, outcome.shown()
    outcome.reported()


@pytest.mark.slow
def test_pages_without_end(sonar: Program, scripted: Origin) -> None:
    """L1: "a cap on pages": an endless list ends before the hard limit, with the settings as they come."""

    def page(request: Request) -> Answer:
        number = int(request.query.get("p", ["0"])[0])
        link = {"Link": f'</v2/a/tags/list?p={number + 1}>; rel="next"'}
        return Answer(200, link, json={"tags": [f"t{number}"] if number % 2 else []})

    scripted.on("GET", re.compile("/v2/a/tags/list.*"), page)
    outcome = sonar("tag", "ls", f"{scripted.host}/a")
    assert outcome.code == 1, outcome.shown()
    outcome.reported("pages")


def test_check_tells_what_speaks(sonar: Program, scripted: Origin) -> None:
    """T8: `check` tells 200, 401 and 404 apart, and what is no registry."""
    serve(scripted, "a", images.image())
    sonar("check", scripted.host).succeeded()
    scripted.on("GET", "/v2/", Answer(404, body=b"nothing here"))
    sonar("check", scripted.host).failed(code=3)
    scripted.on("GET", "/v2/", Answer(401))
    sonar("check", scripted.host).failed(code=4)
    assert digest(b"") not in sonar("check", scripted.host).err
