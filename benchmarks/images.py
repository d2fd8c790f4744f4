"""Moving images: one large layer, many small ones, and nothing to do; registries and layouts in memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.harness import PEERS, SONAR, Case, Contender, run
from tests.support import images
from tests.support.docker_registry import DockerRegistry, start_docker_registry
from tests.support.processes import Server, free_port, require, start
from tests.support.push import push

_MIB = 1024 * 1024
_LARGE, _MANY = 1024, 60
_RUNS = 5

_DXF_PULL = """
import json, sys
from pathlib import Path
from dxf import DXF
host, repository, directory = sys.argv[1:]
with DXF(host, repository, insecure=True) as client:
    manifest = json.loads(client.get_manifest("v1"))
    Path(directory).mkdir()
    for blob in (manifest["config"], *manifest["layers"]):
        with Path(directory, blob["digest"][7:]).open("wb") as file:
            for block in client.pull_blob(blob["digest"], chunk_size=1024 * 1024):
                file.write(block)
"""

_DXF_PUSH = """
import json, sys
from pathlib import Path
from dxf import DXF
host, repository, layout = sys.argv[1:]
blobs = Path(layout, "blobs", "sha256")
entry = json.loads(Path(layout, "index.json").read_text())["manifests"][0]
raw = (blobs / entry["digest"][7:]).read_text()
manifest = json.loads(raw)
with DXF(host, repository, insecure=True) as client:
    for blob in (manifest["config"], *manifest["layers"]):
        client.push_blob(str(blobs / blob["digest"][7:]), digest=blob["digest"])
    client.set_manifest("v1", raw)
"""

# Blob by blob: `pull` unpacks what says that it is a packed tar, which is other work.
_ORAS_PULL = """
import sys
from pathlib import Path
from oras.client import OrasClient
target, directory = sys.argv[1:]
client = OrasClient(insecure=True)
manifest = client.get_manifest(target)
Path(directory).mkdir()
for blob in (manifest["config"], *manifest["layers"]):
    client.download_blob(target, blob["digest"], str(Path(directory, blob["digest"][7:])))
"""

_ORAS_PUSH = """
import sys
from oras.client import OrasClient
target, *files = sys.argv[1:]
OrasClient(insecure=True).push(target=target, files=files, disable_path_validation=True, quiet=True)
"""


# What the registry takes to take the bytes: nobody hashes them here, and the kernel sends them.
_BARE_PUSH = """
import http.client, json, sys
from pathlib import Path
from urllib.parse import urlsplit
host, repository, layout = sys.argv[1:]
blobs = Path(layout, "blobs", "sha256")
entry = json.loads(Path(layout, "index.json").read_text())["manifests"][0]
raw = (blobs / entry["digest"][7:]).read_bytes()
manifest = json.loads(raw)
client = http.client.HTTPConnection(host)
def answered():
    answer = client.getresponse()
    answer.read()
    return answer
for blob in (manifest["config"], *manifest["layers"]):
    client.request("POST", f"/v2/{repository}/blobs/uploads/")
    place = urlsplit(answered().headers["Location"])
    client.putrequest("PUT", f"{place.path}?{place.query}&digest={blob['digest']}")
    client.putheader("Content-Length", str(blob["size"]))
    client.endheaders()
    with (blobs / blob["digest"][7:]).open("rb") as file:
        client.sock.sendfile(file)
    answered()
client.request("PUT", f"/v2/{repository}/manifests/v1", raw, {"Content-Type": manifest["mediaType"]})
answered()
"""

_HASH = "import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256').hexdigest())"


def _random_layer(size: int, seed: int, *, packed: bool = False) -> images.Layer:
    """A layer of random bytes. skopeo packs one that is not packed, on its way; the others leave it as it is."""
    parts = [images.noise(_MIB, seed + number) for number in range(size // _MIB)]
    plain = hashlib.sha256()
    for part in parts:
        plain.update(part)
    data = b"".join(gzip.compress(part, 0, mtime=0) if packed else part for part in parts)
    kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if packed else "")
    return images.Layer(images.Content(kind, data), f"sha256:{plain.hexdigest()}")


@dataclass(frozen=True)
class _Place:
    """Where a contender puts something, and how that is removed and checked. skopeo packs plain layers on its way, so
    what it leaves is not `exact`: as many blobs, each with the digest that it is called by."""

    path: Path
    blobs: Sequence[str]
    exact: bool = True

    def wipe(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def check(self, _: bytes = b"") -> None:
        """Every blob is there under its hash, with its content."""
        files = [path for path in self.path.rglob("*") if path.is_file() and len(path.name) >= 64]
        found = {_digest(path) for path in files if _digest(path).endswith(path.name[-64:])}
        if len(found) < len(self.blobs) or (self.exact and not found >= set(self.blobs)):
            raise RuntimeError(f"blobs are missing in {self.path}, or have other content")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Target:
    """A registry that is wiped between runs. It keeps nothing in mind of what it has (no blob-descriptor cache)."""

    registry: DockerRegistry
    blobs: Sequence[str]
    exact: bool = True

    @property
    def host(self) -> str:
        return self.registry.host

    def wipe(self) -> None:
        shutil.rmtree(f"{self.registry.root}/docker", ignore_errors=True)

    def check(self, _: bytes = b"") -> None:
        """The image is there, and every blob, whose content docker-registry has verified."""
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        url = f"{self.registry.url}/v2/bench/image/manifests/v1"
        request = urllib.request.Request(url, headers=accept)  # noqa: S310 (a registry on loopback)
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            manifest = json.loads(answer.read())
        layers = {layer["digest"] for layer in manifest["layers"]}
        if len(layers) != len(self.blobs) - 1 or (self.exact and layers != set(self.blobs[1:])):
            raise RuntimeError("the manifest at the target is another")
        for digest in layers:
            hexadecimal = digest.partition(":")[2]
            kept = Path(f"{self.registry.root}/docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data")
            if _digest(kept) != digest:
                raise RuntimeError(f"{digest} has other content at the target")


@dataclass(frozen=True)
class _Served:
    """An embedded registry, begun anew for each run, with its content in a layout."""

    root: Path
    blobs: Sequence[str]
    port: int
    exact: bool = True
    servers: list[Server] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        while self.servers:
            self.servers.pop().stop()

    def wipe(self) -> None:
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)
        log = self.root.with_suffix(".log")
        command = [SONAR, "serve", "--address", self.host, "--root", str(self.root)]
        self.servers.append(start(lambda _: command, log, port=self.port, ready=b"listens"))

    def check(self, _: bytes = b"") -> None:
        _Place(self.root, self.blobs[1:], self.exact).check()


class _Bench:
    """Two registries and a layout with one image."""

    def __init__(self, stack: ExitStack, image: images.Image) -> None:
        self.root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        quiet = {"log": {"level": "info", "accesslog": {"disabled": True}}}
        self.source, self.target = (
            start_docker_registry(self.root / name, extra=quiet) for name in ("source", "target")
        )
        stack.callback(self.source.stop)
        stack.callback(self.target.stop)
        push(self.source.url, "bench/image", "v1", image)
        self.layout = images.write_layout(self.root / "layout", {"v1": image})
        self.blobs = [blob.digest for blob in image.blobs]
        self.wiped = _Target(self.target, self.blobs)
        self.served = _Served(self.root / "served", self.blobs, free_port())
        stack.callback(self.served.stop)
        self.skopeo = [require("skopeo"), "--insecure-policy", "copy", "--quiet"]

    def pull(self) -> dict[str, Contender]:
        source = f"{self.source.host}/bench/image"
        out = _Place(self.root / "out", self.blobs)

        def contender(command: Sequence[str], *, exact: bool = True) -> Contender:
            return Contender(command, out.wipe, _Place(out.path, out.blobs, exact).check)

        return {
            "sonar": contender([SONAR, "image", "pull", f"{source}:v1", f"oci:{out.path}:v1"]),
            "skopeo": contender(
                [*self.skopeo, "--src-tls-verify=false", f"docker://{source}:v1", f"oci:{out.path}:v1"],
                exact=False,
            ),
            "dxf": contender([PEERS, "-c", _DXF_PULL, self.source.host, "bench/image", str(out.path)]),
            "oras": contender([PEERS, "-c", _ORAS_PULL, f"{source}:v1", str(out.path)]),
        }

    def push(self, end: _Target | _Served) -> dict[str, Contender]:
        target = f"{end.host}/bench/image"
        files = [f"{self.layout}/blobs/{digest.replace(':', '/')}" for digest in self.blobs[1:]]

        def contender(command: Sequence[str], *, exact: bool = True) -> Contender:
            return Contender(command, end.wipe, replace(end, exact=exact).check)

        return {
            "sonar": contender([SONAR, "image", "push", f"oci:{self.layout}:v1", f"{target}:v1"]),
            "skopeo": contender(
                [*self.skopeo, "--dest-tls-verify=false", f"oci:{self.layout}:v1", f"docker://{target}:v1"],
                exact=False,
            ),
            "dxf": contender([PEERS, "-c", _DXF_PUSH, end.host, "bench/image", str(self.layout)]),
            "oras": contender([PEERS, "-c", _ORAS_PUSH, f"{target}:v1", *files]),
            "bare": contender([PEERS, "-c", _BARE_PUSH, end.host, "bench/image", str(self.layout)]),
        }

    def read(self) -> dict[str, Contender]:
        """One blob to nowhere, and its hash alone, of a file in memory."""
        digest = self.blobs[1]
        blob = f"{self.source.host}/bench/image@{digest}"
        file = f"{self.layout}/blobs/{digest.replace(':', '/')}"
        return {
            "sonar": Contender(["sh", "-c", f"exec {SONAR} blob get {blob} >/dev/null"]),
            "sha256": Contender([sys.executable, "-c", _HASH, file]),
        }

    def copy(self, prepare: Callable[[], None] | None) -> dict[str, Contender]:
        source, target = (f"{registry.host}/bench/image:v1" for registry in (self.source, self.target))
        verify = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        theirs = [*self.skopeo, *verify, f"docker://{source}", f"docker://{target}"]
        return {
            "sonar": Contender([SONAR, "image", "copy", source, target], prepare, self.wiped.check),
            "skopeo": Contender(theirs, prepare, replace(self.wiped, exact=False).check),
        }


_FASTEST = [("sonar", "dxf", 1.0), ("sonar", "oras", 1.0)]


def cases() -> Iterator[list[str]]:
    """Run all of them; yields the lines of each."""
    for packed in (False, True):
        with ExitStack() as stack:
            bench = _Bench(stack, images.image(_random_layer(_LARGE * _MIB, 0, packed=packed)))
            what = f"a {'packed' if packed else 'plain'} layer of {_LARGE} MiB"
            bounds = [("sonar", "skopeo", 1.0 if packed else 0.33), *_FASTEST]
            yield run(Case(f"pull {what}", bench.pull(), bounds, _RUNS)).lines()
            # docker-registry takes three seconds to hash it, whoever sends it; the embedded registry keeps up.
            bounds = [("sonar", "skopeo", 1.0), *_FASTEST, ("sonar", "bare", 1.1)]
            yield run(Case(f"push {what}", bench.push(bench.wiped), bounds, _RUNS)).lines()
            bounds = [("sonar", "skopeo", 1.0 if packed else 0.36), *_FASTEST]
            yield run(Case(f"push {what} to sonar serve", bench.push(bench.served), bounds, _RUNS)).lines()
            if not packed:
                yield run(Case(f"blob get of {what}", bench.read(), [("sonar", "sha256", 1.4)], _RUNS)).lines()
    for packed in (False, True):
        with ExitStack() as stack:
            layers = (_random_layer(_MIB, number, packed=packed) for number in range(_MANY))
            bench = _Bench(stack, images.image(*layers))
            what = f"{_MANY} {'packed' if packed else 'plain'} layers of 1 MiB"
            for name, contenders, most in (("pull", bench.pull(), 0.60), ("push", bench.push(bench.wiped), 0.40)):
                bounds = [("sonar", "skopeo", 1.0 if packed else most), *_FASTEST]
                yield run(Case(f"{name} {what}", contenders, bounds, _RUNS)).lines()
            copied = bench.copy(bench.wiped.wipe)
            yield run(Case(f"copy {what}", copied, [("sonar", "skopeo", 1.0 if packed else 0.75)], _RUNS)).lines()
            if not packed:
                unchanged = bench.copy(None)
                bounds = [("sonar", "skopeo", 0.9)]
                yield run(Case("copy what is there already", unchanged, bounds, 2 * _RUNS)).lines()
