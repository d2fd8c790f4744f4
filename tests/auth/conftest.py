"""The program, run with a home of its own, and every secret of a test looked for in all that it writes."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 60
_PROGRAM = Path(sys.executable).with_name("sonar")
# A signed token begins like this: base64 of '{"'. A header with a proof in it looks like the other.
_PROOF = re.compile(rb"eyJ[A-Za-z0-9_-]{8}|(?:Basic|Bearer) (?=[a-z]*[A-Z0-9=])[A-Za-z0-9+/_.=-]{8}")


@dataclass
class Sonar:
    """Runs `sonar` as a user does. `environment` is added to that of each run."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    @property
    def docker_config(self) -> Path:
        return self.home / ".docker" / "config.json"

    def secret(self) -> str:
        """A new secret, which no output may hold: neither as it is nor inside of base64."""
        made = secrets.token_hex(12)
        self.secrets.append(made)
        return made

    def logins(self, entries: Mapping[str, str | dict[str, Any]], **more: Any) -> None:
        """Writes docker's config.json: a text is `user:password`."""
        auths = {
            key: {"auth": base64.b64encode(entry.encode()).decode()} if isinstance(entry, str) else entry
            for key, entry in entries.items()
        }
        self.docker_config.parent.mkdir(parents=True, exist_ok=True)
        self.docker_config.write_text(json.dumps({"auths": auths, **more}))

    def __call__(
        self,
        *arguments: str | Path,
        stdin: str = "",
        code: int | None = 0,
        environment: Mapping[str, str] | None = None,
        shows_token: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Checks the exit code, unless that is None, and that no secret is shown."""
        given = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "LANG": "C.UTF-8",
            "SONAR_BACKOFF": "0.01",
            **self.environment,
            **(environment or {}),
        }
        done = subprocess.run(
            [str(_PROGRAM), *map(str, arguments)],
            input=stdin.encode(),
            capture_output=True,
            env=given,
            cwd=self.home,
            timeout=_SECONDS,
            check=False,
        )
        output = done.stderr if shows_token else done.stdout + done.stderr
        self.check(output)
        shown = f"exit {done.returncode}\n{output.decode(errors='replace')}"
        assert code is None or done.returncode == code, shown
        assert "SONAR_DEBUG" in given or b"Traceback" not in done.stderr, shown
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")
        )

    def check(self, output: bytes) -> None:
        """Fails where there is a secret in `output`."""
        found = [secret for secret in self.secrets for form in _forms(secret) if form in output]
        assert not found, f"a secret is shown:\n{output.decode(errors='replace')}"
        proof = _PROOF.search(output)
        assert proof is None, f"{proof and proof[0]!r} is shown:\n{output.decode(errors='replace')}"


def _forms(secret: str) -> list[bytes]:
    """The secret and what it looks like inside of base64, at each of the three places it may start."""
    plain = secret.encode()
    return [plain, *(base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3))]


@pytest.fixture
def sonar(tmp_path: Path) -> Sonar:
    """Runs `sonar` with an empty home: `sonar("check", host, code=4).stderr`."""
    home = tmp_path / "home"
    home.mkdir()
    return Sonar(home)
