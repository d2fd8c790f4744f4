"""`sonar image layers` and `sonar image files`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from sonar_core.cli.platform_option import PlatformOption
from sonar_core.command import Connect, Progress
from sonar_core.errors import Missing
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.stores import Stores

from .arguments import LocationArgument, MaxEntriesOption, MaxSizeOption, PathsArgument, budget
from .image import Image, announce, open_image
from .layer import Layer
from .model import ROOT, Entry, Kind
from .packed import unpack
from .paths import join
from .shown import LayerLine, LayersOfImage, Listed, path_text
from .source import read_layer, read_tree
from .tree import Tree


def layers(
    connect: Connect,
    plugins: Plugins,
    settings: Settings,
    progress: Progress,
    location: LocationArgument,
    platform: PlatformOption = None,
    max_size: MaxSizeOption = None,
    max_entries: MaxEntriesOption = None,
) -> LayersOfImage:
    """Show what each layer of an image adds, changes, removes and wastes.

    Wasted is what one layer has and a later one hides. The efficiency is what dive calls so.
    """
    with Stores(connect, plugins) as stores:
        image = open_image(stores.open(location), platform, settings, progress)
        announce(image.blobs, progress)
        return _report(image, read_tree(image.sources, budget(max_size, max_entries)))


def _report(image: Image, tree: Tree) -> LayersOfImage:
    wasted = [0] * len(image.blobs)
    for group in tree.hidden.values():
        for hidden in group:
            wasted[hidden.layer] += hidden.size
    lines = tuple(
        LayerLine(
            one.layer,
            str(blob.digest),
            blob.media_type,
            blob.size,
            one.archive_size,
            one.size,
            one.added,
            one.changed,
            one.removed,
            wasted[one.layer],
            created_by,
        )
        for one, blob, created_by in zip(tree.changes, image.blobs, image.created_by, strict=True)
    )
    size, unpacked = sum(line.size for line in lines), sum(line.unpacked_size for line in lines)
    return LayersOfImage(lines, size, unpacked, tree.content_size, tree.wasted, tree.efficiency)


def files(
    connect: Connect,
    plugins: Plugins,
    settings: Settings,
    progress: Progress,
    location: LocationArgument,
    paths: PathsArgument = None,
    layer: Annotated[
        int | None, typer.Option("--layer", metavar="N", min=0, help="What this layer alone has; the lowest is 0.")
    ] = None,
    long: Annotated[bool, typer.Option("--long", "-l", help="Mode, owner, size, time and layer, too.")] = False,
    platform: PlatformOption = None,
    max_size: MaxSizeOption = None,
    max_entries: MaxEntriesOption = None,
) -> Iterator[Listed]:
    """List the files of an image as a container would see them, without pulling it.

    With --layer: what that layer has, and what it removes or empties.
    """
    with Stores(connect, plugins) as stores:
        image = open_image(stores.open(location), platform, settings, progress)
        limits = budget(max_size, max_entries)
        if layer is None:
            announce(image.blobs, progress)
            yield from _merged(read_tree(image.sources, limits), paths or [ROOT], long)
        elif layer < len(image.sources):
            announce(image.blobs[layer : layer + 1], progress)
            yield from _of_layer(read_layer(image.sources[layer], layer, limits), paths or [ROOT], long)
        else:
            raise Missing(f"{location} has no layer {layer}", hint=f"it has {len(image.sources)}, the lowest is 0")


def _merged(tree: Tree, paths: list[bytes], long: bool) -> Iterator[Listed]:
    for top in [_top(tree, path) for path in paths]:
        for path, packed in tree.walk_packed(top):
            if path != ROOT:
                hides = {hidden.layer for hidden in tree.hides(path)} if path in tree.hidden else ()
                yield Listed(unpack(path, packed), tuple(sorted(hides)), long=long)


def _top(tree: Tree, path: bytes) -> bytes:
    """Where a path leads, links followed on the way and not at its end. Raises Missing."""
    parent, _, name = path.rpartition(b"/")
    top = join(tree.resolve(parent), name)
    if tree.packed(top) is None:
        raise Missing(f"the image has no {path_text(path)}")
    return top


def _of_layer(layer: Layer, paths: list[bytes], long: bool) -> Iterator[Listed]:
    items = [Listed(entry, opaque=entry.path in layer.opaque, long=long) for entry in layer.walk()]
    removed = [Entry(path, Kind.FILE, layer=layer.index) for path in layer.whiteouts]
    items += [Listed(entry, removed=True, long=long) for entry in removed]
    items.sort(key=lambda item: item.entry.path.split(b"/"))
    for path in paths:
        inside = [item for item in items if not path or (item.entry.path + b"/").startswith(path + b"/")]
        if not inside:
            raise Missing(f"layer {layer.index} has no {path_text(path)}")
        # A directory that is there only because something lies in it is none of the layer's entries.
        yield from (item for item in inside if item.opaque or not item.entry.implied)
