"""ROBUSTNESS, Transport: time limits, attempts and waits."""

from __future__ import annotations

import email.utils
import time
from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import CLOSE, HANG, RESET, Answer, Origin
from tests.faults.registry import digest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.program import Program

OK = Answer(200, json={})
TAGS = Answer(200, json={"name": "a", "tags": ["v1", "v2"]})
ONCE = {"SONAR_ATTEMPTS": "1"}


def test_limits_are_always_set(sonar: Program) -> None:
    """T2: "Connect, read and overall time limits are always set" (oras-py#214)."""
    settings = sonar("config", "show", "-o", "json").succeeded().out
    assert '"timeout"' in settings


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(HANG, id="silence"),
        pytest.param(Answer(200, json={}, drip_head=(1, 0.2)), id="headers byte by byte"),
        pytest.param(Answer(raw=b"HTTP/1.1 200 OK\r\nX-A: 1\r\n", then="hang"), id="headers without end"),
        pytest.param(Answer(200, json={"tags": []}, cut=5, then="hang"), id="body stops"),
        pytest.param(Answer(200, json={"tags": ["x" * 500]}, drip=(1, 0.2)), id="body byte by byte"),
        pytest.param(Answer(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 300, drip=(25, 0.1)), id="1xx for ever"),
    ],
)
def test_a_slow_peer_is_stopped(sonar: Program, scripted: Origin, answer: Answer) -> None:
    """T2: "A peer that sends one byte a second is stopped by a deadline for the headers and a stall limit for the
    body"."""
    scripted.default = answer
    outcome = sonar("tag", "ls", f"{scripted.host}/a", "--timeout", "1", environment=ONCE)
    outcome.failed("127.0.0.1")


def test_a_blob_that_stops_is_stopped(sonar: Program, scripted: Origin) -> None:
    """T2: "a stall limit for the body": a blob whose bytes stop coming, again and again."""
    data = b"x" * 100_000
    scripted.default = Answer(200, body=data, cut=10, then="hang")
    outcome = sonar("blob", "get", f"{scripted.host}/a@{digest(data)}", "--timeout", "0.5")
    assert outcome.code == 1, outcome.shown()
    outcome.reported("127.0.0.1")


def test_a_host_that_never_accepts(sonar: Program) -> None:
    """T2: "Connect … time limits": a listener whose backlog is full answers no SYN."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        try:
            outcome = sonar("check", f"127.0.0.1:{port}", "--timeout", "0.5", environment=ONCE)
        finally:
            for filler in fillers:
                filler.close()
    outcome.failed(f"127.0.0.1:{port}")


def test_a_tls_handshake_that_never_ends(sonar: Program, scripted: Origin) -> None:
    """T2: "Connect … time limits": a peer that accepts, and never says a word of TLS."""
    scripted.default = HANG
    sonar("check", f"https://{scripted.host}", "--timeout", "0.5", environment=ONCE).failed("127.0.0.1")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_faults_are_tried_again(sonar: Program, scripted: Origin, status: int) -> None:
    """T3: "Retried: … 408, 429, 500, 502, 503, 504"."""
    scripted.on("GET", "/v2/a/tags/list", Answer(status), TAGS)
    assert sonar("tag", "ls", f"{scripted.host}/a").succeeded().out == "v1\nv2\n"
    assert len(scripted.calls("GET", "/v2/a/tags/list")) == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(RESET, id="reset"),
        pytest.param(CLOSE, id="closed"),
        pytest.param(Answer(200, json={"tags": ["v1"] * 50}, drip_head=(8, 0), cut=9, then="reset"), id="body"),
        pytest.param(Answer(200, json={"tags": ["v1"] * 50}, cut=9, then="close"), id="short"),
        pytest.param(Answer(raw=b"HTTP/1.1 200 OK\r\nContent-", then="close"), id="half a head"),
    ],
)
def test_broken_connections_are_tried_again(sonar: Program, scripted: Origin, answer: Answer) -> None:
    """T3: "Retried: connection failures": before, in and after the headers of a GET."""
    scripted.on("GET", "/v2/a/tags/list", answer, TAGS)
    assert sonar("tag", "ls", f"{scripted.host}/a").succeeded().out == "v1\nv2\n"


@pytest.mark.parametrize("answer", [Answer(503), RESET], ids=["503", "reset"])
def test_five_attempts_and_no_more(sonar: Program, scripted: Origin, answer: Answer) -> None:
    """T3: "at most 5 attempts"."""
    scripted.default = answer
    sonar("tag", "ls", f"{scripted.host}/a").failed("127.0.0.1")
    assert len(scripted.calls("GET", "/v2/a/tags/list")) == 5


def test_attempts_can_be_set(sonar: Program, scripted: Origin) -> None:
    """T3: "at most 5 attempts", unless set."""
    scripted.default = Answer(503)
    sonar("tag", "ls", f"{scripted.host}/a", environment={"SONAR_ATTEMPTS": "2"}).failed("503")
    assert len(scripted.requests) == 2


@pytest.mark.parametrize(
    ("status", "code"), [(400, 1), (403, 4), (404, 3), (405, 1), (410, 1), (418, 1), (422, 1), (451, 1)]
)
def test_other_refusals_are_final(sonar: Program, scripted: Origin, status: int, code: int) -> None:
    """T3: "Not retried: other 4xx"."""
    scripted.default = Answer(status)
    sonar("tag", "ls", f"{scripted.host}/a").failed(str(status), code=code)
    assert len(scripted.calls("GET", "/v2/a/tags/list")) == 1


def test_a_manifest_put_is_sent_again(sonar: Program, scripted: Origin, tmp_path: Path) -> None:
    """T3: "those writes that are safe to repeat": a manifest by PUT is the same the second time."""
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}')
    found = digest(manifest.read_bytes())
    made = Answer(201, {"Docker-Content-Digest": found, "Location": f"/v2/a/manifests/{found}"})
    scripted.on("PUT", "/v2/a/manifests/v1", Answer(502), RESET, made)
    sonar("manifest", "put", f"{scripted.host}/a:v1", manifest).succeeded()
    sent = scripted.calls("PUT", "/v2/a/manifests/v1")
    assert [request.body for request in sent] == [manifest.read_bytes()] * 3


def test_retry_after_in_seconds(sonar: Program, scripted: Origin) -> None:
    """T4: "`Retry-After` in seconds … is honoured"."""
    scripted.on("GET", "/v2/a/tags/list", Answer(429, {"Retry-After": "1"}), TAGS)
    sonar("tag", "ls", f"{scripted.host}/a").succeeded()
    first, second = scripted.calls("GET", "/v2/a/tags/list")
    assert second.time - first.time >= 1


def test_retry_after_as_a_date(sonar: Program, scripted: Origin) -> None:
    """T4: "`Retry-After` … as a date is honoured" (RFC 9110, section 10.2.3)."""

    def busy(_: object) -> Answer:
        return Answer(503, {"Retry-After": email.utils.formatdate(int(time.time()) + 2, usegmt=True)})

    scripted.on("GET", "/v2/a/tags/list", busy, TAGS)
    sonar("tag", "ls", f"{scripted.host}/a").succeeded()
    first, second = scripted.calls("GET", "/v2/a/tags/list")
    assert second.time - first.time > 0.9


@pytest.mark.parametrize("value", ["3600", "Fri, 31 Dec 9999 23:59:59 GMT", "99999999999999999999"])
def test_retry_after_beyond_the_cap(sonar: Program, scripted: Origin, value: str) -> None:
    """T4: "up to a cap (60 s unless set); longer is an error that says how long the registry asked for"."""
    scripted.default = Answer(429, {"Retry-After": value})
    sonar("tag", "ls", f"{scripted.host}/a").failed("429", value)
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("value", ["soon", "-5", "", "Thu, 01 Jan 1970 00:00:00 GMT", "1e3", "\xff\xfe"])
def test_retry_after_that_means_nothing(sonar: Program, scripted: Origin, value: str) -> None:
    """T4: "`Retry-After` in seconds or as a date": anything else is not a reason to crash or to wait."""
    scripted.on("GET", "/v2/a/tags/list", Answer(503, {"Retry-After": value}), TAGS)
    sonar("tag", "ls", f"{scripted.host}/a").succeeded()
    assert len(scripted.calls("GET", "/v2/a/tags/list")) == 2


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="ssh"),
        pytest.param(b"HTTP/1.1 two hundred OK\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", id="header of 200 kB"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n", id="5000 headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", id="chunk"),
        pytest.param(b"\x00\x01\x02\x03", id="garbage"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", id="negative length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\n{}", id="two lengths"),
    ],
)
def test_an_answer_that_is_not_http(sonar: Program, scripted: Origin, raw: bytes) -> None:
    """T2/T3: whatever comes on the socket is a typed error, never a crash and never a hang."""
    scripted.default = Answer(raw=raw, then="close")
    sonar("tag", "ls", f"{scripted.host}/a", "--timeout", "2", environment=ONCE).failed("127.0.0.1")


def test_nobody_listens(sonar: Program, scripted: Origin) -> None:
    """T3: a connection that is refused is an error of one line that names the host."""
    scripted.close()
    sonar("check", scripted.host).failed(scripted.host, "refused")
