"""No secret is shown: not in output, with `--verbose`, in tracebacks under `SONAR_DEBUG=1`, in reprs, in logs.

The fixture `sonar` looks for every secret, and for what looks like a proof, in all that each run of any test writes;
here it is given reasons to slip.
"""

from __future__ import annotations

import base64
import logging
import os
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from sonar_core.auth_types import Credentials
from sonar_core.client import Client
from sonar_core.errors import SonarError
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.testing.scripted import Answer, Origin, Request
from tests.auth.conftest import Sonar

HTML = Answer(200, {"Content-Type": "text/html"}, b"<html>")
FAULTS: dict[str, Answer] = {
    "good": Answer(200, json={"tags": ["v1"], "repositories": ["a"]}),
    "403": Answer(403, json={"errors": [{"code": "DENIED", "message": "no"}]}),
    "500": Answer(500),
    "reset": Answer(raw=b"", then="reset"),
    "HTML": HTML,
    "damaged": Answer(200, {"Content-Type": "application/json"}, b'{"tags": ['),
}


@pytest.fixture
def loud(sonar: Sonar) -> Sonar:
    """With tracebacks, and few attempts."""
    sonar.environment |= {"SONAR_ATTEMPTS": "2", "SONAR_DEBUG": "1"}
    return sonar


@pytest.mark.parametrize("fault", FAULTS)
def test_basic_whatever_comes(loud: Sonar, scripted: Origin, fault: str) -> None:
    password = loud.secret()
    loud.logins({scripted.host: f"alice:{password}"})
    good = "Basic " + base64.b64encode(f"alice:{password}".encode()).decode()

    def answer(request: Request) -> Answer:
        if request.header("Authorization") == good:
            return FAULTS[fault]
        return Answer(401, {"WWW-Authenticate": 'Basic realm="r"'})

    scripted.default = answer
    loud("check", scripted.host, "-v", code=None)
    loud("tag", "ls", f"{scripted.host}/a", "-v", "-o", "json", code=None)
    assert any(request.header("Authorization") for request in scripted.requests)


@pytest.mark.parametrize("at", ["registry", "token server"])
@pytest.mark.parametrize("fault", FAULTS)
def test_bearer_whatever_comes(loud: Sonar, origins: Callable[..., Origin], fault: str, at: str) -> None:
    password, token, identity = loud.secret(), loud.secret(), loud.secret()
    registry, realm = origins(), origins()
    wanted = Answer(200, json={"token": token})
    realm.default = FAULTS[fault] if at == "token server" else wanted

    def answer(request: Request) -> Answer:
        if request.header("Authorization") == f"Bearer {token}":
            return FAULTS[fault]
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm.url}/token?tenant={token}",service="s"'})

    registry.default = answer
    for login in (f"alice:{password}", {"identitytoken": identity}, {"registrytoken": token}):
        loud.logins({registry.host: login})
        loud("tag", "ls", f"{registry.host}/a", "-v", code=None)
    methods = {request.method for request in realm.requests}
    assert methods == {"GET", "POST"}


def test_a_registry_that_repeats_what_it_was_told(loud: Sonar, origins: Callable[..., Origin]) -> None:
    """A debugging proxy that answers with the request's headers gets one line of its own words shown, not ours."""
    password = loud.secret()
    registry, realm = origins(), origins()

    def echo(request: Request) -> Answer:
        said = f"{request.headers} {request.body.decode()} {password}"
        return Answer(400, json={"error": "invalid", "error_description": said, "errors": [{"message": said}]})

    realm.default = echo
    registry.default = Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm.url}/token"'})
    loud.logins({registry.host: f"alice:{password}"})
    loud("tag", "ls", f"{registry.host}/a", "-v", code=4)


def test_a_signed_address_is_shown_without_its_query(loud: Sonar, origins: Callable[..., Origin]) -> None:
    signature = loud.secret()
    registry, storage = origins(), origins()
    for answer in (Answer(403), Answer(raw=b"", then="reset"), HTML, Answer(302, {"Location": "ftp://x?" + signature})):
        storage.default = answer
        registry.default = Answer(307, {"Location": f"{storage.url}/x?X-Amz-Signature={signature}#{signature}"})
        loud("tag", "ls", f"{registry.host}/a", "-v", code=None)
    assert storage.requests


def test_a_helper_that_talks(loud: Sonar, scripted: Origin) -> None:
    """What a helper writes is never shown: its stdout is the secret, its stderr may be a trace."""
    secret = loud.secret()
    helper = loud.home / "docker-credential-loud"
    loud.environment["PATH"] = f"{loud.home}:{os.environ['PATH']}"
    loud.logins({}, credsStore="loud")
    scripted.default = Answer(401, {"WWW-Authenticate": 'Basic realm="r"'})
    good = f'{{"ServerURL": "x", "Username": "alice", "Secret": "{secret}"}}'
    for body in (f"echo '{good}'", f"echo '{good}'; exit 1", f"echo '{good}' >&2; exit 1", f"echo '{good}'; sleep 60"):
        helper.write_text(f"#!/bin/sh\ncat > /dev/null\n{body}\n")
        helper.chmod(0o755)
        loud("tag", "ls", f"{scripted.host}/a", "-v", "--timeout", "1", code=4)
    loud("auth", "login", scripted.host, "-u", "alice", "--password-stdin", "-v", stdin=loud.secret(), code=4)


def test_damaged_files_are_not_quoted(loud: Sonar, scripted: Origin) -> None:
    secret = loud.secret()
    scripted.default = Answer(401, {"WWW-Authenticate": 'Basic realm="r"'})
    loud.docker_config.parent.mkdir()
    for text in (
        f'{{"auths": {{"{scripted.host}": {{"auth": "{secret}"}}}}}}',
        f'{{"{secret}"',
        f'{{"credsStore": "{secret}/x"}}',
    ):
        loud.docker_config.write_text(text)
        loud("tag", "ls", f"{scripted.host}/a", code=4)
    loud.docker_config.unlink()
    (loud.home / ".netrc").write_text(f"machine {secret} login a\n {secret} b")
    loud("tag", "ls", f"{scripted.host}/a", code=4)


def test_settings_are_shown_without_secrets(loud: Sonar) -> None:
    config = loud.home / "config.toml"
    config.write_text(f'[plugin.vault]\ntoken = "{loud.secret()}"\n')
    loud("config", "show", "--config", config)
    loud("config", "show", "--config", config, "-o", "json")
    loud("plugin", "ls", environment={"SONAR_PASSWORD": loud.secret(), "SONAR_TOKEN": loud.secret()})


def test_reprs_tracebacks_and_logs_of_the_library(
    sonar: Sonar, origins: Callable[..., Origin], caplog: pytest.LogCaptureFixture
) -> None:
    """All objects that hold a secret, at every level of logging, and the locals of every frame of an error."""
    caplog.set_level(logging.DEBUG)
    password, token, signature = sonar.secret(), sonar.secret(), sonar.secret()
    registry, realm, storage = origins(), origins(), origins()
    realm.default = Answer(200, json={"token": token, "expires_in": 300})
    storage.default = Answer(403)

    def answer(request: Request) -> Answer:
        if request.header("Authorization") == f"Bearer {token}":
            return Answer(307, {"Location": f"{storage.url}/x?sig={signature}"})
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm.url}/token",service="s"'})

    registry.default = answer
    plugins = Plugins.discover(only=("basic", "bearer", "blobs", "tags"))
    who = Credentials("alice", password, identity_token=token, token="")
    with Client(registry.host, settings=Settings(), plugins=plugins, credentials=who) as client:
        with pytest.raises(SonarError) as caught:
            list(client.tags.list("a"))
        grant = client.auth.grant(frozenset({"repository:a:pull"}))
        shown: list[Any] = [client, client.auth, who, grant, caught.value, vars(caught.value), client.settings]
    text = "\n".join([repr(shown), caplog.text, "".join(traceback.format_exception(caught.value))])
    sonar.check(text.encode())
    assert "urllib3" in caplog.text
    assert len(storage.requests) == 1
