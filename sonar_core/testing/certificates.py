"""A private certificate authority for tests, made by the `openssl` program."""

from __future__ import annotations

import ipaddress
import shutil
import ssl
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A CA with its files in `directory`; `cert` is what clients are told to trust.

    Raises FileNotFoundError where there is no `openssl` program.
    """

    directory: Path
    program: str = field(default_factory=lambda: shutil.which("openssl") or "")

    def __post_init__(self) -> None:
        if not self.program:
            raise FileNotFoundError("the openssl program is not installed")
        subject = ("-subj", "/CN=sonar test authority", "-days", "2")
        usage = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        self._run("req", "-x509", *_KEY, *subject, *usage, "-keyout", self._key, "-out", self.cert)

    @property
    def cert(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def _key(self) -> Path:
        return self.directory / "ca.key"

    def issue(
        self, name: str, hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1"), *, days: int = 2
    ) -> Certificate:
        """A certificate for these hosts, good for servers and for clients. Negative `days`: it has
        expired."""
        made = Certificate(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        names = ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in hosts)
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._run("req", *_KEY, "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        signer = ("-CA", self.cert, "-CAkey", self._key, "-CAcreateserial", "-days", str(days))
        self._run("x509", "-req", "-in", request, *signer, "-extfile", extensions, "-out", made.cert)
        return made

    def server_context(
        self, certificate: Certificate, *, require_client: bool = False, minimum: ssl.TLSVersion | None = None
    ) -> ssl.SSLContext:
        """What `Origin(tls=...)` takes. `require_client` refuses clients without a certificate of this
        authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        if minimum is not None:
            context.minimum_version = minimum
        if require_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.cert)
        return context

    def _run(self, *arguments: str | Path) -> None:
        command = [self.program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - fixed arguments, no shell
        if done.returncode:
            raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
