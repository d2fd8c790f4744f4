"""`sonar image diff`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from typing import Annotated, Any

import typer

from sonar_core.cli.platform_option import PlatformOption
from sonar_core.command import Connect, Progress
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.stores import Stores

from .arguments import LocationArgument, MaxEntriesOption, MaxSizeOption, budget
from .diff import Difference, compare, read_texts, unified
from .image import Image, announce, open_image
from .limits import Budget
from .model import Kind
from .shown import ConfigDifference, FileDifference, ImageDifference
from .source import read_tree

# Layers are compared themselves, and times differ with every build.
_LEFT_OUT = ("rootfs", "history", "created")


def diff(
    connect: Connect,
    plugins: Plugins,
    settings: Settings,
    progress: Progress,
    before: LocationArgument,
    after: LocationArgument,
    content: Annotated[bool, typer.Option("--content", help="The lines that differ, of texts.")] = False,
    all_layers: Annotated[
        bool, typer.Option("--all-layers", help="Read layers that both share, too: slower, and exact.")
    ] = False,
    platform: PlatformOption = None,
    max_size: MaxSizeOption = None,
    max_entries: MaxEntriesOption = None,
) -> ImageDifference:
    """Show what differs between two images: files by content, mode, owner and target, and the configs.

    Layers that both share are not fetched. So a file that only one image wrote above them is shown as added or
    removed, though a shared layer may have it, too; --all-layers looks.
    """
    with Stores(connect, plugins) as stores:
        images = [open_image(stores.open(place), platform, settings, progress) for place in (before, after)]
        shared = 0 if all_layers else _shared(*images)
        announce([blob for image in images for blob in image.blobs[shared:]], progress)
        limits = budget(max_size, max_entries)
        old, new = (read_tree(image.sources[shared:], replace(limits), first=shared, digests=True) for image in images)
        found = list(compare(old, new))
        diffs = _diffs(found, images, shared, limits) if content else {}
    files = tuple(FileDifference(one, diffs.get(one.path)) for one in found)
    return ImageDifference(shared, tuple(_configs(images[0].config, images[1].config)), files)


def _shared(one: Image, other: Image) -> int:
    """How many of the lowest layers are the same."""
    pairs = zip(one.sources, other.sources, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0].diff_id == pair[1].diff_id, pairs))


def _diffs(found: list[Difference], images: list[Image], shared: int, limits: Budget) -> dict[bytes, str]:
    """For the texts that changed: the lines that differ. Only the layers that have them are read once more."""
    changed = [one for one in found if "content" in one.what]
    before, after = (
        read_texts(
            image.sources[shared:],
            [entry for entry in entries if entry is not None and entry.kind is Kind.FILE],
            replace(limits),
            first=shared,
        )
        for image, entries in zip(
            images, ([one.before for one in changed], [one.after for one in changed]), strict=True
        )
    )
    diffs = {}
    for one in changed:
        old = before.get(one.before.identity) if one.before else None
        new = after.get(one.after.identity) if one.after else None
        if old is not None and new is not None:
            diffs[one.path] = unified(one, old, new)
    return diffs


def _configs(before: Any, after: Any, key: str = "") -> Iterator[ConfigDifference]:
    """What differs, member by member."""
    if before == after:
        return
    if not (isinstance(before, dict) and isinstance(after, dict)):
        yield ConfigDifference(key, before, after)
        return
    for name in sorted({*before, *after}):
        if key or name not in _LEFT_OUT:
            yield from _configs(before.get(name), after.get(name), f"{key}.{name}" if key else name)
