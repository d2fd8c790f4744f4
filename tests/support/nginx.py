"""A real nginx on a free port: TLS, client certificates, passwords, or whatever configuration a test
needs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.docker_registry import write_htpasswd
from tests.support.processes import Server, require, start

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sonar_core.testing.certificates import Certificate

_CONFIG = """\
daemon off;
worker_processes 1;
{user}
pid {directory}/nginx.pid;
error_log stderr info;
events {{ worker_connections 256; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port}{ssl};
        {server}
        location / {{
            {location}
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx."""

    server: Server
    scheme: str
    directory: Path

    @property
    def host(self) -> str:
        return self.server.host

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def access_log(self) -> str:
        return (self.directory / "access.log").read_text(errors="replace")

    def stop(self) -> None:
        self.server.stop()


def start_nginx(
    directory: Path,
    *,
    upstream: str | None = None,
    tls: Certificate | None = None,
    client_ca: Path | None = None,
    htpasswd: Mapping[str, str] | None = None,
    server: str = "",
    location: str = "",
) -> Nginx:
    """Starts one in front of `upstream` (`http://127.0.0.1:5000`). `client_ca` requires client certificates.

    `server` and `location` are further directives for these blocks.
    """
    program = require("nginx")
    directory.mkdir(parents=True, exist_ok=True)
    servers, locations = [server], [location]
    if tls:
        servers += [f"ssl_certificate {tls.cert};", f"ssl_certificate_key {tls.key};"]
    if client_ca:
        servers += [f"ssl_client_certificate {client_ca};", "ssl_verify_client on;"]
    if htpasswd:
        path = write_htpasswd(directory / "htpasswd", htpasswd)
        locations += ['auth_basic "nginx under test";', f"auth_basic_user_file {path};"]
    if upstream:
        locations += [
            f"proxy_pass {upstream};",
            "proxy_request_buffering off;",
            "proxy_set_header Host $http_host;",
            "proxy_set_header X-Forwarded-Proto $scheme;",
        ]
    config = directory / "nginx.conf"

    def command(port: int) -> list[str]:
        text = _CONFIG.format(
            directory=directory,
            port=port,
            ssl=" ssl" if tls else "",
            user="user root;" if os.geteuid() == 0 else "",  # its workers must read pytest's private folder
            server="\n        ".join(servers),
            location="\n            ".join(locations),
        )
        config.write_text(text)
        return [program, "-c", str(config), "-p", str(directory), "-e", "stderr"]

    return Nginx(start(command, directory / "nginx.log"), "https" if tls else "http", directory)
