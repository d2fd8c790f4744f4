"""The real servers start as configured, answer, and are gone afterwards."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import images
from tests.support.docker_registry import start_docker_registry
from tests.support.processes import require
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_core.testing.certificates import Authority, Certificate
    from tests.support.docker_registry import DockerRegistry
    from tests.support.nginx import Nginx
    from tests.support.proxy import Proxy
    from tests.support.skopeo import Skopeo
    from tests.support.tokens import TokenServer

pytestmark = pytest.mark.real


def fetch(
    url: str, authorization: str | None = None, *, data: bytes | None = None, context: Any = None
) -> tuple[int, bytes, Any]:
    request = urllib.request.Request(url, data, {"Authorization": authorization} if authorization else {})
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_docker_registry_takes_what_skopeo_pushes_and_gives_it_back(
    shared_registry: DockerRegistry, skopeo: Skopeo, tmp_path: Path
) -> None:
    oci, docker = images.index(), images.image(kind="docker")
    several = images.index(kind="docker")
    layout = images.write_layout(tmp_path / "layout", {"v1": oci})
    name = f"{shared_registry.host}/support/skopeo"
    skopeo.copy(f"oci:{layout}:v1", f"docker://{name}:oci")
    skopeo.copy(f"dir:{images.write_dir(tmp_path / 'dir', docker)}", f"docker://{name}:docker")
    skopeo.copy(f"dir:{images.write_dir(tmp_path / 'list', several)}", f"docker://{name}:list")

    assert skopeo.raw(f"{name}:oci") == oci.manifest.data
    assert skopeo.raw(f"{name}:docker") == docker.manifest.data
    assert skopeo.raw(f"{name}:list") == several.manifest.data


def test_push_without_skopeo_gives_the_same(shared_registry: DockerRegistry, skopeo: Skopeo) -> None:
    what = images.index()
    push(shared_registry.url, "support/push", "v1", what)
    assert skopeo.raw(f"{shared_registry.host}/support/push:v1") == what.manifest.data
    assert images.index().digest == what.digest


def test_docker_registry_with_passwords(docker_registry: Callable[..., DockerRegistry]) -> None:
    registry = docker_registry(htpasswd={"alice": "wonder land"})
    assert registry.root is not None
    assert fetch(f"{registry.url}/v2/")[0] == 401
    assert fetch(f"{registry.url}/v2/", basic("alice", "nope"))[0] == 401
    assert fetch(f"{registry.url}/v2/", basic("alice", "wonder land"))[0] == 200


def test_a_stopped_registry_is_gone(tmp_path: Path) -> None:
    registry = start_docker_registry(tmp_path / "registry", storage="inmemory")
    registry.stop()
    registry.stop()
    with pytest.raises(urllib.error.URLError):
        fetch(f"{registry.url}/v2/")


def test_a_server_that_cannot_start_fails_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="did not start") as caught:
        start_docker_registry(tmp_path / "registry", extra={"storage": {"nonsense": {}}})
    assert "nonsense" in str(caught.value)


def test_docker_registry_accepts_the_token_servers_tokens(
    docker_registry: Callable[..., DockerRegistry], token_server: Callable[..., TokenServer]
) -> None:
    tokens = token_server(users={"alice": "pw"})
    registry = docker_registry(token=tokens)
    challenge = fetch(f"{registry.url}/v2/")[2]["WWW-Authenticate"]
    assert tokens.realm in challenge

    query = "service=registry%20under%20test&scope=repository:a/b:pull,push&scope=registry:catalog:*"
    url = f"{tokens.realm}?{query}"
    assert fetch(url, basic("alice", "no"))[0] == 401
    answer = json.loads(fetch(url, basic("alice", "pw"))[1])
    assert (answer["token"], answer["expires_in"]) == (answer["access_token"], 300)
    bearer = f"Bearer {answer['token']}"
    assert fetch(f"{registry.url}/v2/_catalog", bearer)[0] == 200
    push(registry.url, "a/b", "v1", images.image(), authorization=bearer)

    anonymous = "Bearer " + json.loads(fetch(url)[1])["token"]
    assert fetch(f"{registry.url}/v2/a/b/tags/list", anonymous)[0] == 200
    assert fetch(f"{registry.url}/v2/_catalog", anonymous)[0] == 401
    assert [r.method for r in tokens.origin.requests] == ["GET"] * 3


def test_docker_registry_refuses_a_token_at_the_end_of_its_life(
    docker_registry: Callable[..., DockerRegistry], token_server: Callable[..., TokenServer]
) -> None:
    tokens = token_server(life=-1)
    registry = docker_registry(token=tokens)
    bearer = "Bearer " + tokens.token(["repository:a/b:pull"])
    status, _, headers = fetch(f"{registry.url}/v2/a/b/tags/list", bearer)
    assert (status, 'error="invalid_token"' in headers["WWW-Authenticate"]) == (401, True)


def test_token_server_gives_and_takes_refresh_tokens(token_server: Callable[..., TokenServer]) -> None:
    tokens = token_server(users={"alice": "pw"}, fields=("access_token",), expires_in=None)
    offline = f"{tokens.realm}?service=registry%20under%20test&offline_token=true"
    refresh = json.loads(fetch(offline, basic("alice", "pw"))[1])["refresh_token"]
    form = f"service=registry+under+test&client_id=t&scope=repository:a:pull&refresh_token={refresh}"
    status, body, _ = fetch(tokens.realm, data=f"grant_type=refresh_token&{form}".encode())
    assert (status, "token" in json.loads(body), "expires_in" in json.loads(body)) == (200, False, False)
    assert fetch(tokens.realm, data=f"grant_type=refresh_token&{form}x".encode())[0] == 401
    assert fetch(tokens.realm, data=b"grant_type=password")[0] == 400

    password = b"grant_type=password&username=alice&password=pw&access_type=offline"
    given = fetch(tokens.realm, data=password + b"&service=registry+under+test&client_id=t")[1]
    assert json.loads(given)["refresh_token"] in tokens.refresh_tokens


def test_token_server_without_oauth2(token_server: Callable[..., TokenServer]) -> None:
    assert fetch(token_server(oauth2=404).realm, data=b"grant_type=refresh_token")[0] == 404


def test_skopeo_logs_in_through_the_token_server(
    docker_registry: Callable[..., DockerRegistry],
    token_server: Callable[..., TokenServer],
    skopeo: Skopeo,
    tmp_path: Path,
) -> None:
    registry = docker_registry(token=token_server(users={"alice": "pw"}))
    skopeo("login", "--tls-verify=false", "-u", "alice", "--password-stdin", registry.host, stdin=b"pw")
    what = images.image()
    layout = images.write_layout(tmp_path / "layout", {"v1": what})
    skopeo.copy(f"oci:{layout}:v1", f"docker://{registry.host}/a/b:v1")
    assert skopeo.raw(f"{registry.host}/a/b:v1") == what.manifest.data
    assert registry.host in skopeo.auth_file.read_text()


def test_nginx_requires_client_certificates_before_a_registry(
    nginx: Callable[..., Nginx],
    shared_registry: DockerRegistry,
    authority: Authority,
    server_certificate: Certificate,
    client_certificate: Certificate,
) -> None:
    front = nginx(upstream=shared_registry.url, tls=server_certificate, client_ca=authority.cert)
    context = ssl.create_default_context(cafile=str(authority.cert))
    assert fetch(f"{front.url}/v2/", context=context)[0] == 400
    context.load_cert_chain(client_certificate.cert, client_certificate.key)
    assert fetch(f"{front.url}/v2/", context=context)[:2] == (200, b"{}")
    assert fetch(f"http://{front.host}/v2/")[0] == 400


def test_nginx_asks_for_a_password(nginx: Callable[..., Nginx], shared_registry: DockerRegistry) -> None:
    front = nginx(upstream=shared_registry.url, htpasswd={"bob": "pw"})
    assert fetch(f"{front.url}/v2/")[0] == 401
    assert fetch(f"{front.url}/v2/", basic("bob", "pw"))[0] == 200
    front.stop()  # it writes its log after the answer
    assert front.access_log.count('"GET /v2/ HTTP/1.1"') == 2


def test_docker_registry_with_tls(
    docker_registry: Callable[..., DockerRegistry], authority: Authority, server_certificate: Certificate
) -> None:
    registry = docker_registry(tls=server_certificate, storage="inmemory")
    context = ssl.create_default_context(cafile=str(authority.cert))
    assert fetch(f"{registry.url}/v2/", context=context)[0] == 200


def test_proxy_passes_on_and_counts(proxy: Callable[..., Proxy], shared_registry: DockerRegistry) -> None:
    what = images.image(images.layer({"big": images.noise(300_000)}))
    push(shared_registry.url, "support/proxy", "v1", what)
    link = proxy(shared_registry.host, delay=0.01, rate=20_000_000, recorded=bytearray())
    blob = what.blobs[-1]
    assert fetch(f"{link.url}/v2/support/proxy/blobs/{blob.digest}")[1] == blob.data
    assert link.connections == 1
    assert link.bytes_down > len(blob.data)
    assert link.recorded is not None
    assert link.recorded.startswith(b"GET /v2/support/proxy/blobs/")
    assert link.bytes_up == len(link.recorded)


def test_proxy_resets(proxy: Callable[..., Proxy], shared_registry: DockerRegistry) -> None:
    link = proxy(shared_registry.host, reset_rate=1.0, reset_within=10)
    with pytest.raises((ConnectionResetError, urllib.error.URLError)):
        fetch(f"{link.url}/v2/")
    assert link.resets == 1


def test_proxy_before_nothing(proxy: Callable[..., Proxy]) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - reset or closed, by the moment
        fetch(f"{proxy('127.0.0.1:1').url}/v2/")


def test_curl_agrees(shared_registry: DockerRegistry) -> None:
    done = subprocess.run([require("curl"), "-sS", f"{shared_registry.url}/v2/"], capture_output=True, check=True)
    assert done.stdout == b"{}"


def test_a_missing_program_is_a_loud_skip_or_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SONAR_TEST_REAL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NO-SUCH-SERVER IS NOT INSTALLED"):
        require("no-such-server")
    monkeypatch.setenv("SONAR_TEST_REAL", "required")
    with pytest.raises(pytest.fail.Exception, match="NO-SUCH-SERVER IS NOT INSTALLED"):
        require("no-such-server")
