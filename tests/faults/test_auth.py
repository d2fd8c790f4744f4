"""ROBUSTNESS, Authentication: challenges, realms and tokens, on two origins."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.testing.scripted import Answer, Origin, Request
from tests.faults.program import install_plugin
from tests.faults.registry import behind, manifest_answer, unauthorized
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.testing.certificates import Authority
    from tests.faults.program import Outcome, Program

PASSWORD = "wonderland-7f3a"
ALICE = "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
TAGS = Answer(200, json={"name": "a", "tags": ["v1"]})
PATH = "/v2/a/tags/list"
TOKEN = "token-5c1d9e"
IDENTITY = "identity-8b2f"
SECRETS = (PASSWORD, ALICE.partition(" ")[2], TOKEN, IDENTITY)


def tags(sonar: Program, origin: Origin, *options: str, **named: Any) -> Outcome:
    return sonar("tag", "ls", f"{origin.host}/a", *options, **named)


def bearer(origin: Origin, realm: Origin, *, token: str = TOKEN, scope: str = "repository:a:pull") -> None:
    """The registry wants `token`, which `realm` has to give."""
    challenge = f'Bearer realm="{realm.url}/token",service="s",scope="{scope}"'
    origin.default = behind(f"Bearer {token}", TAGS, challenge)


def tokens(realm: Origin, **fields: Any) -> None:
    """The token server gives TOKEN."""
    realm.on("GET", "/token", Answer(200, json={"token": TOKEN, **fields}))


# ── challenges ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(['Basic realm="r"'], id="plain"),
        pytest.param(["Basic realm=r"], id="unquoted"),
        pytest.param(["basic REALM=r"], id="case"),
        pytest.param(["Basic"], id="no realm"),
        pytest.param(['Negotiate, Basic realm="r"'], id="two in one"),
        pytest.param(["Negotiate YWJj==", 'Basic realm="r"'], id="two headers"),
        pytest.param(['Digest realm="a, Basic b", nonce="x\\"y", Basic realm="r"'], id="quoted comma and escape"),
        pytest.param(['Basic realm="r", charset="UTF-8"'], id="parameter"),
        pytest.param([',, ,Basic realm="r",,'], id="empty elements"),
        pytest.param(['Acme a=b c=d, Basic realm="r"'], id="malformed before"),
        pytest.param(['Basic realm="r'], id="quote not closed"),
    ],
)
def test_challenges_of_every_shape(sonar: Program, scripted: Origin, values: list[str]) -> None:
    """A1: "Challenges: several in one header or in several headers; quoted commas and escapes"
    (RFC 9110, section 11.6.1)."""

    def answer(request: Request) -> Answer:
        return (
            TAGS if request.header("Authorization") == ALICE else Answer(401, [("WWW-Authenticate", v) for v in values])
        )

    scripted.default = answer
    sonar.login(scripted.host)
    assert tags(sonar, scripted).succeeded().out == "v1\n"


@pytest.mark.parametrize(
    "value",
    [
        "", ",", '"', "=", "Bearer", "Bearer realm", "Bearer realm=", 'Bearer realm=""', "Bearer realm=\"x",
        'Bearer realm="not a url"', 'Bearer realm="ftp://x/"', 'Bearer realm="//"', "Acme x=y", "\\" * 5000,
        'Bearer realm="http://[::1/token"', 'Bearer realm="/relative"', "Basic " * 3000, "a=" * 8000, '"' * 9000,
    ],
)  # fmt: skip
def test_a_malformed_challenge(sonar: Program, scripted: Origin, value: str) -> None:
    """A1: "anything malformed is an error or is passed over, never a crash"."""
    scripted.default = unauthorized(value)
    tags(sonar, scripted).failed(code=4)


# ── realms ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plain_realm_of_an_https_registry(
    sonar: Program, scripted_tls: Origin, origins: Callable[..., Origin], authority: Authority
) -> None:
    """A2: "Realm: https unless the registry itself is http"."""
    realm = origins()
    tokens(realm)
    bearer(scripted_tls, realm)
    sonar.login(scripted_tls.host)
    outcome = sonar("tag", "ls", f"https://{scripted_tls.host}/a", "--ca-file", authority.cert)
    outcome.failed("http", code=4)
    assert realm.connections == 0


def test_a_realm_with_user_info(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """A2: "no userinfo"."""
    realm = origins()
    tokens(realm)
    challenge = f'Bearer realm="http://eve:hunter2-secret@{realm.host}/token",service="s"'
    scripted.default = unauthorized(challenge)
    outcome = tags(sonar, scripted)
    assert outcome.code in (1, 4), outcome.shown()
    outcome.reported()
    assert "hunter2-secret" not in outcome.err
    assert realm.connections == 0


@pytest.mark.parametrize("name", ["token", "access_token"])
@pytest.mark.parametrize("login", [False, True])
def test_a_realm_on_another_host(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin], name: str, login: bool
) -> None:
    """A2: "cross-host is normal (Docker Hub)"; "Answer: `token` or `access_token`"."""
    realm = origins()
    realm.on("GET", "/token", Answer(200, json={name: TOKEN}))
    bearer(scripted, realm)
    if login:
        sonar.login(scripted.host)
    assert tags(sonar, scripted).succeeded().out == "v1\n"
    (asked,) = realm.requests
    assert asked.header("Authorization") == (ALICE if login else None)
    assert asked.query["service"] == ["s"]
    assert asked.query["scope"] == ["repository:a:pull"]


def test_redirects_of_a_realm_get_no_credentials(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin]
) -> None:
    """A2: "its redirects get no credentials"."""
    realm, other = origins(), origins()
    realm.on("GET", "/token", Answer(307, {"Location": f"{other.url}/elsewhere"}))
    other.default = Answer(200, json={"token": TOKEN})
    bearer(scripted, realm)
    sonar.login(scripted.host)
    tags(sonar, scripted)
    assert realm.requests[0].header("Authorization") == ALICE
    for request in other.requests:
        assert request.header("Authorization") is None
        assert not any(secret in f"{request.target}{request.headers}{request.body!r}" for secret in SECRETS)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(200, json={}), id="no token"),
        pytest.param(Answer(200, json={"token": ""}), id="empty"),
        pytest.param(Answer(200, json={"token": None, "access_token": None}), id="null"),
        pytest.param(Answer(200, json={"token": 7}), id="number"),
        pytest.param(Answer(200, json={"token": "a\r\nX-Evil: 1"}), id="line end"),
        pytest.param(Answer(200, json={"token": "tök\u2028en"}), id="not ASCII"),
        pytest.param(Answer(200, json=[]), id="list"),
        pytest.param(Answer(200, json=None), id="null document"),
        pytest.param(Answer(200, body=b"not json"), id="no JSON"),
        pytest.param(Answer(200, body=b"[" * 100_000), id="deep"),
        pytest.param(Answer(200, body=b""), id="nothing"),
        pytest.param(Answer(204), id="204"),
        pytest.param(Answer(401, json={"details": "incorrect username or password"}), id="401"),
        pytest.param(Answer(403), id="403"),
        pytest.param(Answer(404), id="404"),
        pytest.param(Answer(400, body=b"<html>"), id="400"),
    ],
)
def test_a_token_server_that_gives_none(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin], answer: Answer
) -> None:
    """A2: "Answer: `token` or `access_token`": anything else is an error in one line, and no header."""
    realm = origins()
    realm.default = answer
    bearer(scripted, realm, token="never")
    outcome = tags(sonar, scripted).failed(realm.host, code=4)
    assert len(outcome.err) < 2000
    assert all(request.header("X-Evil") is None for request in scripted.requests)


@pytest.mark.parametrize("expiry", [None, 0, -5, "300", "soon", 1e300, [], True, 10**40])
def test_any_expiry(sonar: Program, scripted: Origin, origins: Callable[..., Origin], expiry: object) -> None:
    """A2: "`expires_in` absent means 60 s", and one that is nonsense is no crash."""
    realm = origins()
    tokens(realm, **({} if expiry is None else {"expires_in": expiry}))
    bearer(scripted, realm)
    assert tags(sonar, scripted).succeeded().out == "v1\n"


def test_a_token_is_renewed_before_it_runs_out(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin]
) -> None:
    """A2: "refreshed before it runs out": pages that take longer than a token lives never see a 401."""
    realm = origins()
    life = 2
    given: list[str] = []

    def grant(_: Request) -> Answer:
        given.append(f"{TOKEN}-{len(given)}")
        return Answer(200, json={"token": given[-1], "expires_in": life})

    realm.on("GET", "/token", grant)
    challenge = f'Bearer realm="{realm.url}/token",service="s",scope="repository:a:pull"'

    def page(request: Request) -> Answer:
        if not given or request.header("Authorization") != f"Bearer {given[-1]}":
            return unauthorized(challenge)
        number = int(request.query.get("p", ["0"])[0])
        link = {"Link": f'<{PATH}?p={number + 1}>; rel="next"'} if number < 4 else {}
        return Answer(200, link, json={"tags": [f"t{number}"]}, delay=1)

    scripted.default = page
    assert tags(sonar, scripted).succeeded().out.split() == [f"t{n}" for n in range(5)]
    assert len(given) >= 2
    assert len([r for r in scripted.requests if r.header("Authorization") is None]) == 1


def test_one_token_for_many_pages(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """A2: a token is kept: a list of 100 pages costs one token request."""
    realm = origins()
    tokens(realm)

    def page(request: Request) -> Answer:
        number = int(request.query.get("p", ["0"])[0])
        link = {"Link": f'<{PATH}?p={number + 1}>; rel="next"'} if number < 99 else {}
        return Answer(200, link, json={"tags": [f"t{number}"]})

    def guarded(request: Request) -> Answer:
        good = request.header("Authorization") == f"Bearer {TOKEN}"
        return page(request) if good else unauthorized(f'Bearer realm="{realm.url}/token",service="s"')

    scripted.default = guarded
    assert len(tags(sonar, scripted).succeeded().out.split()) == 100
    assert len(realm.requests) == 1
    assert len(scripted.requests) <= 102


# ── a client that keeps failing ─────────────────────────────────────────────────────────────────────────


def test_at_most_two_tokens(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """A3: "A client that keeps failing asks for at most two tokens"."""
    realm = origins()
    tokens(realm)
    bearer(scripted, realm, token="another")
    tags(sonar, scripted).failed("401", code=4)
    assert 1 <= len(realm.requests) <= 2
    assert len(scripted.requests) <= 4


def test_insufficient_scope_is_answered_once(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """A3: "`insufficient_scope` is answered once with the wider scope" (RFC 6750, section 3.1)."""
    realm = origins()

    def grant(request: Request) -> Answer:
        wide = any("pull,push" in scope for scope in request.query.get("scope", []))
        return Answer(200, json={"token": TOKEN if wide else "narrow"})

    realm.on("GET", "/token", grant)
    scope = 'scope="repository:a:pull,push"'
    narrow = f'Bearer realm="{realm.url}/token",service="s",scope="repository:a:pull"'
    wide = f'Bearer realm="{realm.url}/token",service="s",{scope},error="insufficient_scope"'

    def answer(request: Request) -> Answer:
        header = request.header("Authorization")
        if header == f"Bearer {TOKEN}":
            return TAGS
        return unauthorized(wide if header else narrow)

    scripted.default = answer
    assert tags(sonar, scripted).succeeded().out == "v1\n"
    assert len(realm.requests) == 2


def test_insufficient_scope_for_ever(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """A3: "at most two tokens": a registry that asks for ever wider scopes is not followed for ever."""
    realm = origins()
    tokens(realm)
    count = iter(range(1000))

    def answer(_: Request) -> Answer:
        scope = f"repository:a:pull,x{next(count)}"
        return unauthorized(f'Bearer realm="{realm.url}/token",service="s",scope="{scope}",error="insufficient_scope"')

    scripted.default = answer
    tags(sonar, scripted).failed("401", code=4)
    assert len(realm.requests) <= 2


def test_a_wrong_password_is_sent_once(sonar: Program, scripted: Origin) -> None:
    """A3: a password that is refused is not tried again and again: it locks accounts."""
    scripted.default = unauthorized('Basic realm="r"')
    sonar.login(scripted.host)
    tags(sonar, scripted).failed("401", "config.json", code=4)
    assert len([r for r in scripted.requests if r.header("Authorization")]) == 1


def test_a_scope_for_something_else_is_not_asked_for(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin]
) -> None:
    """A3: the scope asked for covers what is done, whatever repository the challenge names."""
    realm = origins()
    tokens(realm)
    bearer(scripted, realm, scope="repository:victim/secret:pull,push,delete")
    tags(sonar, scripted)
    asked = realm.requests[0].query.get("scope", [])
    assert "repository:a:pull" in asked


# ── identity tokens, ECR, GCR, GHCR ─────────────────────────────────────────────────────────────────────


def test_an_identity_token_is_posted(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """A4: "`identitytoken` in the docker config → POST with `grant_type=refresh_token`"."""
    realm = origins()
    realm.on("POST", "/token", Answer(200, json={"access_token": TOKEN}))
    bearer(scripted, realm)
    sonar.docker_config({"auths": {scripted.host: {"auth": "", "identitytoken": IDENTITY}}})
    assert tags(sonar, scripted).succeeded().out == "v1\n"
    (asked,) = realm.requests
    assert asked.form["grant_type"] == ["refresh_token"]
    assert asked.form["refresh_token"] == [IDENTITY]
    assert asked.form["service"] == ["s"]
    assert asked.form["scope"] == ["repository:a:pull"]
    assert "client_id" in asked.form
    assert IDENTITY not in asked.target


@pytest.mark.parametrize("status", [404, 405])
def test_without_post_it_is_get(sonar: Program, scripted: Origin, origins: Callable[..., Origin], status: int) -> None:
    """A4: "where that is 404 or 405 → GET"."""
    realm = origins()
    realm.on("POST", "/token", Answer(status))
    tokens(realm)
    bearer(scripted, realm)
    entry = {"auth": base64.b64encode(f"alice:{PASSWORD}".encode()).decode(), "identitytoken": IDENTITY}
    sonar.docker_config({"auths": {scripted.host: entry}})
    assert tags(sonar, scripted).succeeded().out == "v1\n"
    assert [request.method for request in realm.requests] == ["POST", "GET"]


def test_an_identity_token_that_was_revoked(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """A4: the error of a refused identity token names where it came from, and shows nothing of it."""
    realm = origins()
    realm.on("POST", "/token", Answer(401, json={"error": "invalid_grant", "echo": IDENTITY}))
    bearer(scripted, realm)
    sonar.docker_config({"auths": {scripted.host: {"identitytoken": IDENTITY}}})
    outcome = tags(sonar, scripted).failed("config.json", code=4)
    assert IDENTITY not in outcome.err


def test_a_401_without_challenge_uses_what_the_base_said(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin]
) -> None:
    """A4: "GCR may answer 401 with no challenge (use what `/v2/` said)"."""
    realm = origins()
    tokens(realm)
    scripted.on("GET", "/v2/", unauthorized(f'Bearer realm="{realm.url}/token",service="s"'))

    def answer(request: Request) -> Answer:
        return TAGS if request.header("Authorization") == f"Bearer {TOKEN}" else Answer(401)

    scripted.on("GET", PATH, answer)
    assert tags(sonar, scripted).succeeded().out == "v1\n"


def test_a_401_without_any_challenge(sonar: Program, scripted: Origin) -> None:
    """A4: "401 with no challenge", and `/v2/` has none either: an error, and no loop."""
    scripted.default = Answer(401)
    sonar.login(scripted.host)
    tags(sonar, scripted).failed("401", code=4)
    assert len(scripted.requests) <= 4


def test_a_403_names_where_the_credentials_came_from(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin]
) -> None:
    """A4: "stale credentials give 403 at GHCR even on public images: the error names where the credentials came
    from"."""
    realm = origins()
    realm.on("GET", "/token", Answer(403, json={"errors": [{"code": "DENIED", "message": "denied"}]}))
    bearer(scripted, realm)
    sonar.login(scripted.host)
    tags(sonar, scripted).failed("403", "config.json", code=4)

    realm.on("GET", "/token", Answer(200, json={"token": TOKEN}))
    scripted.default = behind("never", TAGS, "x")
    challenge = f'Bearer realm="{realm.url}/token",service="s"'
    scripted.default = lambda r: Answer(403) if r.header("Authorization") else unauthorized(challenge)
    tags(sonar, scripted).failed("403", "config.json", code=4)


def test_without_credentials_the_hint_is_to_log_in(sonar: Program, scripted: Origin) -> None:
    """A4: 401 with nothing to answer it: the error says what to do."""
    scripted.default = unauthorized('Basic realm="r"')
    tags(sonar, scripted).failed("sonar auth login", code=4)
    assert all(request.header("Authorization") is None for request in scripted.requests)


# ── where credentials are found ─────────────────────────────────────────────────────────────────────────


def _auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _who(sonar: Program, scripted: Origin, repository: str = "a", **environment: str) -> str:
    """The user and password that the registry is sent, "" where none is."""
    scripted.default = lambda r: (
        Answer(200, json={"tags": []}) if r.header("Authorization") else unauthorized("Basic realm=r")
    )
    scripted.forget()
    sonar("tag", "ls", f"{scripted.host}/{repository}", environment=environment)
    header = scripted.requests[-1].header("Authorization")
    return base64.b64decode(header.partition(" ")[2]).decode() if header else ""


def test_keys_of_every_shape(sonar: Program, scripted: Origin) -> None:
    """A5: "docker's `config.json`: `auths`": a key may be a host, a URL, a URL with /v1/ or /v2/."""
    for key in ("{}", "http://{}", "https://{}", "https://{}/v1/", "https://{}/v2/", "{}/"):
        sonar.docker_config({"auths": {key.format(scripted.host): {"auth": _auth("u", key)}}})
        assert _who(sonar, scripted) == f"u:{key}", key


def test_keys_with_a_repository_most_specific_first(sonar: Program, scripted: Origin) -> None:
    """A5: "Keys with a repository path count, most specific first"."""
    keys = {"": "host", "/team": "team", "/team/app": "app", "/team/ap": "no prefix of a name"}
    sonar.docker_config({"auths": {scripted.host + k: {"auth": _auth(v, "p")} for k, v in keys.items()}})
    assert _who(sonar, scripted, "team/app") == "app:p"
    assert _who(sonar, scripted, "team/app/sub") == "app:p"
    assert _who(sonar, scripted, "team/other") == "team:p"
    assert _who(sonar, scripted, "other") == "host:p"


def test_another_hosts_credentials_are_not_sent(sonar: Program, scripted: Origin) -> None:
    """A5: a key is for that host and port alone."""
    others = ["127.0.0.1", "127.0.0.1:1", f"{scripted.host}0", "localhost", "https://index.docker.io/v1/", ""]
    sonar.docker_config({"auths": {key: {"auth": _auth("wrong", "host")} for key in others}})
    assert _who(sonar, scripted) == ""


def test_podmans_file(sonar: Program, scripted: Origin) -> None:
    """A5: "also podman's `auth.json`, `DOCKER_CONFIG`, `REGISTRY_AUTH_FILE`"."""
    import json

    file = sonar.home / "podman.json"
    file.write_text(json.dumps({"auths": {scripted.host: {"auth": _auth("podman", "p")}}}))
    assert _who(sonar, scripted, REGISTRY_AUTH_FILE=str(file)) == "podman:p"
    runtime = sonar.home / "run" / "containers"
    runtime.mkdir(parents=True)
    (runtime / "auth.json").write_text(file.read_text())
    assert _who(sonar, scripted) == "podman:p"


def test_a_file_that_is_named_and_missing_is_an_error(sonar: Program, scripted: Origin) -> None:
    """A5: credentials that were named and can't be read are not silently anonymous."""
    scripted.default = unauthorized("Basic realm=r")
    tags(sonar, scripted, environment={"REGISTRY_AUTH_FILE": "/nonexistent/auth.json"})
    outcome = tags(sonar, scripted, environment={"REGISTRY_AUTH_FILE": str(sonar.home)})
    assert outcome.code in (1, 2, 4), outcome.shown()


@pytest.mark.parametrize(
    "content",
    [
        "", "null", "[]", "7", "{", '{"auths": []}', '{"auths": null}', '{"auths": {"HOST": null}}',
        '{"auths": {"HOST": 7}}', '{"auths": {"HOST": {"auth": "!!!"}}}', '{"auths": {"HOST": {"auth": 7}}}',
        '{"auths": {"HOST": {"auth": "bm9jb2xvbg=="}}}', '{"credsStore": 7}', '{"credHelpers": []}',
        '{"auths": {"HOST": {"auth": "/////w=="}}}', "\ufeff{}", '{"auths":' * 5000,
    ],
)  # fmt: skip
def test_a_damaged_docker_config(sonar: Program, scripted: Origin, content: str) -> None:
    """A5: a damaged config file is an error or is passed over, never a crash, and never shown."""
    scripted.default = unauthorized("Basic realm=r")
    sonar.docker_config(content.replace("HOST", scripted.host))
    outcome = tags(sonar, scripted)
    assert outcome.code in (1, 2, 4), outcome.shown()
    outcome.reported()
    assert outcome.out == ""


HELPER = """#!/bin/sh
read host
echo "$1 $host" >> "{log}"
{body}
"""


def _helper(sonar: Program, name: str, body: str) -> dict[str, str]:
    """Installs `docker-credential-NAME`; returns the environment that finds it."""
    import os

    folder = sonar.home / "bin"
    folder.mkdir(exist_ok=True)
    script = folder / f"docker-credential-{name}"
    script.write_text(HELPER.format(log=sonar.home / "helper.log", body=body))
    script.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def _gives(user: str, secret: str) -> str:
    return f"""echo '{{"ServerURL":"x","Username":"{user}","Secret":"{secret}"}}'"""


def test_helpers_come_before_the_store_and_both_before_auths(sonar: Program, scripted: Origin) -> None:
    """A5: "a helper named for the host (`credHelpers`) comes before `credsStore`, both before `auths`"."""
    path = _helper(sonar, "forhost", _gives("helper", "h"))
    _helper(sonar, "store", _gives("store", "s"))
    auths = {scripted.host: {"auth": _auth("auths", "a")}}
    config: dict[str, Any] = {"auths": auths, "credsStore": "store", "credHelpers": {scripted.host: "forhost"}}
    sonar.docker_config(config)
    assert _who(sonar, scripted, **path) == "helper:h"
    del config["credHelpers"]
    sonar.docker_config(config)
    assert _who(sonar, scripted, **path) == "store:s"
    del config["credsStore"]
    sonar.docker_config(config)
    assert _who(sonar, scripted, **path) == "auths:a"
    assert (sonar.home / "helper.log").read_text().splitlines()[0] == f"get {scripted.host}"


@pytest.mark.parametrize(
    "name", ["../evil", "a/b", "a b", "x;touch pwned", "$(touch pwned)", "", "é", "a\nb", "-x\x00".replace("\x00", "|")]
)
def test_names_of_helpers_are_validated(sonar: Program, scripted: Origin, name: str) -> None:
    """A5: "Helper names match `[A-Za-z0-9._-]+`, run without a shell"."""
    scripted.default = unauthorized("Basic realm=r")
    sonar.docker_config({"credHelpers": {scripted.host: name}})
    outcome = tags(sonar, scripted, cwd=sonar.home)
    assert outcome.code in (1, 2, 4), outcome.shown()
    outcome.reported()
    assert not list(sonar.home.rglob("pwned"))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("echo 'boom-secret-out'; echo 'went wrong' >&2; exit 1", id="exit 1"),
        pytest.param("echo 'boom-secret-out'", id="no JSON"),
        pytest.param('echo \'{"Username": 7, "Secret": "boom-secret-out"}\'', id="wrong types"),
        pytest.param("exit 0", id="nothing"),
        pytest.param("kill -9 $$", id="killed"),
        pytest.param("head -c 200000000 /dev/zero", id="200 MB"),
    ],
)
def test_a_helper_that_fails_is_an_error(sonar: Program, scripted: Origin, body: str) -> None:
    """A5: "A helper that fails is an error"; "their stdout is never shown"."""
    path = _helper(sonar, "bad", body)
    scripted.default = unauthorized("Basic realm=r")
    sonar.docker_config({"credHelpers": {scripted.host: "bad"}})
    outcome = tags(sonar, scripted, environment=path)
    assert outcome.code in (1, 4), outcome.shown()
    outcome.reported("docker-credential-bad")
    assert "boom-secret-out" not in outcome.err
    assert outcome.peak < 200


def test_a_helper_that_hangs(sonar: Program, scripted: Origin) -> None:
    """A5: helpers run "with a time limit"."""
    path = _helper(sonar, "slow", "sleep 120")
    scripted.default = unauthorized("Basic realm=r")
    sonar.docker_config({"credHelpers": {scripted.host: "slow"}})
    outcome = tags(sonar, scripted, "--timeout", "1", environment=path)
    assert outcome.code in (1, 4), outcome.shown()
    outcome.reported("docker-credential-slow")


def test_a_helper_that_is_missing(sonar: Program, scripted: Origin) -> None:
    """A5: "A helper that fails is an error": one that is not installed too."""
    scripted.default = unauthorized("Basic realm=r")
    sonar.docker_config({"credHelpers": {scripted.host: "nowhere"}})
    outcome = tags(sonar, scripted)
    assert outcome.code in (1, 4), outcome.shown()
    outcome.reported("docker-credential-nowhere")


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_credentials_not_found_is_anonymous(sonar: Program, scripted: Origin, stream: str) -> None:
    """A5: "“credentials not found” is anonymous"."""
    path = _helper(sonar, "empty", f"echo 'credentials not found in native keychain' {stream}; exit 1")
    scripted.default = unauthorized("Basic realm=r")
    sonar.docker_config({"credsStore": "empty"})
    tags(sonar, scripted, environment=path).failed("sonar auth login", code=4)


def test_a_helpers_identity_token(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """A4: a helper's user `<token>` means that the secret is an identity token (docker's credential protocol)."""
    realm = origins()
    realm.on("POST", "/token", Answer(200, json={"access_token": TOKEN}))
    bearer(scripted, realm)
    path = _helper(sonar, "tok", _gives("<token>", IDENTITY))
    sonar.docker_config({"credsStore": "tok"})
    assert tags(sonar, scripted, environment=path).succeeded().out == "v1\n"
    assert realm.requests[0].form["refresh_token"] == [IDENTITY]


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("environment", [{}, {"SONAR_DEBUG": "1"}], ids=["", "debug"])
@pytest.mark.parametrize("fault", ["none", "403", "reset", "html", "echo", "token error"])
def test_no_secret_is_shown(
    sonar: Program,
    scripted: Origin,
    origins: Callable[..., Origin],
    environment: dict[str, str],
    fault: str,
) -> None:
    """A6: "No secret in a repr, a log line, an error, a traceback or `--verbose`: tokens, passwords,
    `Authorization`, signed query strings"."""
    realm, storage = origins(), origins()
    tokens(realm)
    bearer(scripted, realm)
    sonar.login(scripted.host)
    signed = f"{storage.url}/x?X-Amz-Signature=signed-secret-77&sig=signed-secret-77#frag"
    good = Answer(307, {"Location": signed})
    storage.default = {
        "none": TAGS,
        "403": Answer(403, body=b"<Error/>"),
        "reset": Answer(raw=b"", then="reset"),
        "html": Answer(200, {"Content-Type": "text/html"}, b"<html>"),
        "echo": Answer(400, json={"errors": [{"code": "X", "message": "nothing"}]}),
        "token error": TAGS,
    }[fault]
    if fault == "token error":
        realm.on("GET", "/token", Answer(500))
    challenge = f'Bearer realm="{realm.url}/token",service="s"'
    scripted.default = behind(f"Bearer {TOKEN}", good, challenge)
    outcome = tags(sonar, scripted, "-v", environment={"SONAR_ATTEMPTS": "2", **environment})
    shown = outcome.out + outcome.err
    assert not [secret for secret in (*SECRETS, "signed-secret-77") if secret in shown], shown
    assert realm.requests


def test_a_header_with_a_line_end_is_refused(sonar: Program, scripted: Origin) -> None:
    """A7: "A header value with CR or LF, from a plugin or anyone, is refused": a password can't (Basic encodes it),
    a token from the environment could."""
    scripted.default = unauthorized("Bearer realm=x")
    sonar.docker_config({"auths": {scripted.host: {"registrytoken": "abc\r\nX-Evil: 1"}}})
    outcome = tags(sonar, scripted)
    assert outcome.code != 0, outcome.shown()
    assert "Traceback" not in outcome.err
    assert all(request.header("X-Evil") is None for request in scripted.requests)


PLUGIN = """
from sonar_core import AuthScheme, Grant, hookimpl
def flow(context):
    return Grant({{"Authorization": "Acme x", {header}}})
    yield
@hookimpl
def sonar_auth_schemes():
    return [AuthScheme("Acme", flow)]
"""


@pytest.mark.parametrize(
    "header", ['"X-Api-Key": "k\\r\\nX-Evil: 1"', '"X-A\\nX-Evil": "1"', '"X-Api-Key": "k\\nX-Evil: 1"']
)
def test_a_plugins_header_with_a_line_end_is_refused(sonar: Program, scripted: Origin, header: str) -> None:
    """A7: "A header value with CR or LF, from a plugin or anyone, is refused"."""
    path = install_plugin(sonar.home / "plugins", "acmeplug", PLUGIN.format(header=header))
    scripted.default = unauthorized("Acme realm=x")
    outcome = tags(sonar, scripted, environment={"PYTHONPATH": path})
    assert outcome.code in (1, 2, 4), outcome.shown()
    outcome.reported()
    assert len(scripted.requests) == 1


def test_a_plugins_header_stays_at_its_origin(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """T5: "credentials and every plugin's header go to the exact origin … they were made for and to no other"."""
    path = install_plugin(sonar.home / "plugins", "acmeplug", PLUGIN.format(header='"X-Api-Key": "k-secret-12"'))
    other = origins()
    other.default = TAGS
    good = Answer(302, {"Location": f"{other.url}/x"})
    scripted.default = behind("Acme x", good, "Acme realm=x")
    assert tags(sonar, scripted, environment={"PYTHONPATH": path}).succeeded().out == "v1\n"
    assert scripted.requests[-1].header("X-Api-Key") == "k-secret-12"
    assert [r.header("X-Api-Key") for r in other.requests] == [None]


def test_threads_share_one_token(sonar: Program, scripted: Origin, origins: Callable[..., Origin]) -> None:
    """A2: eight threads that need the same token cause one token request: `tag ls --digests` of 50 tags."""
    realm = origins()
    tokens(realm)
    lock, names = threading.Lock(), [f"t{n}" for n in range(50)]
    manifest = manifest_answer(images.image().manifest)

    def answer(request: Request) -> Answer:
        with lock:
            if request.header("Authorization") != f"Bearer {TOKEN}":
                return unauthorized(f'Bearer realm="{realm.url}/token",service="s"')
        return Answer(200, json={"tags": names}) if request.path == PATH else manifest

    scripted.default = answer
    assert len(tags(sonar, scripted, "--digests").succeeded().out.splitlines()) == 50
    assert len(realm.requests) == 1
