"""`copy`: an image from one place to another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from sonar_core.platforms import Platform
from sonar_core.plugins import Plugins
from sonar_core.progress import Listener, ignore
from sonar_core.settings import Settings
from sonar_core.stores import Connections, Place, Stores

from .foreign import ForeignLayers
from .plan import Options, Plan, make_plan
from .result import CopyResult
from .transfer import Transfer


def copy(
    source: str,
    target: str,
    *,
    platforms: Sequence[Platform | str] = (),
    referrers: bool = False,
    clobber: bool = True,
    dry_run: bool = False,
    foreign: bool = False,
    progress: Listener = ignore,
    settings: Settings | None = None,
    plugins: Plugins | None = None,
) -> CopyResult:
    """Copy an image, with everything that it consists of, from one location to another.

    A location is a reference (`ghcr.io/owner/name:v1`), `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
    `docker-archive:FILE[:NAME:TAG]`, or whatever plugins add. Every byte is verified; what the target has is not
    sent. See `Options` for `platforms` (texts as "linux/arm64" are taken, too), `referrers`, `clobber`, `dry_run` and
    `foreign`. `progress` is told of everything as it happens, by several threads. `settings` and `plugins`: those of
    the config file and of the installed packages, unless given.

    Raises BadReference, Missing (no such image, or platform), IntegrityError, ResponseError, TransportError,
    ContentError, OSError; then the target has no half blob under a digest's name, and its tag is what it was.
    """
    wanted = tuple(Platform.parse(each) if isinstance(each, str) else each for each in platforms)
    options = Options(wanted, referrers, clobber, dry_run, foreign)
    with Connections(settings=settings, plugins=plugins) as connect, Stores(connect, connect.plugins) as stores:
        places = stores.open(source), stores.open(target, write=True)
        return copy_place(*places, options=options, settings=connect.settings, progress=progress)


def copy_place(
    source: Place, target: Place, *, options: Options, settings: Settings, progress: Listener = ignore
) -> CopyResult:
    """As `copy`, between places that were opened with `Stores`. The caller closes them: an archive is finished then."""
    started = time.monotonic()
    plan = make_plan(source, target, options, settings)
    with ExitStack() as stack:
        fetch = None
        if options.foreign:
            layers = ForeignLayers.of(source.store, settings)
            stack.callback(layers.close)
            fetch = layers.read
        transfer = Transfer(plan, settings.jobs, progress, fetch)
        if options.dry_run:
            transfer.look()
        else:
            transfer.run()
    result = _result(plan, transfer, fetched=options.foreign)
    return replace(result, seconds=round(time.monotonic() - started, 3), dry_run=options.dry_run)


def _result(plan: Plan, transfer: Transfer, *, fetched: bool) -> CopyResult:
    tally = transfer.tally
    manifests = list(plan.graph.manifests.values())
    if plan.root is not None and plan.root.digest not in plan.graph.manifests:
        manifests.append(plan.root)
    sent = sum(blob.size for blob in tally.sent) + sum(len(manifest.raw) for manifest in manifests)
    return CopyResult(
        source=str(plan.source),
        target=str(plan.target),
        digest=plan.digest,
        source_digest=plan.source_digest,
        media_type=plan.media_type,
        mounted=tuple(tally.mounted),
        skipped=tuple(tally.skipped),
        sent=tuple(tally.sent),
        foreign=() if fetched else tuple(plan.graph.foreign.values()),
        manifests=tuple(manifest.descriptor() for manifest in manifests),
        referrers=tuple(manifest.digest for manifest in plan.referrers),
        bytes=sent,
        unchanged=plan.unchanged,
    )
