"""TLS before a real registry: a private authority, client certificates, docker's `certs.d`."""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from sonar_core.client import Client
from sonar_core.errors import SettingsError
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.testing.certificates import Authority, Certificate
from sonar_core.testing.scripted import Answer, Origin
from sonar_core.tls import certificates_of, make_context
from tests.auth.conftest import Sonar
from tests.support.docker_registry import DockerRegistry
from tests.support.nginx import Nginx


@pytest.fixture
def front(
    nginx: Callable[..., Nginx],
    shared_registry: DockerRegistry,
    authority: Authority,
    server_certificate: Certificate,
) -> Nginx:
    """nginx with a certificate of a private authority, that wants one from its clients, before docker-registry."""
    return nginx(upstream=shared_registry.url, tls=server_certificate, client_ca=authority.cert)


def one_line(sonar: Sonar, *arguments: str | Path, code: int = 1) -> str:
    done = sonar(*arguments, code=code)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.real
def test_mutual_tls_by_options(
    front: Nginx, authority: Authority, client_certificate: Certificate, sonar: Sonar
) -> None:
    name = f"https://{front.host}"
    trust = ("--ca-file", authority.cert)
    pair = ("--cert", client_certificate.cert, "--key", client_certificate.key)
    assert "ok" in sonar("check", name, *trust, *pair).stdout
    assert sonar("check", name, "--insecure", *pair).stderr == ""
    (sonar.home / "blob").write_bytes(b"over mutual TLS")
    digest = sonar("blob", "put", f"{name}/tls/blob", "blob", *trust, *pair).stdout.strip()
    sonar("blob", "get", f"{name}/tls/blob@{digest}", "-O", "pulled", *trust, *pair)
    assert (sonar.home / "pulled").read_bytes() == b"over mutual TLS"


@pytest.mark.real
def test_what_is_missing_is_said(
    front: Nginx, authority: Authority, client_certificate: Certificate, sonar: Sonar
) -> None:
    name = f"https://{front.host}"
    trust = ("--ca-file", authority.cert)
    untrusted = one_line(sonar, "check", name)
    assert "certificate is not trusted" in untrusted
    assert "--ca-file" in untrusted
    anonymous = one_line(sonar, "check", name, *trust)
    assert "client certificate" in anonymous
    assert "--cert and --key" in anonymous
    plain = one_line(sonar, "check", f"http://{front.host}")
    assert "https://" in plain
    assert "https" in one_line(sonar, "check", name, "--plain-http")
    assert "--cert FILE" in one_line(sonar, "check", name, *trust, "--key", client_certificate.key, code=2)
    missing = one_line(sonar, "check", name, *trust, "--cert", client_certificate.cert, "--key", "nowhere.pem", code=2)
    assert "nowhere.pem" in missing
    mixed = one_line(sonar, "check", name, *trust, "--cert", authority.cert, "--key", client_certificate.key, code=2)
    assert str(authority.cert) in mixed


@pytest.mark.real
def test_a_strangers_client_certificate_is_not_trusted(
    front: Nginx, authority: Authority, sonar: Sonar, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").issue("stranger")
    name, trust = f"https://{front.host}", ("--ca-file", authority.cert)
    told = one_line(sonar, "check", name, *trust, "--cert", stranger.cert, "--key", stranger.key)
    assert "client certificate" in told


@pytest.mark.real
def test_go_refuses_in_the_handshake(
    docker_registry: Callable[..., DockerRegistry],
    authority: Authority,
    server_certificate: Certificate,
    client_certificate: Certificate,
    sonar: Sonar,
) -> None:
    """docker-registry's own TLS: no answer at all without a client certificate."""
    registry = docker_registry(tls=server_certificate, client_ca=authority.cert, storage="inmemory")
    name, trust = f"https://{registry.host}", ("--ca-file", authority.cert)
    told = one_line(sonar, "check", name, *trust, "--timeout", "5")
    assert "--cert and --key" in told
    pair = ("--cert", client_certificate.cert, "--key", client_certificate.key)
    assert "ok" in sonar("check", name, *trust, *pair).stdout
    assert "https://" in one_line(sonar, "check", f"http://{registry.host}")


@pytest.mark.real
def test_settings_for_one_registry(
    front: Nginx, authority: Authority, client_certificate: Certificate, sonar: Sonar
) -> None:
    config = sonar.home / ".config" / "sonar" / "config.toml"
    config.parent.mkdir(parents=True)
    section = {"ca_file": authority.cert, "cert": client_certificate.cert, "key": client_certificate.key}
    lines = [f'[registry."{front.host}"]', *(f"{name} = {json.dumps(str(path))}" for name, path in section.items())]
    config.write_text("\n".join(lines))
    assert "ok" in sonar("check", f"https://{front.host}").stdout


def certs_d(directory: Path, authority: Authority, client: Certificate | None) -> Path:
    """Docker's layout for one server."""
    directory.mkdir(parents=True)
    shutil.copy(authority.cert, directory / "ca.crt")
    if client is not None:
        shutil.copy(client.cert, directory / "client.cert")
        shutil.copy(client.key, directory / "client.key")
    return directory


@pytest.mark.real
def test_docker_certs_d(front: Nginx, authority: Authority, client_certificate: Certificate, sonar: Sonar) -> None:
    """dockerd: `/etc/docker/certs.d/HOST:PORT/`, with `ca.crt`, `client.cert` and `client.key`."""
    root = sonar.home / "certs.d"
    directory = certs_d(root / front.host, authority, client_certificate)
    environment = {"SONAR_CERTS_DIR": str(root)}
    name = f"https://{front.host}"
    assert "ok" in sonar("check", name, environment=environment).stdout
    (directory / "client.key").unlink()
    told = sonar("check", name, environment=environment, code=2).stderr
    assert "client.key" in told
    assert "*.crt" in told
    (directory / "client.cert").unlink()
    assert "--cert and --key" in sonar("check", name, environment=environment, code=1).stderr
    pair = ("--cert", client_certificate.cert, "--key", client_certificate.key)
    assert "ok" in sonar("check", name, *pair, environment=environment).stdout
    (directory / "ca.crt").write_text("damaged")
    assert "ca.crt" in sonar("check", name, environment=environment, code=2).stderr


def test_which_directory_counts(tmp_path: Path) -> None:
    for name in ("r.example", "r.example:5000", "[::1]:5000", "both.example", "both.example:443"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.example").write_text("")
    expected: dict[tuple[str, int], str | None] = {
        ("r.example", 443): "r.example",
        ("r.example", 5000): "r.example:5000",
        ("r.example", 80): None,
        ("::1", 5000): "[::1]:5000",
        ("both.example", 443): "both.example:443",
        ("x.r.example", 443): None,
        ("file.example", 443): None,
        ("", 443): None,
    }
    for (host, port), wanted in expected.items():
        assert certificates_of(tmp_path, host, port) == (tmp_path / wanted if wanted else None)


def test_an_encrypted_key_is_refused_and_not_asked_about(
    authority: Authority, client_certificate: Certificate, tmp_path: Path
) -> None:
    import subprocess

    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-in", str(client_certificate.key), "-aes128", "-passout", "pass:x"]
    command += ["-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(SettingsError, match="encrypted"):
        make_context(Settings(cert=client_certificate.cert, key=locked))


def test_the_client_certificate_is_shown_to_the_registry_alone(
    origins: Callable[..., Origin],
    authority: Authority,
    server_certificate: Certificate,
    client_certificate: Certificate,
) -> None:
    """Not to where it redirects to: a certificate says who one is, as other credentials do."""
    shown: list[list[bytes]] = [[], []]
    registry, other = (origins(tls=_asking(authority, server_certificate, seen)) for seen in shown)
    registry.on("GET", "/v2/a/tags/list", Answer(307, {"Location": f"{other.url}/elsewhere"}))
    other.on("GET", "/elsewhere", Answer(200, json={"tags": ["v1"]}))
    settings = Settings(ca_file=authority.cert, cert=client_certificate.cert, key=client_certificate.key)
    with Client(f"https://{registry.host}", settings=settings, plugins=Plugins()) as client:
        assert client.get_json("a/tags/list") == {"tags": ["v1"]}
    assert shown == [[ssl.PEM_cert_to_DER_cert(client_certificate.cert.read_text())], []]


def _asking(authority: Authority, certificate: Certificate, seen: list[bytes]) -> ssl.SSLContext:
    """A server that asks for a client certificate, does without, and keeps what it is shown in `seen`."""

    class Watching(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            shown = self.getpeercert(binary_form=True)
            if shown:
                seen.append(shown)

    context = authority.server_context(certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(authority.cert)
    context.sslsocket_class = Watching
    return context
