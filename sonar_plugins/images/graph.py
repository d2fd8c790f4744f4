"""Everything that an image consists of: found by following its manifests, each digest once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import ContentError, Missing
from sonar_core.manifest import Manifest
from sonar_core.media_types import is_manifest
from sonar_core.parallel import ordered_map
from sonar_core.stores import Store

_ITEMS = 100_000  # manifests and blobs of one image; more than that is no image


@dataclass
class Graph:
    """The manifests, those without children first, and the blobs of an image, in the order in which they are named.

    `heights`: 0 for an image, one more than its highest entry for an index. `foreign`: layers that their publisher
    keeps elsewhere (`urls`), which are not moved.
    """

    heights: dict[Digest, int] = field(default_factory=dict)
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    foreign: dict[Digest, Descriptor] = field(default_factory=dict)

    def merged(self, other: Graph) -> Graph:
        """Both together."""
        return Graph(
            {**self.heights, **other.heights},
            {**self.manifests, **other.manifests},
            {**self.blobs, **other.blobs},
            {**self.foreign, **other.foreign},
        )

    def levels(self) -> list[list[Manifest]]:
        """The manifests in the order in which they may be put: each list needs only those before it."""
        levels: list[list[Manifest]] = [[] for _ in range(max(self.heights.values(), default=-1) + 1)]
        for digest, manifest in self.manifests.items():
            levels[self.heights[digest]].append(manifest)
        return levels


class Walker:
    """Walks from manifests to what they name. `known`: what is there already, so that it is not looked into."""

    def __init__(self, store: Store, *, jobs: int, depth: int, known: Callable[[Digest], bool] | None = None) -> None:
        self._store = store
        self._jobs = jobs
        self._depth = depth
        self._known = known
        self.graph = Graph()

    def walk(self, root: Manifest) -> None:
        """Add `root` and everything below it. Raises ContentError where that is too deep or too much."""
        self._visit([root], 0)

    def _visit(self, manifests: list[Manifest], depth: int) -> None:
        if depth > self._depth:
            raise ContentError(f"the index has more than {self._depth} indexes inside of one another")
        graph = self.graph
        below: dict[Digest, Descriptor] = {}
        for manifest in manifests:
            graph.manifests.setdefault(manifest.digest, manifest)
            for child in manifest.children():
                if is_manifest(child.media_type):
                    if child.digest not in graph.manifests:
                        below[child.digest] = child
                elif _is_foreign(child):
                    graph.foreign[child.digest] = child
                else:
                    graph.blobs.setdefault(child.digest, child)
        if len(graph.manifests) + len(graph.blobs) + len(below) > _ITEMS:
            raise ContentError(f"the image has more than {_ITEMS} parts")
        if below:
            found = list(ordered_map(self._fetch, self._wanted(below.values()), min(self._jobs, len(below))))
            self._visit(found, depth + 1)
        for manifest in manifests:
            heights = [graph.heights[child.digest] for child in manifest.children() if child.digest in graph.heights]
            graph.heights[manifest.digest] = max(heights, default=-1) + 1

    def _wanted(self, children: Iterable[Descriptor]) -> list[Descriptor]:
        if self._known is None:
            return list(children)
        several = list(children)
        there = ordered_map(lambda child: self._known is not None and self._known(child.digest), several, self._jobs)
        return [child for child, known in zip(several, there, strict=True) if not known]

    def _fetch(self, child: Descriptor) -> Manifest:
        if child.data is not None:
            return Manifest.parse(child.data, child.media_type, child.digest)
        try:
            manifest = self._store.manifest(child.digest)
        except Missing as error:
            raise Missing(f"{error}; the index names it, but it is not there") from error
        if len(manifest.raw) != child.size:
            raise ContentError(
                f"the manifest {child.digest} has {len(manifest.raw)} bytes, the index says {child.size}"
            )
        return manifest


def _is_foreign(blob: Descriptor) -> bool:
    """Layers that are not to be distributed: Windows' base layers, mostly (image-spec, layer.md)."""
    return bool(blob.urls) and ("nondistributable" in blob.media_type or ".foreign." in blob.media_type)


def referrers(store: Store, about: Iterable[Digest], walker: Walker, *, jobs: int) -> list[Manifest]:
    """The manifests that refer to those in `about`, and those that refer to them, and so on; each once.

    What they consist of is added to the graph of `walker`.
    """
    found: dict[Digest, Manifest] = {}
    known = set(about)
    wanted = list(known)
    while wanted:
        listed = ordered_map(lambda digest: list(store.referrers(digest)), wanted, jobs)
        new = {each.digest for several in listed for each in several} - known
        for manifest in ordered_map(store.manifest, sorted(new, key=str), jobs):
            found[manifest.digest] = manifest
            walker.walk(manifest)
        wanted = [digest for digest in {*new, *walker.graph.manifests} if digest not in known]
        known.update(wanted)
    return list(found.values())
