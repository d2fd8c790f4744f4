"""Debian's docker-registry (distribution 2.8) on a free port, with the configuration a test asks for."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tests.support.processes import Server, require, start

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sonar_core.testing.certificates import Certificate
    from tests.support.tokens import TokenServer


@dataclass(frozen=True)
class DockerRegistry:
    """A running docker-registry; `root` is where it keeps its content, None for memory."""

    server: Server
    scheme: str
    root: Path | None

    @property
    def host(self) -> str:
        return self.server.host

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def log(self) -> str:
        return self.server.log.read_text(errors="replace")

    def stop(self) -> None:
        self.server.stop()


def write_htpasswd(path: Path, users: Mapping[str, str]) -> Path:
    """A bcrypt htpasswd file: the only kind that docker-registry takes."""
    lines = []
    for user, password in users.items():
        command = [require("htpasswd"), "-niB", "-C", "4", user]
        lines.append(subprocess.run(command, input=password.encode(), capture_output=True, check=True).stdout.strip())
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def start_docker_registry(
    directory: Path,
    *,
    htpasswd: Mapping[str, str] | None = None,
    token: TokenServer | None = None,
    storage: Literal["filesystem", "inmemory"] = "filesystem",
    delete: bool = True,
    tls: Certificate | None = None,
    client_ca: Path | None = None,
    relative_urls: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> DockerRegistry:
    """Starts one that keeps everything in `directory`. `extra` replaces whole sections of its configuration.

    `htpasswd` maps users to passwords; `token` is the server that it sends clients to for tokens.
    """
    program = require("docker-registry")
    directory.mkdir(parents=True, exist_ok=True)
    root = directory / "content" if storage == "filesystem" else None
    kept: dict[str, Any] = {"filesystem": {"rootdirectory": str(root)}} if root else {"inmemory": {}}
    kept |= {"delete": {"enabled": delete}, "maintenance": {"uploadpurging": {"enabled": False}}}
    http: dict[str, Any] = {"relativeurls": relative_urls, "secret": "shared by nobody"}
    if tls:
        http["tls"] = {"certificate": str(tls.cert), "key": str(tls.key)}
        if client_ca:
            http["tls"]["clientcas"] = [str(client_ca)]
    auth: dict[str, Any] = {}
    if htpasswd is not None:
        path = write_htpasswd(directory / "htpasswd", htpasswd)
        auth = {"htpasswd": {"realm": "docker-registry under test", "path": str(path)}}
    elif token is not None:
        auth = {"token": token.registry_settings()}
    config = directory / "config.yml"

    def command(port: int) -> list[str]:
        settings: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": kept,
            "http": {"addr": f"127.0.0.1:{port}", **http},
            **({"auth": auth} if auth else {}),
            **(extra or {}),
        }
        config.write_text(json.dumps(settings))  # JSON is YAML
        return [program, "serve", str(config)]

    server = start(command, directory / "registry.log", ready=b"listening on")
    return DockerRegistry(server, "https" if tls else "http", root)
