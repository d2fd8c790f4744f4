"""What there is to do for a copy, found out before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sonar_core.content import Digest
from sonar_core.errors import Missing, SonarError
from sonar_core.manifest import Manifest
from sonar_core.platforms import Platform
from sonar_core.settings import Settings
from sonar_core.stores import Name, Place

from .graph import Graph, Walker, referrers
from .platform import reduce_index


@dataclass(frozen=True)
class Options:
    """How to copy. `platforms`: these entries of an index, in a smaller one; none: everything, digests preserved.

    `referrers`: signatures and whatever else refers to what is copied, too. `clobber`: move a tag that is there.
    `dry_run`: find out what there is to do, and do nothing. `foreign`: also fetch the layers that their publisher keeps
    elsewhere, from the `urls` in the manifest.
    """

    platforms: Sequence[Platform] = ()
    referrers: bool = False
    clobber: bool = True
    dry_run: bool = False
    foreign: bool = False


@dataclass(frozen=True)
class Plan:
    """The work of one copy: `root` gets the name `tag`; None where the target has it already.

    `near`: within one place, so that everything the root consists of is there.
    """

    source: Place
    target: Place
    tag: str | None
    digest: Digest
    source_digest: Digest
    media_type: str
    root: Manifest | None = None
    graph: Graph = field(default_factory=Graph)
    referrers: tuple[Manifest, ...] = ()
    near: bool = False

    @property
    def unchanged(self) -> bool:
        """Whether there is nothing to do."""
        return self.root is None and not self.referrers

    @property
    def referrer_digests(self) -> frozenset[Digest]:
        """The digests of what refers to the image."""
        return frozenset(manifest.digest for manifest in self.referrers)


def make_plan(source: Place, target: Place, options: Options, settings: Settings) -> Plan:
    """Look at both sides. Asks for no more than is needed: two requests where nothing changed, or within one place."""
    near = source.store.key == target.store.key
    tag = _tag(source, target)
    root: Manifest | None = None
    if options.platforms or (near and options.clobber):
        original = source.store.manifest(source.name)
        source_digest = original.digest
        root = reduce_index(original, options.platforms)
        digest, media_type = root.digest, root.media_type
    else:
        found = source.store.resolve(source.name)
        digest = source_digest = found.digest
        media_type = found.media_type
    if isinstance(target.name, Digest) and target.name != digest:
        raise SonarError(f"{source} has digest {digest}, it can't be stored as {target}", hint="name a tag")
    there = None if near and options.clobber else _there(target, tag or digest)
    if not options.clobber and tag is not None and there not in (None, digest):
        raise SonarError(f"{target} is there already, with digest {there}", hint="without --no-clobber it is replaced")
    unchanged = there == digest
    if not unchanged or options.referrers:
        root = root or source.store.manifest(digest)
    plan = Plan(source, target, tag, digest, source_digest, media_type, None if unchanged else root, near=near)
    if root is None or (near and not options.referrers):
        return plan

    def walker(known: Callable[[Digest], bool] | None = None) -> Walker:
        return Walker(source.store, jobs=settings.jobs, depth=settings.depth, known=known)

    if not options.referrers:
        # Where there is another version already, it may share images with this one.
        walk = walker(target.store.has_manifest if there is not None else None)
        walk.walk(root)
        return replace(plan, graph=walk.graph)
    image, others = walker(), walker()
    image.walk(root)
    about = referrers(source.store, image.graph.manifests, others, jobs=settings.jobs)
    graph = others.graph if unchanged or near else image.graph.merged(others.graph)
    return replace(plan, graph=graph, referrers=tuple(about))


def _tag(source: Place, target: Place) -> str | None:
    """What the image is called at the target: as the user said, or else as at the source."""
    if isinstance(target.name, Digest):
        return None
    if target.name is not None:
        return target.name
    if not isinstance(source.name, str):
        return None
    return source.store.full_name(source.name) if target.store.full_names else source.name


def _there(target: Place, name: Name) -> Digest | None:
    """What the target has under that name now."""
    try:
        return target.store.resolve(name).digest
    except Missing:
        return None
