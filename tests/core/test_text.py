"""Headers and texts of strangers: challenges, links, error answers, what may be shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.challenge import Challenge, parse_challenges
from sonar_core.errors import NotFound, RateLimited, ResponseError
from sonar_core.links import next_link
from sonar_core.redaction import printable, printable_lines, redact_url
from sonar_core.testing.scripted import Answer, Origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.client import Client

HEADER = st.text(alphabet='abB=",;<>\\ \t/:%-~\x00é', max_size=60)


# ── challenges (RFC 9110, section 11) ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["Basic"], [Challenge("basic")]),
        (['Basic realm="a b"'], [Challenge("basic", {"realm": "a b"})]),
        (['BASIC Realm = "x" , charset=UTF-8'], [Challenge("basic", {"realm": "x", "charset": "UTF-8"})]),
        (
            ['Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"'],
            [Challenge("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:a:pull,push"})],
        ),
        (["Bearer realm=https://a/t,service=s"], [Challenge("bearer", {"realm": "https://a/t", "service": "s"})]),
        (["Negotiate, Basic realm=x"], [Challenge("negotiate"), Challenge("basic", {"realm": "x"})]),
        (["Negotiate YWJj==, Basic"], [Challenge("negotiate", token68="YWJj=="), Challenge("basic")]),
        (
            ['Basic realm="x"', "Bearer realm=y"],
            [Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "y"})],
        ),
        (['Basic realm="a\\"b\\\\c, d=e"'], [Challenge("basic", {"realm": 'a"b\\c, d=e'})]),
        (["Basic realm=a, realm=b"], [Challenge("basic", {"realm": "a"})]),
        ([", ,Basic realm=a,,"], [Challenge("basic", {"realm": "a"})]),
        ([""], []),
        ([], []),
    ],
)
def test_challenges(headers: list[str], expected: list[Challenge]) -> None:
    assert list(parse_challenges(headers)) == expected


@given(st.lists(HEADER | st.text(max_size=60), max_size=3))
def test_no_challenge_raises(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower() != ""
        assert isinstance(challenge.realm, str)


def test_a_very_long_challenge_is_cut() -> None:
    """Time and memory are bounded: 16 KiB of a header count."""
    found = parse_challenges(["Basic " + ", ".join(f'a{n}="{"x" * 50}"' for n in range(100_000))])
    assert len(found[0].parameters) < 1000


# ── links (RFC 8288) ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['</v2/x?n=5>; rel="next"'], "/v2/x?n=5"),
        (["</v2/x>;rel=next"], "/v2/x"),
        (["< /v2/x >; REL=NEXT"], "/v2/x"),
        (['</a>; rel="prev", </b>; rel="next"'], "/b"),
        (['</a>; rel="prev"', '</b>; rel="next"'], "/b"),
        (['</a,b;c>; title="x, y; rel=\\"no\\""; rel="first next"'], "/a,b;c"),
        (['</a>; rel="nextish"'], None),
        (["</a>"], None),
        (["/a; rel=next"], None),
        ([""], None),
        ([], None),
    ],
)
def test_links(headers: list[str], expected: str | None) -> None:
    assert next_link(headers) == expected


@given(st.lists(HEADER | st.text(max_size=60), max_size=3))
def test_no_link_raises(headers: list[str]) -> None:
    assert next_link(headers) is None or isinstance(next_link(headers), str)


# ── what may be shown ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "https://u:secret@h:5/a?n=5&X-Amz-Signature=secret&last=b#secret",
            "https://h:5/a?n=5&X-Amz-Signature=…&last=b",
        ),
        ("https://h/a?secret", "https://h/a?…"),
        (
            "https://h/a?scope=repository:a/b:pull,push&service=x%20y",
            "https://h/a?scope=repository:a/b:pull,push&service=x%20y",
        ),
        ("https://h/a?n=%0aX", "https://h/a?n=%0AX"),
        ("https://h/\x1b[2J", "https://h/\\x1b[2J"),
        ("http://[::1", "(a malformed URL)"),
        ("/relative?token=secret", "/relative?token=…"),
    ],
)
def test_urls_are_redacted(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(st.text())
def test_what_is_printed_is_printable(text: str) -> None:
    """No control character, no mark that reorders text, no lone surrogate; one line."""
    shown = printable(text)
    assert not set(shown) & set("\x00\x07\x1b\n\r\x7f\x85\x9b\u202e\u2066\u2028")
    shown.encode()
    assert printable_lines(text).replace("\n", "").replace("\t", "") == printable(
        text.replace("\n", "").replace("\t", "")
    )


@given(st.text(max_size=50))
def test_redaction_never_raises(text: str) -> None:
    assert redact_url(f"https://user:hunter2@{text}").count("hunter2") <= text.count("hunter2")


# ── error answers ───────────────────────────────────────────────────────────────────────────────────────────


def failure(client: Client, path: str) -> ResponseError:
    with pytest.raises(ResponseError) as caught:
        client.request("GET", path)
    return caught.value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "(Not Found)"),
        (b"<html>", "(Not Found)"),
        (b'{"errors": 5}', "(Not Found)"),
        (b'{"errors": [5, null]}', "(Not Found)"),
        (b"[" * 50_000, "(Not Found)"),
        (b"1" * 5_000, "(Not Found)"),
        (b'{"errors": [{"code": "A", "message": "b"}]}', "(A: b)"),
        (b'{"errors": [{"code": "A"}, {"message": "b"}]}', "(A; b)"),
        (b'{"errors": [{"code": ["x"], "message": {"a": 1}}]}', '(["x"]: {"a": 1})'),
        (b'{"errors": [{"code": "A", "message": "\\u001b[2J\\n\\u202e"}]}', "(A: \\x1b[2J\\x0a\\u202e)"),
    ],
)
def test_what_an_error_answer_says(body: bytes, said: str, scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/x", Answer(404, body=body))
    error = failure(clients(scripted.host), "x")
    assert isinstance(error, NotFound)
    assert str(error) == f"GET {scripted.url}/v2/x answered 404 {said}"


def test_a_long_error_answer_is_cut(scripted: Origin, clients: Callable[..., Client]) -> None:
    """At most five errors, of a line or two each; a body of megabytes is not read."""
    errors = [{"code": "C" * 1000, "message": "m" * 1000}] * 30
    scripted.on("GET", "/v2/many", Answer(400, json={"errors": errors}))
    scripted.on("GET", "/v2/huge", Answer(400, {"Content-Length": str(10**9)}, then="hang"))
    client = clients(scripted.host)
    many = failure(client, "many")
    assert len(many.errors) == 5
    assert len(str(many)) < 5000
    assert failure(client, "huge").errors == ()


def test_codes_details_and_waits(scripted: Origin, clients: Callable[..., Client]) -> None:
    answer = {"errors": [{"code": "TOOMANYREQUESTS", "message": "slow", "detail": {"limit": 100}}]}
    scripted.on("GET", "/v2/x", Answer(429, {"Retry-After": "120"}, json=answer))
    scripted.on("GET", "/v2/y", Answer(503, {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}))
    scripted.on("GET", "/v2/z", Answer(599))
    client = clients(scripted.host)
    error = failure(client, "x")
    assert isinstance(error, RateLimited)
    assert error.retry_after == 120
    assert error.codes == {"TOOMANYREQUESTS"}
    assert json.loads(error.errors[0].detail) == {"limit": 100}
    assert "it asks to wait 120 s" in str(error)
    assert "it asks to wait Fri, 31 Dec 2100 23:59:59 GMT" in str(failure(client, "y"))
    assert str(failure(client, "z")).endswith("answered 599 (no reason given)")
