"""Lists and digests: many tags, many repositories, a slow link; and what a start costs."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from benchmarks.harness import PEERS, SONAR, Case, Contender, run
from tests.support import images
from tests.support.docker_registry import start_docker_registry
from tests.support.proxy import Proxy
from tests.support.push import push

_TAGS, _MANY, _REPOSITORIES = 500, 10_000, 1000

_DXF = """
import sys
from dxf import DXF
host, repository = sys.argv[1:]
with DXF(host, repository, insecure=True) as client:
    for tag in client.list_aliases():
        print(tag, client.head_manifest_and_response(tag)[1].headers["Docker-Content-Digest"])
"""

_ONE_BY_ONE = """
import sys, urllib3
host, repository = sys.argv[1:]
pool = urllib3.HTTPConnectionPool(host)
tags = pool.request("GET", f"/v2/{repository}/tags/list").json()["tags"]
accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
for tag in tags:
    answer = pool.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=accept)
    print(tag, answer.headers["Docker-Content-Digest"])
"""

_IMPORTS = "import typer, pluggy, urllib3"


def _lines(expected: int) -> Callable[[bytes], None]:
    def verify(output: bytes) -> None:
        found = len(output.splitlines())
        if found != expected:
            raise RuntimeError(f"{found} lines instead of {expected}")

    return verify


@contextmanager
def _registry(directory: Path) -> Iterator[str]:
    """A docker-registry with its content in memory: an image under 500 and 10,000 tags, and in 1,000 repositories."""
    registry = start_docker_registry(directory)
    try:
        image = images.image()
        push(registry.url, "bench/tags", "v0", image)
        _copies(registry.root, "bench/tags", [f"v{number}" for number in range(_TAGS)])
        push(registry.url, "bench/many", "v0", image)
        _copies(registry.root, "bench/many", [f"v{number:05}" for number in range(_MANY)], first="v0")
        yield registry.host
    finally:
        registry.stop()


def _copies(root: Path | None, repository: str, tags: list[str], first: str = "v0") -> None:
    """Tags as docker-registry keeps them on disk: a folder with a link file each. Faster than so many PUTs."""
    folder = Path(f"{root}/docker/registry/v2/repositories/{repository}/_manifests/tags")
    link = (folder / first / "current" / "link").read_text()
    for tag in tags:
        current = folder / tag / "current"
        current.mkdir(parents=True, exist_ok=True)
        (current / "link").write_text(link)
    if first not in tags:
        for path in sorted((folder / first).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (folder / first).rmdir()


@contextmanager
def _catalog(directory: Path) -> Iterator[str]:
    """A docker-registry with 1,000 repositories."""
    registry = start_docker_registry(directory)
    try:
        push(registry.url, "bench/r0", "v0", images.image())
        made = Path(f"{registry.root}/docker/registry/v2/repositories/bench")
        for number in range(1, _REPOSITORIES):
            (made / f"r{number}" / "_manifests" / "tags" / "v0").mkdir(parents=True)
            (made / f"r{number}" / "_layers").mkdir()
            (made / f"r{number}" / "_uploads").mkdir()
        yield registry.host
    finally:
        registry.stop()


def cases() -> Iterator[list[str]]:
    """Run all of them; yields the lines of each."""
    python = sys.executable
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shm, ExitStack() as stack:
        host = stack.enter_context(_registry(Path(shm) / "tags"))
        start = Contender([python, "-c", _IMPORTS])
        yield run(
            Case(
                "sonar check",
                {"sonar": Contender([SONAR, "check", host]), "imports": start},
                [("sonar", "imports", 1.3)],
                runs=21,
            )
        ).lines()
        digests = Contender([SONAR, "tag", "ls", f"{host}/bench/tags", "--digests"], verify=_lines(_TAGS))
        yield run(
            Case(
                f"digests of {_TAGS} tags",
                {"sonar": digests, "dxf": Contender([PEERS, "-c", _DXF, host, "bench/tags"], verify=_lines(_TAGS))},
                [("sonar", "dxf", 0.5)],
            )
        ).lines()
        with closing(Proxy(host, delay=0.02)) as slow:
            command = [SONAR, "tag", "ls", f"{slow.host}/bench/tags", "--digests"]
            single = Contender([python, "-c", _ONE_BY_ONE, slow.host, "bench/tags"], verify=_lines(_TAGS))
            yield run(
                Case(
                    f"digests of {_TAGS} tags over a link of 20 ms there and back",
                    {"sonar": Contender(command, verify=_lines(_TAGS)), "one by one": single},
                    [("sonar", "one by one", 0.2)],
                    runs=3,
                )
            ).lines()
        many = Contender([SONAR, "tag", "ls", f"{host}/bench/many"], verify=_lines(_MANY))
        repositories = stack.enter_context(_catalog(Path(shm) / "catalog"))
        listed = Contender([SONAR, "repo", "ls", repositories], verify=_lines(_REPOSITORIES))
        outcome = run(Case("long lists", {"10,000 tags": many, "1,000 repositories": listed, "imports": start}))
        extra = {
            name: outcome.median(name) - outcome.median("imports") for name in ("10,000 tags", "1,000 repositories")
        }
        verdicts = [
            f"  {name}: {seconds:.3f} s more than the imports, at most 0.150: {'ok' if seconds <= 0.15 else 'MISSED'}"
            for name, seconds in extra.items()
        ]
        yield [*outcome.lines(), *verdicts]
