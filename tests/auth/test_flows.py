"""The flows of Basic and Bearer, driven by hand: they do no I/O, so nothing is needed but what they yield."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from sonar_core.auth_types import AuthContext, Credentials, Grant, TokenAnswer, TokenRequest
from sonar_core.challenge import Challenge
from sonar_core.errors import AuthError
from sonar_core.reference import Registry
from sonar_plugins.basic import flow as basic
from sonar_plugins.bearer import flow as bearer

REALM = "https://auth.example.com/token"
ALICE = Credentials("alice", "wonder:land", source="the test")
SCOPES = frozenset({"repository:b:pull", "repository:a:pull,push"})
ROBOT = Credentials("<token>", identity_token="refresh-me", source="the test")


def context(
    credentials: Credentials | None = None,
    scopes: frozenset[str] = SCOPES,
    *,
    realm: str = REALM,
    service: str = "registry.example.com",
) -> AuthContext:
    challenge = Challenge("bearer", {"realm": realm, "service": service})
    return AuthContext(challenge, Registry.parse("registry.example.com"), scopes, credentials)


def answer(status: int = 200, *, date: str = "", **fields: Any) -> TokenAnswer:
    return TokenAnswer(status, {"date": date} if date else {}, json.dumps(fields).encode())


def drive(what: AuthContext, *answers: TokenAnswer) -> tuple[list[TokenRequest], Grant]:
    """What the flow asks for when it gets these answers, and what it makes of them."""
    flow, asked = bearer.flow(what), []
    try:
        asked.append(next(flow))
        for one in answers:
            asked.append(flow.send(one))
    except StopIteration as stop:
        return asked, stop.value
    raise AssertionError(f"the flow wants more: {asked[-1]}")


def query(request: TokenRequest) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(request.url).query)


# ── Basic ───────────────────────────────────────────────────────────────────────────────────────────────


def basic_grant(credentials: Credentials | None) -> Grant:
    with pytest.raises(StopIteration) as stop:
        next(basic.flow(context(credentials)))
    granted = stop.value.value
    assert isinstance(granted, Grant)
    return granted


def test_basic_is_user_and_password_for_everything_and_for_good() -> None:
    granted = basic_grant(Credentials("alïce", "a:b ü"))
    kind, _, value = granted.headers["Authorization"].partition(" ")
    assert (kind, base64.b64decode(value).decode()) == ("Basic", "alïce:a:b ü")
    assert (granted.expires_in, granted.scopes) == (None, None)


def test_basic_without_credentials_proves_nothing() -> None:
    assert basic_grant(None).headers == {}


@pytest.mark.parametrize(
    ("credentials", "words"),
    [(Credentials("a:b", "c", source="here"), "colon"), (Credentials(token="t", source="here"), "token")],
)
def test_basic_refuses_what_it_cannot_carry(credentials: Credentials, words: str) -> None:
    with pytest.raises(AuthError, match=f"here.*{words}|{words}.*here"):
        next(basic.flow(context(credentials)))


# ── Bearer ──────────────────────────────────────────────────────────────────────────────────────────────


def test_anonymous_get_with_a_scope_parameter_for_each() -> None:
    """distribution, "Token Authentication": `scope` may be given several times."""
    (asked,), granted = drive(context(), answer(token="t0"))
    assert asked.url.startswith(f"{REALM}?")
    assert (asked.form, asked.headers) == (None, {})
    assert query(asked) == [
        ("service", "registry.example.com"),
        ("scope", "repository:a:pull,push"),
        ("scope", "repository:b:pull"),
        ("client_id", "sonar"),
    ]
    assert granted == Grant({"Authorization": "Bearer t0"}, expires_in=60.0, scopes=SCOPES)


def test_a_user_is_sent_by_basic_and_named_as_account() -> None:
    (asked,), _ = drive(context(ALICE), answer(token="t0"))
    assert ("account", "alice") in query(asked)
    assert asked.headers["Authorization"] == "Basic " + base64.b64encode(b"alice:wonder:land").decode()
    assert "wonder" not in asked.url


def test_the_realms_own_query_stays() -> None:
    (asked,), _ = drive(context(realm=f"{REALM}?tenant=7#x", scopes=frozenset(), service=""), answer(token="t"))
    assert asked.url == f"{REALM}?tenant=7&client_id=sonar"


@pytest.mark.parametrize("status", [404, 405])
def test_a_password_is_posted_where_get_is_not_offered(status: int) -> None:
    """distribution, "Oauth2 Token Authentication" (RFC 6749, section 4.3)."""
    (_, posted), granted = drive(context(ALICE), answer(status), answer(access_token="t1"))
    assert (posted.url, posted.headers) == (REALM, {})
    assert posted.form == {
        "grant_type": "password",
        "username": "alice",
        "password": "wonder:land",
        "service": "registry.example.com",
        "client_id": "sonar",
        "scope": "repository:a:pull,push repository:b:pull",
    }
    assert granted.headers == {"Authorization": "Bearer t1"}


def test_an_identity_token_is_posted() -> None:
    """RFC 6749, section 6."""
    (posted,), granted = drive(context(ROBOT), answer(access_token="t2", expires_in=300))
    assert posted.form is not None
    assert (posted.form["grant_type"], posted.form["refresh_token"]) == ("refresh_token", "refresh-me")
    assert "password" not in posted.form
    assert "refresh-me" not in posted.url
    assert granted.expires_in == 300


@pytest.mark.parametrize("status", [404, 405])
def test_where_post_is_not_offered_the_identity_token_is_a_password(status: int) -> None:
    (_, got), _ = drive(context(ROBOT), answer(status), answer(token="t3"))
    assert got.form is None
    assert got.headers["Authorization"] == "Basic " + base64.b64encode(b"<token>:refresh-me").decode()


def test_a_registry_token_is_sent_as_it_is() -> None:
    asked, granted = drive(context(Credentials(token="ready-made")))
    assert asked == []
    assert granted == Grant({"Authorization": "Bearer ready-made"}, expires_in=None, scopes=None)


@pytest.mark.parametrize(
    ("fields", "life"),
    [
        ({}, 60),
        ({"expires_in": 3}, 3),
        ({"expires_in": "300"}, 300),
        ({"expires_in": 299.5}, 299.5),
        ({"expires_in": 0}, 60),
        ({"expires_in": -1}, 60),
        ({"expires_in": "soon"}, 60),
        ({"expires_in": True}, 60),
        ({"expires_in": None}, 60),
        ({"expires_in": 10**400}, 60),
        ({"expires_in": 10**12}, 7 * 24 * 3600),
        ({"expires_in": 300, "issued_at": "2026-01-02T03:04:00Z"}, 240),
        ({"expires_in": 300, "issued_at": "2026-01-02T04:03:00.123456789+01:00"}, 180.123456),
        ({"expires_in": 300, "issued_at": "2026-01-02T03:09:00Z"}, 300),  # in the future: a wrong clock
        ({"expires_in": 300, "issued_at": "2020-01-02T03:04:00Z"}, 300),  # it would be dead: a wrong clock
        ({"expires_in": 300, "issued_at": "yesterday"}, 300),
        ({"expires_in": 300, "issued_at": 7}, 300),
    ],
)
def test_how_long_a_token_lives(fields: dict[str, Any], life: float) -> None:
    """`expires_in` absent means 60 s; it counts from `issued_at`, by the server's own clock."""
    _, granted = drive(context(), answer(token="t", date="Fri, 02 Jan 2026 03:05:00 GMT", **fields))
    assert granted.expires_in == pytest.approx(life)


@pytest.mark.parametrize(
    "realm",
    ["", "auth.example.com", "/token", "ftp://auth.example.com/", "https://", "http://[::1", "https://e:v@x.example/"],
)
def test_a_realm_that_is_no_address(realm: str) -> None:
    with pytest.raises(AuthError, match=r"registry\.example\.com names"):
        drive(context(realm=realm))


def test_user_info_in_a_realm_is_refused_and_not_shown() -> None:
    with pytest.raises(AuthError, match="user info") as caught:
        drive(context(realm="https://eve:s3cret@auth.example.com/token"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "two words", "a\nb", "ü", None, 7, ["t"]])
def test_a_token_that_no_header_can_carry(token: object) -> None:
    with pytest.raises(AuthError, match=r"token server auth\.example\.com"):
        drive(context(), answer(token=token))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b'{"token": NaN}', b"[" * 5000, b"\xff"])
def test_an_answer_that_is_no_token(body: bytes) -> None:
    with pytest.raises(AuthError, match=r"token server auth\.example\.com of registry\.example\.com"):
        drive(context(), TokenAnswer(200, {}, body))


def test_a_refusal_names_the_source_of_the_credentials_and_what_to_do() -> None:
    refused = answer(401, errors=[{"code": "UNAUTHORIZED", "message": "no such \x1b[31muser"}])
    with pytest.raises(AuthError) as caught:
        drive(context(ALICE), refused)
    text = str(caught.value)
    for words in ("from the test", "401", r"no such \x1b[31muser", "sonar auth login registry.example.com"):
        assert words in text


def test_a_refusal_of_nobody_says_how_to_log_in() -> None:
    with pytest.raises(AuthError, match=r"no credentials were found.*sonar auth login"):
        drive(context(), answer(401))


def test_a_server_that_repeats_the_secret_is_not_quoted() -> None:
    for who in (ALICE, ROBOT):
        said = f"bad: {who.password}{who.identity_token}"
        with pytest.raises(AuthError) as caught:
            drive(context(who), answer(400, error="invalid_grant", error_description=said))
        assert "invalid_grant" in str(caught.value)
        assert said not in str(caught.value)


def test_no_secret_in_any_repr() -> None:
    """ROBUSTNESS: "No secret in a repr"."""
    secrets = ("wonder:land", base64.b64encode(b"alice:wonder:land").decode(), "refresh-me", "t-secret")
    shown = [repr(context(ALICE)), repr(context(ROBOT)), repr(answer(token="t-secret"))]
    for who in (ALICE, ROBOT):
        requests, granted = drive(context(who), answer(404), answer(token="t-secret"))
        shown += [repr(requests), repr(granted)]
    assert not [secret for secret in secrets if secret in "".join(shown)]
