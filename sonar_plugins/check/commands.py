"""`sonar check`."""

from __future__ import annotations

from sonar_core.cli.arguments import RegistryArgument
from sonar_core.command import Connect, default_registry

from .endpoint import Check, CheckResult


def check(connect: Connect, registry: RegistryArgument = None) -> CheckResult:
    """Ask a registry whether it answers.

    Exit code 0: it does. 4: it wants other credentials than it got. 3: it does not speak the distribution API v2.
    1: no answer.
    """
    return Check(connect(registry or default_registry()))()


def text(result: CheckResult) -> str:
    """One line: what it is and what it asks for."""
    version = result.api_version or "distribution API v2"
    auth = f"asks for {result.auth.capitalize()} authentication" if result.auth else "no authentication asked for"
    return f"{result.registry}: ok, {version}, {auth}"
