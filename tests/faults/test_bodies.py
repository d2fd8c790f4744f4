"""ROBUSTNESS, Transport: encodings, caps on memory, HTML, cookies."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import Answer, Origin
from tests.faults.registry import digest, serve, unauthorized
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.program import Program

MIB = 1024 * 1024
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LOGIN_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>please</body></html>"


def test_no_encoding_is_asked_for(sonar: Program, scripted: Origin) -> None:
    """T1: "`Accept-Encoding: identity`": every request says so."""
    what = serve(scripted, "a", images.image())
    scripted.on("GET", "/v2/a/tags/list", Answer(200, json={"tags": ["v1"]}))
    sonar("check", scripted.host).succeeded()
    sonar("tag", "ls", f"{scripted.host}/a").succeeded()
    sonar("manifest", "get", f"{scripted.host}/a:v1").succeeded()
    sonar("blob", "get", f"{scripted.host}/a@{what.blobs[0].digest}").succeeded()
    assert len(scripted.requests) >= 4
    assert {request.header("Accept-Encoding") for request in scripted.requests} == {"identity"}


def test_a_body_is_hashed_as_it_came(sonar: Program, scripted: Origin) -> None:
    """T1: "`decode_content=False` …: a body is hashed as it came", whatever Content-Encoding claims."""
    data = gzip.compress(b"a layer" * 100, mtime=0)
    headers = {"Content-Encoding": "gzip"}
    scripted.on("GET", f"/v2/a/blobs/{digest(data)}", Answer(200, headers, data))
    assert sonar("blob", "get", f"{scripted.host}/a@{digest(data)}").succeeded().stdout == data


def test_a_decompression_bomb_is_not_inflated(sonar: Program, scripted: Origin) -> None:
    """T1: "(its decompression-bomb … fixes)": 256 MiB of blanks in 1 MiB of gzip stay 1 MiB."""
    bomb = gzip.compress(b"[" + b" " * (256 * MIB) + b"]", 1, mtime=0)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    scripted.on("GET", "/v2/a/tags/list", Answer(200, headers, bomb))
    outcome = sonar("tag", "ls", f"{scripted.host}/a").failed()
    assert outcome.peak < 150


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(200, body=b" " * MIB, times=200), id="declared"),
        pytest.param(Answer(200, body=b" " * MIB, times=200, framing="chunked"), id="chunked"),
        pytest.param(Answer(200, body=b" " * MIB, times=200, framing="close"), id="undeclared"),
        pytest.param(Answer(200, {"Content-Length": str(10**15)}, b"{}", then="hang"), id="petabyte"),
        pytest.param(Answer(200, {"Content-Length": "9" * 500}, b"{}", then="close"), id="500 digits"),
    ],
)
@pytest.mark.parametrize("what", ["manifest", "tags"])
def test_what_is_read_into_memory_has_a_cap(sonar: Program, scripted: Origin, answer: Answer, what: str) -> None:
    """T7: "Caps on what is read into memory: manifest and config 4 MiB …; never an allocation by a declared
    size"."""
    headers = {**dict(answer.headers), "Content-Type": INDEX_TYPE}
    from dataclasses import replace

    scripted.default = replace(answer, headers=headers)
    arguments = {
        "manifest": ("manifest", "get", f"{scripted.host}/a:v1"),
        "tags": ("tag", "ls", f"{scripted.host}/a"),
    }[what]
    outcome = sonar(*arguments, "--timeout", "3", environment={"SONAR_ATTEMPTS": "1"}).failed()
    assert outcome.peak < 200


def test_the_cap_for_manifests_can_be_set(sonar: Program, scripted: Origin) -> None:
    """T7: "manifest and config 4 MiB (setting)"."""
    serve(scripted, "a", images.index())
    sonar("manifest", "get", f"{scripted.host}/a:v1").succeeded()
    outcome = sonar("manifest", "get", f"{scripted.host}/a:v1", environment={"SONAR_MANIFEST_BYTES": "100"})
    outcome.failed("100")


def test_a_token_answer_has_a_cap(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """T7: "token and error answers 1 MiB"."""
    realm = origins()
    realm.default = Answer(200, body=b'{"token":"' + b"x" * MIB, times=60, framing="chunked")
    scripted.default = unauthorized(f'Bearer realm="{realm.url}/token",service="s"')
    outcome = sonar("tag", "ls", f"{scripted.host}/a")
    assert outcome.code in (1, 4), outcome.shown()
    outcome.reported(realm.host)
    assert outcome.peak < 120


def test_an_error_answer_has_a_cap(sonar: Program, scripted: Origin) -> None:
    """T7: "token and error answers 1 MiB": an endless error body is cut, and the status is still told."""
    scripted.default = Answer(400, body=b"x" * MIB, times=100, framing="chunked")
    outcome = sonar("tag", "ls", f"{scripted.host}/a").failed("400")
    assert outcome.peak < 120


@pytest.mark.parametrize("content_type", ["text/html", "text/html; charset=utf-8", "application/json"])
@pytest.mark.parametrize(
    "command",
    [("check", ""), ("repo ls", ""), ("tag ls", "/a"), ("manifest get", "/a:v1"), ("image inspect", "/a:v1")],
)
def test_a_login_page_is_told_apart(
    sonar: Program, scripted: Origin, command: tuple[str, str], content_type: str
) -> None:
    """T8: "An HTML page with status 200 where JSON belongs is a typed error that says so"."""
    scripted.default = Answer(200, {"Content-Type": content_type}, LOGIN_PAGE)
    words, suffix = command
    sonar(*words.split(), scripted.host + suffix).failed("HTML")


def test_a_login_page_in_place_of_a_token(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """T8: "An HTML page with status 200 where JSON belongs": at the token server."""
    realm = origins()
    realm.default = Answer(200, {"Content-Type": "text/html"}, LOGIN_PAGE)
    scripted.default = unauthorized(f'Bearer realm="{realm.url}/token",service="s"')
    outcome = sonar("tag", "ls", f"{scripted.host}/a")
    assert outcome.code in (1, 4), outcome.shown()
    outcome.reported("HTML")


def test_a_login_page_as_an_error(sonar: Program, scripted: Origin) -> None:
    """T8: a proxy's error page is not poured over the terminal."""
    scripted.default = Answer(403, {"Content-Type": "text/html"}, LOGIN_PAGE * 50)
    outcome = sonar("tag", "ls", f"{scripted.host}/a").failed("403", code=4)
    assert "<html" not in outcome.err


def test_cookies_are_ignored(sonar: Program, scripted: Origin) -> None:
    """T9: "Cookies are ignored (they switch Harbor into its CSRF mode)"."""
    cookie = ("Set-Cookie", "sid=abc; Path=/")
    link = ("Link", "</v2/a/tags/list?last=v1>; rel=next")
    scripted.on("GET", "/v2/a/tags/list", Answer(200, [cookie], json={"tags": ["v2"]}))
    scripted.on(
        "GET",
        "/v2/a/tags/list",
        Answer(200, [cookie, link], json={"tags": ["v1"]}),
        Answer(200, [cookie], json={"tags": ["v2"]}),
    )
    assert sonar("tag", "ls", f"{scripted.host}/a").succeeded().out == "v1\nv2\n"
    assert [request.header("Cookie") for request in scripted.requests] == [None, None]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"text"', id="a text"),
        pytest.param(b"{", id="half"),
        pytest.param(b"\xff\xfe\x00", id="not UTF-8"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b'{"tags": NaN}', id="NaN"),
        pytest.param(b'{"tags": "v1"}', id="no list"),
        pytest.param(b'{"tags": {"v1": 1}}', id="an object"),
        pytest.param(b'{"tags": [1, {"a": 2}]}', id="no texts"),
        pytest.param(b'{"tags": [' + b"9" * 10_000 + b"]}", id="a number of 10,000 digits"),
    ],
)
def test_json_that_is_not_what_belongs_there(sonar: Program, scripted: Origin, body: bytes) -> None:
    """N3: "JSON too deep, NaN, … → a typed error": in a list of tags."""
    scripted.default = Answer(200, {"Content-Type": "application/json"}, body)
    sonar("tag", "ls", f"{scripted.host}/a").failed("127.0.0.1")
