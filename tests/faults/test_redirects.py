"""ROBUSTNESS, Transport: redirects, and what must not go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import Answer, Origin
from tests.faults.registry import behind, digest, manifest_answer, unauthorized
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_core.testing.certificates import Authority
    from tests.faults.program import Outcome, Program

BLOB = b"a blob behind a redirect"
ALICE = "Basic YWxpY2U6d29uZGVybGFuZC03ZjNh"
PATH = f"/v2/a/blobs/{digest(BLOB)}"
SECRETS = ("YWxpY2U6", "wonderland-7f3a")


def get_blob(sonar: Program, host: str, *options: str) -> Outcome:
    return sonar("blob", "get", f"{host}/a@{digest(BLOB)}", *options)


def assert_no_secret(origin: Origin) -> None:
    """Nothing that came to `origin` holds a credential in any place."""
    for request in origin.requests:
        everything = f"{request.target} {request.headers} {request.body!r}"
        assert not any(secret in everything for secret in SECRETS), everything
        assert request.header("Authorization") is None
        assert request.header("Cookie") is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_stay_at_their_origin(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin], status: int
) -> None:
    """T5: "credentials … go to the exact origin (scheme, host, port) they were made for and to no other"
    (GHSA-qvqc-4c52-x6qp, GHSA-vh4v-2xq2-g5cg)."""
    other = origins()
    other.on("GET", "/signed", Answer(200, body=BLOB))
    away = Answer(status, {"Location": f"{other.url}/signed?sig=x"})
    scripted.on("GET", PATH, behind(ALICE, away, 'Basic realm="r"'))
    sonar.login(scripted.host)
    assert get_blob(sonar, scripted.host).succeeded().stdout == BLOB
    assert len(other.requests) == 1
    assert_no_secret(other)


def test_a_401_from_elsewhere_is_not_answered(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """T5: "A 401 from a redirect's target is not answered with the origin's credentials"
    (go-containerregistry#2337)."""
    other = origins()
    other.default = unauthorized('Basic realm="give me"')
    scripted.on("GET", PATH, behind(ALICE, Answer(307, {"Location": f"{other.url}/x"}), 'Basic realm="r"'))
    sonar.login(scripted.host)
    get_blob(sonar, scripted.host).failed("401", code=4)
    assert_no_secret(other)


def test_a_bearer_challenge_from_elsewhere_sends_no_token_request(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin]
) -> None:
    """T5: "A 401 from a redirect's target is not answered": its realm is not asked for a token either."""
    other, realm = origins(), origins()
    other.default = unauthorized(f'Bearer realm="{realm.url}/token",service="s"')
    realm.default = Answer(200, json={"token": "t"})
    scripted.on("GET", PATH, Answer(307, {"Location": f"{other.url}/x"}))
    sonar.login(scripted.host)
    get_blob(sonar, scripted.host).failed("401", code=4)
    assert realm.requests == []
    assert_no_secret(other)


def test_another_port_of_the_same_host_is_another_origin(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin]
) -> None:
    """T5: "the exact origin (scheme, host, port)": redirected there and back, the way back has them again or not,
    the way there never."""
    other = origins()
    other.on("GET", "/x", Answer(302, {"Location": f"{scripted.url}/final"}))
    scripted.on("GET", PATH, behind(ALICE, Answer(302, {"Location": f"{other.url}/x"}), 'Basic realm="r"'))
    scripted.on("GET", "/final", Answer(200, body=BLOB))
    sonar.login(scripted.host)
    get_blob(sonar, scripted.host).succeeded()
    assert_no_secret(other)


def test_a_relative_redirect(sonar: Program, scripted: Origin) -> None:
    """T5: "we follow redirects ourselves": a Location may be relative (RFC 9110, section 10.2.2)."""
    scripted.on("GET", PATH, Answer(302, {"Location": "../../../files/x?y=1"}))
    scripted.on("GET", "/files/x?y=1", Answer(200, body=BLOB))
    assert get_blob(sonar, scripted.host).succeeded().stdout == BLOB


def test_ten_redirects_are_followed_and_no_more(sonar: Program, scripted: Origin) -> None:
    """T5: "Redirects: at most 10"."""
    scripted.on("GET", PATH, Answer(302, {"Location": "/1"}))
    for number in range(1, 10):
        scripted.on("GET", f"/{number}", Answer(302, {"Location": f"/{number + 1}"}))
    scripted.on("GET", "/10", Answer(200, body=BLOB))
    get_blob(sonar, scripted.host).succeeded()

    scripted.on("GET", "/10", Answer(302, {"Location": "/11"}))
    scripted.forget()
    get_blob(sonar, scripted.host).failed("redirects", "10")
    assert len(scripted.requests) == 11


def test_a_redirect_to_itself_ends(sonar: Program, scripted: Origin) -> None:
    """T5: "Redirects: at most 10"."""
    scripted.on("GET", PATH, Answer(302, {"Location": PATH}))
    get_blob(sonar, scripted.host).failed("redirects")
    assert len(scripted.requests) <= 11


def test_https_never_leads_to_http(
    sonar: Program, scripted_tls: Origin, scripted: Origin, authority: Authority
) -> None:
    """T5: "never from https to http"."""
    scripted.default = Answer(200, body=BLOB)
    scripted_tls.on("GET", PATH, Answer(302, {"Location": f"{scripted.url}/plain"}))
    get_blob(sonar, f"https://{scripted_tls.host}", "--ca-file", str(authority.cert)).failed("http")
    assert scripted.requests == []


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1:70/x",
        "data:,x",
        "javascript:alert(1)",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://\x00/",
    ],
)
def test_a_redirect_to_no_http_address(sonar: Program, scripted: Origin, target: str) -> None:
    """T5: "we follow redirects ourselves": where it leads is judged; what can't be followed is a typed error."""
    scripted.on("GET", PATH, Answer(302, {"Location": target}))
    get_blob(sonar, scripted.host).failed()
    assert len(scripted.requests) == 1


def test_a_redirect_with_user_info(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """T5: a Location with user info neither sends it nor shows it."""
    other = origins()
    other.default = Answer(200, body=BLOB)
    scripted.on("GET", PATH, Answer(302, {"Location": f"http://eve:hunter2-secret@{other.host}/x"}))
    outcome = sonar("blob", "get", f"{scripted.host}/a@{digest(BLOB)}", "-v")
    assert outcome.code in (0, 1), outcome.shown()
    assert "hunter2-secret" not in outcome.out + outcome.err
    assert [request.header("Authorization") for request in other.requests] in ([], [None])


def test_a_redirect_without_location(sonar: Program, scripted: Origin) -> None:
    """T5: a 302 that says nothing is an error answer."""
    scripted.on("GET", PATH, Answer(302))
    get_blob(sonar, scripted.host).failed("302")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_put_is_not_sent_again_to_another_origin(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin], tmp_path: Path, status: int
) -> None:
    """T5: "urllib3 forwards custom headers and re-sends a PUT body on a 307": we don't, elsewhere."""
    other = origins()
    other.default = Answer(201)
    manifest = tmp_path / "m.json"
    manifest.write_bytes(images.image().manifest.data)
    away = Answer(status, {"Location": f"{other.url}/v2/a/manifests/v1"})
    scripted.on("PUT", "/v2/a/manifests/v1", behind(ALICE, away, 'Basic realm="r"'))
    sonar.login(scripted.host)
    sonar("manifest", "put", f"{scripted.host}/a:v1", manifest).failed()
    assert all(request.body == b"" for request in other.requests)
    assert_no_secret(other)


def test_a_manifest_may_be_redirected(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """T5: a redirect is followed for manifests too, and the digest asked for still decides."""
    other, what = origins(), images.image()
    other.on("GET", "/m", manifest_answer(what.manifest))
    path = f"/v2/a/manifests/{what.digest}"
    scripted.on("GET|HEAD", path, Answer(307, {"Location": f"{other.url}/m"}))
    outcome = sonar("manifest", "get", "--raw", f"{scripted.host}/a@{what.digest}").succeeded()
    assert outcome.stdout == what.manifest.data


def test_the_wrong_bytes_behind_a_redirect(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """N2: "The digest asked for is compared with a hash over the bytes that came", after a redirect too."""
    other = origins()
    other.default = Answer(200, {"Docker-Content-Digest": digest(BLOB)}, b"!" * len(BLOB))
    scripted.on("GET", PATH, Answer(302, {"Location": f"{other.url}/x"}))
    outcome = get_blob(sonar, scripted.host)
    assert outcome.code == 5
    outcome.reported("digest")
