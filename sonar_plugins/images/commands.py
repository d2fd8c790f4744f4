"""`sonar image copy`, `pull`, `push` and `rm`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from sonar_core.command import Connect, Progress, Report
from sonar_core.content import Digest
from sonar_core.errors import UsageError
from sonar_core.platforms import Platform
from sonar_core.plugins import Plugins
from sonar_core.redaction import printable
from sonar_core.settings import Settings
from sonar_core.sizes import size_text
from sonar_core.stores import Place, Stores, split_location

from .copying import copy_place
from .deleting import Removed, remove
from .plan import Options
from .result import CopyResult

_LOCATION = "A reference, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME:TAG]."

SourceArgument = Annotated[str, typer.Argument(metavar="SRC", help=_LOCATION)]
TargetArgument = Annotated[str, typer.Argument(metavar="DST", help=_LOCATION)]
PlatformsOption = Annotated[
    list[Platform] | None,
    typer.Option(
        "--platform",
        parser=Platform.parse,
        metavar="OS/ARCH",
        help="Only this platform of an index; may be repeated. The index becomes smaller and its digest another.",
    ),
]
ReferrersOption = Annotated[
    bool, typer.Option("--referrers", help="Signatures, SBOMs and whatever else refers to it, too.")
]
NoClobberOption = Annotated[bool, typer.Option("--no-clobber", help="Do not move a tag that is there already.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; do nothing.")]
ForeignOption = Annotated[
    bool, typer.Option("--foreign-layers", help="Fetch layers that are kept elsewhere, from the URLs in the manifest.")
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, metavar="N", help="Transfers at the same time. [6]")
]


def copy(
    connect: Connect,
    plugins: Plugins,
    settings: Settings,
    progress: Progress,
    report: Report,
    source: SourceArgument,
    target: TargetArgument,
    platform: PlatformsOption = None,
    referrers: ReferrersOption = False,
    no_clobber: NoClobberOption = False,
    dry_run: DryRunOption = False,
    foreign_layers: ForeignOption = False,
    jobs: JobsOption = None,
) -> CopyResult:
    """Copy an image from any place to any other, and verify every byte. What the target has is not sent.

    A place is a reference, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME:TAG].
    """
    options = _options(platform, referrers, no_clobber, dry_run, foreign_layers)
    session = _Session(Stores(connect, plugins), settings.with_options(jobs=jobs), progress, report)
    return session.copies([(source, target)], options)[0]


def pull(
    connect: Connect,
    plugins: Plugins,
    settings: Settings,
    progress: Progress,
    report: Report,
    locations: Annotated[list[str], typer.Argument(metavar="REF... DST", help="What to fetch, and where to.")],
    platform: PlatformsOption = None,
    referrers: ReferrersOption = False,
    no_clobber: NoClobberOption = False,
    dry_run: DryRunOption = False,
    foreign_layers: ForeignOption = False,
    jobs: JobsOption = None,
) -> list[CopyResult]:
    """Fetch images into oci:DIR, oci-archive:FILE or docker-archive:FILE.

    Several images keep their tags there; a single one may be given another, as in oci:DIR:TAG.
    """
    *sources, target = locations
    if not sources:
        raise UsageError("name what to pull, and then where to", hint="as in sonar image pull nginx:1.27 oci:nginx")
    if not split_location(target, plugins.stores())[0]:
        raise UsageError(f"{target!r} is a reference, not a place on disk", hint=f"perhaps oci:{target}, or image copy")
    options = _options(platform, referrers, no_clobber, dry_run, foreign_layers)
    session = _Session(Stores(connect, plugins), settings.with_options(jobs=jobs), progress, report)
    return session.copies([(source, target) for source in sources], options)


def push(
    connect: Connect,
    plugins: Plugins,
    settings: Settings,
    progress: Progress,
    report: Report,
    source: SourceArgument,
    references: Annotated[list[str], typer.Argument(metavar="REF...", help="Where to, one or several references.")],
    platform: PlatformsOption = None,
    referrers: ReferrersOption = False,
    no_clobber: NoClobberOption = False,
    dry_run: DryRunOption = False,
    foreign_layers: ForeignOption = False,
    jobs: JobsOption = None,
) -> list[CopyResult]:
    """Send an image from a layout or an archive to one or several references."""
    for reference in references:
        if split_location(reference, plugins.stores())[0]:
            raise UsageError(f"{reference!r} is no reference", hint="sonar image copy writes to any place")
    options = _options(platform, referrers, no_clobber, dry_run, foreign_layers)
    session = _Session(Stores(connect, plugins), settings.with_options(jobs=jobs), progress, report)
    return session.copies([(source, reference) for reference in references], options)


def _options(
    platforms: list[Platform] | None, referrers: bool, no_clobber: bool, dry_run: bool, foreign: bool
) -> Options:
    return Options(tuple(platforms or ()), referrers, not no_clobber, dry_run, foreign)


@dataclass(frozen=True)
class _Session:
    """What the copies of one run have in common."""

    stores: Stores
    settings: Settings
    progress: Progress
    report: Report

    def copies(self, pairs: list[tuple[str, str]], options: Options) -> list[CopyResult]:
        """The copies, one after the other. They are done when the stores are closed: an archive is finished then."""
        results = []
        with self.stores:
            places = [(self.stores.open(a), self.stores.open(b, write=True)) for a, b in pairs]
            _check_names(places)
            for source, target in places:
                result = copy_place(source, target, options=options, settings=self.settings, progress=self.progress)
                self._remark(result)
                results.append(result)
        return results

    def _remark(self, result: CopyResult) -> None:
        if result.digest != result.source_digest:
            self.report(f"{result.target}: a smaller index: digest {result.digest} instead of {result.source_digest}")
        for blob in result.foreign:
            self.report(f"{blob.digest} is kept elsewhere and was not moved; --foreign-layers fetches it")


def _check_names(places: list[tuple[Place, Place]]) -> None:
    """Raises UsageError where two images would get one name, before anything is sent."""
    taken: dict[tuple[str, object], str] = {}
    for source, target in places:
        name = target.name or (isinstance(source.name, str) and source.name) or None
        if target.store.full_names and target.name is None and isinstance(source.name, str):
            name = source.store.full_name(source.name)
        if name is None:
            continue
        other = taken.setdefault((target.store.key, name), str(source))
        if other != str(source):
            raise UsageError(f"{other} and {source} would both become {name} in {target}", hint="copy them one by one")


def copied_text(result: CopyResult) -> str:
    """One line: what went where, and what was done for it."""
    moved = f"{printable(result.source)} -> {printable(result.target)}"
    if result.unchanged:
        return f"{moved}: unchanged, {result.digest}"
    blobs = [
        f"{len(several)} {word}"
        for word, several in (("sent", result.sent), ("mounted", result.mounted), ("skipped", result.skipped))
        if several
    ]
    count = len(result.referrers)
    about = f", {count} referrer{'s' if count > 1 else ''}" if count else ""
    done = f"{', '.join(blobs) or 'no blobs'}{about}, {size_text(result.bytes)}"
    if result.dry_run:
        return f"{moved}: would be {result.digest} ({done})"
    return f"{moved}: {result.digest} ({done} in {result.seconds:.1f} s)"


def rm(
    connect: Connect,
    plugins: Plugins,
    report: Report,
    locations: Annotated[list[str], typer.Argument(metavar="REF...", help="NAME@DIGEST, or NAME:TAG with --digest.")],
    digest: Annotated[
        bool, typer.Option("--digest", help="Delete what the tag stands for, with all of its tags.")
    ] = False,
) -> Iterator[Removed]:
    """Delete images by their digest. Every tag that stands for it goes with it, and is named.

    A tag alone is removed with `sonar tag rm`; what it stands for stays then.
    """
    with Stores(connect, plugins) as stores:
        places = [stores.open(location, write=True) for location in locations]
        for place in places:
            if not isinstance(place.name, Digest) and not digest:
                raise UsageError(
                    f"{place} names a tag, and other tags may stand for the same image",
                    hint="--digest deletes the image with all of its tags; sonar tag rm removes the tag alone",
                )
        for place in places:
            yield remove(place)


def removed_text(removed: Removed) -> str:
    """What is gone."""
    tags = f", with its tags {', '.join(removed.tags)}" if removed.tags else ", which had no tag"
    return f"{removed.store}: deleted {removed.digest}{tags}"
