"""Debian's skopeo, a client that nobody here wrote, with a home of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.processes import require

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 60


@dataclass(frozen=True)
class Skopeo:
    """Runs skopeo without TLS verification or signature policy; `auth_file` is where its logins are."""

    program: str
    home: Path

    @classmethod
    def in_directory(cls, home: Path) -> Skopeo:
        home.mkdir(parents=True, exist_ok=True)
        return cls(require("skopeo"), home)

    @property
    def auth_file(self) -> Path:
        return self.home / "auth.json"

    def __call__(self, *arguments: str, check: bool = True, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Raises CalledProcessError, with skopeo's stderr as a note, unless `check` is false."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home),
            "TMPDIR": str(self.home),
            "REGISTRY_AUTH_FILE": str(self.auth_file),
        }
        command = [self.program, "--insecure-policy", "--tmpdir", str(self.home), *arguments]
        done = subprocess.run(command, env=environment, input=stdin, capture_output=True, timeout=_SECONDS, check=False)
        if check:
            try:
                done.check_returncode()
            except subprocess.CalledProcessError as error:
                error.add_note(done.stderr.decode(errors="replace"))
                raise
        return done

    def copy(self, source: str, target: str, *options: str) -> None:
        """`docker://127.0.0.1:5000/a:b`, `oci:DIR:TAG`, `dir:DIR`, `docker-archive:FILE`; every platform."""
        verify = ("--src-tls-verify=false", "--dest-tls-verify=false")
        self("copy", "--all", "--quiet", *verify, *options, source, target)

    def raw(self, name: str, *options: str) -> bytes:
        """The manifest's exact bytes (`inspect --raw`)."""
        return self("inspect", "--raw", "--tls-verify=false", *options, f"docker://{name}").stdout
