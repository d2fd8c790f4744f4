"""Many operations from many threads on one Client, while a proxy between spoils a share of them."""

from __future__ import annotations

import gc
import random
import resource
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.errors import SonarError
from sonar_core.manifest import Manifest
from sonar_core.settings import Settings
from sonar_core.sources import BytesSource
from sonar_plugins.blobs.endpoint import Blobs
from sonar_plugins.manifests.endpoint import Manifests
from sonar_plugins.tags.endpoint import Tags
from tests.support import images
from tests.support.docker_registry import DockerRegistry
from tests.support.faulty import Faulty
from tests.support.push import push

REPOSITORY = "soak/app"
_IMAGES = 8
_LAYER = 200_000  # bytes


@dataclass
class Figures:
    """What came of it. `wrong` lists results that were neither right nor a SonarError, `left` what was kept open."""

    operations: int
    right: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    grown: float = 0.0  # MiB that the process grew by, over the second half

    def __str__(self) -> str:
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        errors = ", ".join(f"{name} {count}" for name, count in sorted(self.failed.items())) or "none"
        left = ", ".join(f"{name} {count}" for name, count in sorted(self.left.items()))
        return (
            f"{self.operations} operations: {sum(self.right.values())} right, {sum(self.failed.values())} typed errors "
            f"({errors}), {len(self.wrong)} wrong\nfaults: {faults}\nleft: {left}; grown by {self.grown:.1f} MiB"
        )


@dataclass(frozen=True)
class Known:
    """What is in the registry: the manifests by tag, the layers by digest."""

    manifests: dict[str, bytes]
    layers: dict[Digest, bytes]


def fill(registry: DockerRegistry) -> Known:
    """Puts a few images in, by requests that have nothing of sonar's."""
    manifests, layers = {}, {}
    for number in range(_IMAGES):
        image = images.image(images.layer({"data": images.noise(_LAYER, number)}))
        push(registry.url, REPOSITORY, f"v{number}", image)
        manifests[f"v{number}"] = image.manifest.data
        for content in image.all_blobs():
            layers[Digest.parse(content.digest)] = content.data
    return Known(manifests, layers)


class Soak:
    """The operations, each of which returns whether its result was right."""

    def __init__(self, client: Client, known: Known) -> None:
        self._known = known
        self._tags, self._manifests, self._blobs = Tags(client), Manifests(client), Blobs(client)
        self.operations: tuple[Callable[[random.Random], bool], ...] = (
            self.list,
            self.head,
            self.get,
            self.pull,
            self.pull,
            self.push,
            self.tag,
        )

    def list(self, chance: random.Random) -> bool:
        return set(self._known.manifests) <= set(self._tags.list(REPOSITORY))

    def head(self, chance: random.Random) -> bool:
        tag = chance.choice(sorted(self._known.manifests))
        return self._manifests.head(REPOSITORY, tag).digest == Digest.of(self._known.manifests[tag])

    def get(self, chance: random.Random) -> bool:
        tag = chance.choice(sorted(self._known.manifests))
        return self._manifests.get(REPOSITORY, tag).raw == self._known.manifests[tag]

    def pull(self, chance: random.Random) -> bool:
        digest = chance.choice(sorted(self._known.layers, key=str))
        content = self._known.layers[digest]
        return b"".join(self._blobs.get(REPOSITORY, digest, size=len(content))) == content

    def push(self, chance: random.Random) -> bool:
        content = chance.randbytes(chance.randrange(1, 50_000))
        digest = Digest.of(content)
        chunk = chance.choice([None, None, 10_000])
        self._blobs.put(REPOSITORY, digest, BytesSource(content), len(content), chunk=chunk)
        return self._blobs.head(REPOSITORY, digest).size == len(content)

    def tag(self, chance: random.Random) -> bool:
        raw = self._known.manifests[chance.choice(sorted(self._known.manifests))]
        name = f"t{chance.randrange(10**9)}"
        self._manifests.put(REPOSITORY, name, Manifest.parse(raw))
        return self._manifests.get(REPOSITORY, name).raw == raw


def soak(registry: DockerRegistry, *, operations: int, threads: int, seed: int) -> Figures:
    """Run `operations` operations in `threads` threads on one Client through a proxy that spoils some."""
    known = fill(registry)
    before = _held()
    figures = Figures(operations)
    lock = threading.Lock()
    memory: list[float] = []
    with Faulty(registry.host, seed=seed) as faulty:
        with Client(faulty.host, settings=Settings(timeout=10.0, backoff=0.01)) as client:
            work = Soak(client, known)

            def one(number: int) -> None:
                chance = random.Random(f"{seed} {number}")
                operation = chance.choice(work.operations)
                name = operation.__name__
                try:
                    right = operation(chance)
                except SonarError as error:
                    with lock:
                        figures.failed[f"{name}: {type(error).__name__}"] += 1
                except Exception as error:
                    with lock:
                        figures.wrong.append(f"{name}: {type(error).__name__}: {error}")
                else:
                    with lock:
                        figures.right[name] += right
                        if not right:
                            figures.wrong.append(f"{name}: a wrong result")
                if number in (operations // 2, operations - 1):
                    memory.append(_mebibytes())

            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(one, range(operations)))
        figures.faults = dict(faulty.counts)
    gc.collect()
    after = _held()
    figures.left = {name: after[name] - before[name] for name in after}
    figures.grown = memory[-1] - memory[0]
    return figures


def _held() -> dict[str, int]:
    return {
        "threads": threading.active_count(),
        "file descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "sockets": sum(_is_socket(entry) for entry in Path("/proc/self/fd").iterdir()),
    }


def _is_socket(entry: Path) -> bool:
    try:
        return str(entry.readlink()).startswith("socket:")
    except OSError:
        return False


def _mebibytes() -> float:
    """The memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
