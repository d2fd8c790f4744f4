"""What a start imports: every command pays for it (DESIGN, 6). Modules are counted, not milliseconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"urllib3", "rich", "pydantic", "ssl", "http.client", "http.server", "email", "tarfile", "asyncio", "tomllib"}


def modules(statement: str) -> set[str]:
    """The modules that Python has imported at the end of `statement`."""
    probe = (
        "import sys, json, atexit\natexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
    )
    # Without what measures coverage in processes: it imports things of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", probe + statement], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def run(*arguments: str) -> set[str]:
    return modules(f"sys.argv = ['sonar', *{arguments!r}]\nfrom sonar_core.cli.main import main\nmain()")


def command_modules(found: set[str]) -> set[str]:
    return {name for name in found if name.startswith("sonar_plugins.") and name.count(".") > 1}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), (), ("tag", "--help"), ("image", "--help")])
def test_help_and_version_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    """No urllib3, no rich, no pydantic, and no command's module."""
    found = run(*arguments)
    assert not found & (HEAVY - {"email"})
    assert not {name for name in command_modules(found) if name.rpartition(".")[2] in ("commands", "endpoint")}


def test_version_imports_next_to_nothing() -> None:
    found = run("--version")
    assert "typer" not in found
    assert "pluggy" not in found
    assert "sonar_core.plugins" not in found


def test_the_help_of_a_command_imports_that_command_alone() -> None:
    found = run("check", "--help")
    commands = {name for name in command_modules(found) if name.rpartition(".")[2] == "commands"}
    assert commands == {"sonar_plugins.check.commands"}
    assert not found & {"urllib3", "rich", "pydantic"}


def test_importing_the_library_imports_nothing_heavy() -> None:
    found = modules("import sonar_core")
    assert not found & (HEAVY | {"pluggy", "typer", "dataclasses", "inspect"})
    assert {name for name in found if name.startswith("sonar_")} == {"sonar_core", "sonar_core._version"}


def test_a_client_imports_urllib3_when_it_sends() -> None:
    """`import sonar_core` must not import urllib3 until a Client sends something (DESIGN, 1)."""
    made = modules("from sonar_core import Client\nClient('localhost:1').tags")
    assert not made & {"urllib3", "typer", "rich", "ssl", "http.client"}
    sent = modules(
        "from sonar_core import Client, Settings, ConnectionFailed\n"
        "try: Client('localhost:1', settings=Settings(attempts=1)).request('GET')\n"
        "except ConnectionFailed: pass\n"
    )
    assert "urllib3" in sent
    assert not sent & {"typer", "rich", "pydantic", "http.server"}


def test_a_check_imports_what_it_needs() -> None:
    """No other command, none of authentication unless asked for, no rich, and of the standard library nothing big."""
    from sonar_core.testing.scripted import Answer, Origin

    with Origin() as registry:
        registry.on("GET", "/v2/", Answer(200, json={}))
        found = run("check", registry.host)
    assert command_modules(found) & {name for name in found if name.endswith((".commands", ".endpoint"))} == {
        "sonar_plugins.check.commands",
        "sonar_plugins.check.endpoint",
    }
    assert not found & {"rich", "pydantic", "http.server", "tarfile", "asyncio", "concurrent.futures", "tomllib"}
    assert not found & {"sonar_core.challenge", "sonar_core.manifest", "urllib.request"}
