"""`sonar quickstart`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from sonar_core.command import Connect, Report
from sonar_core.errors import SonarError
from sonar_core.redaction import printable
from sonar_core.reference import Registry
from sonar_core.sources import BytesSource
from sonar_plugins.blobs.endpoint import Blobs
from sonar_plugins.manifests.endpoint import Manifests
from sonar_plugins.serve.server import EmbeddedRegistry

from .image import Built, build

REPOSITORY, TAG = "demo/sonar", "v1"
_SHOWN = 30  # lines of one step's output


@dataclass(frozen=True)
class Step:
    """One step of the tour: what it shows, the command as a user would type it, and what that printed.

    The last step has no command: its output says what to try next.
    """

    title: str
    command: str
    output: str


def quickstart(
    connect: Connect,
    report: Report,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the registry running until Ctrl-C.")] = False,
) -> Iterator[Step]:
    """Take the tour: what sonar does, on a registry that exists for as long as the tour.

    Each step shows the command as you would type it, and its real output.
    """
    with EmbeddedRegistry() as registry:
        built = build()
        _push(connect, registry.host, built)
        report(f"an embedded registry listens on {registry.host}; an image for two platforms was pushed into it")
        yield from _steps(registry.host, built)
        yield Step("What to try next", "", _next(registry.host if keep else None))
        if keep:
            report(f"{registry.host}/{REPOSITORY}:{TAG} is there for you to try; Ctrl-C ends it")
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                report("the embedded registry was stopped")


def _push(connect: Connect, host: str, built: Built) -> None:
    client = connect(Registry.parse(host))
    for digest, content in built.blobs.items():
        Blobs(client).put(REPOSITORY, digest, BytesSource(content), len(content))
    for manifest in built.manifests:
        Manifests(client).put(REPOSITORY, manifest.digest, manifest)
    Manifests(client).put(REPOSITORY, TAG, built.index)


def _steps(host: str, built: Built) -> Iterator[Step]:
    repository = f"{host}/{REPOSITORY}"
    layer = built.manifests[0].layers[0].digest
    yield _step("Does it answer, and what does it ask for?", "check", host)
    yield _step("Which repositories are there?", "repo", "ls", host)
    yield _step("Which tags, and what do they point to?", "tag", "ls", repository, "--digests")
    yield _step("What is behind a tag? Here an index of two platforms.", "manifest", "get", f"{repository}:{TAG}")
    yield _step("How large is a layer?", "blob", "head", f"{repository}@{layer}")


def _next(host: str | None) -> str:
    """What to try next; with the registry that stays, if there is one."""
    image = f"{host}/{REPOSITORY}:{TAG}"
    kept = [
        (f"sonar image inspect {image}", "config, platforms, layers, sizes"),
        (f"sonar image files {image} --platform linux/amd64", "what is in it, without pulling it"),
        (f"sonar image copy {image} oci:DIRECTORY", "an image onto the disk, every digest kept"),
    ]
    tries = [
        *(kept if host else [("sonar quickstart --keep", "the same, and the registry stays until Ctrl-C")]),
        ("sonar serve --root DIRECTORY", "an embedded registry of your own, on port 5000"),
        ("sonar check ghcr.io", "a real registry"),
        ("sonar --help", "all there is"),
    ]
    width = max(len(command) for command, _ in tries)
    return "\n".join(f"{command:{width}}  {about}" for command, about in tries)


def _step(title: str, *arguments: str) -> Step:
    """Run `sonar ARGUMENTS` in a process of its own, as the user would. Raises SonarError where it fails."""
    done = subprocess.run(  # noqa: S603 (our own program, no shell)
        [sys.executable, "-m", "sonar_core.cli", *arguments],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    command = shlex.join(["sonar", *arguments])
    if done.returncode:
        raise SonarError(f"`{command}` failed: {done.stderr.strip()}")
    return Step(title, command, done.stdout)


def text(step: Step) -> str:
    """The step as on a terminal: a comment, the prompt with the command, and the output, cut where it is long."""
    lines = step.output.splitlines()
    shown = [printable(line.expandtabs()) for line in lines[:_SHOWN]]
    if len(lines) > _SHOWN:
        shown.append(f"… ({len(lines) - _SHOWN} more lines)")
    prompt = [f"$ {step.command}"] if step.command else []
    return "\n".join([f"# {step.title}", *prompt, *shown, ""])
