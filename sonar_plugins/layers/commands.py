"""`sonar image cat`, `extract` and `export`: content, on stdout or on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from sonar_core.cli.platform_option import PlatformOption
from sonar_core.command import Connect, Progress, Raw, Report
from sonar_core.hashing import BackgroundHash
from sonar_core.plugins import Plugins
from sonar_core.redaction import printable
from sonar_core.settings import Settings
from sonar_core.stores import Stores
from sonar_plugins.blobs.files import written

from .arguments import LocationArgument, MaxEntriesOption, MaxSizeOption, PathsArgument, budget, parse_path
from .export import export as export_tree
from .extract import extract as extract_tree
from .find import Finder
from .image import announce, open_image
from .shown import Exported, ExtractedTo, path_text

_NAMED = 3  # of what was skipped


def cat(
    connect: Connect,
    plugins: Plugins,
    settings: Settings,
    location: LocationArgument,
    paths: Annotated[
        list[bytes],
        typer.Argument(parser=parse_path, metavar="PATH...", help="Files; links are followed.", show_default=False),
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Read each layer that is asked to its end, and check it, first.")
    ] = False,
    platform: PlatformOption = None,
    max_size: MaxSizeOption = None,
    max_entries: MaxEntriesOption = None,
) -> Raw:
    """Show files of an image. Layers are asked from the top down, and read no further than the file.

    What is read only in part can't be checked against its digest: --verify reads on.
    """

    def content() -> Iterator[bytes]:
        with Stores(connect, plugins) as stores:
            image = open_image(stores.open(location), platform, settings)
            limits = budget(max_size, max_entries)
            with Finder(image.sources, budget=limits, verify=verify) as finder:
                for path in paths:
                    yield from map(bytes, finder.read(finder.find(path)))

    return Raw(content())


def extract(
    connect: Connect,
    plugins: Plugins,
    settings: Settings,
    progress: Progress,
    report: Report,
    location: LocationArgument,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new directory, or an empty one.")],
    paths: PathsArgument = None,
    same_owner: Annotated[
        bool, typer.Option("--same-owner", help="As root: keep owners, set-id bits and attributes; make devices.")
    ] = False,
    platform: PlatformOption = None,
    max_size: MaxSizeOption = None,
    max_entries: MaxEntriesOption = None,
) -> ExtractedTo:
    """Make the files of an image in a directory. Nothing outside of it is touched, whatever the image says.

    Without --same-owner everything belongs to the one who runs this, set-id bits are cleared, and devices are skipped.
    """
    with Stores(connect, plugins) as stores:
        image = open_image(stores.open(location), platform, settings, progress)
        announce(image.blobs, progress)
        limits = budget(max_size, max_entries)
        made = extract_tree(image.sources, directory, paths=paths or (), same_owner=same_owner, budget=limits)
    skipped = [path_text(path) for path in made.skipped]
    if skipped:
        names = ", ".join(map(printable, skipped[:_NAMED])) + (", …" if len(skipped) > _NAMED else "")
        count = f"{len(skipped)} device{'s' if len(skipped) > 1 else ''}"
        report(f"{count} left out: {names}; root makes them with --same-owner")
    return ExtractedTo(
        directory, made.files, made.directories, made.others, made.size, tuple(skipped), made.attributes_left_out
    )


def export(
    connect: Connect,
    plugins: Plugins,
    settings: Settings,
    progress: Progress,
    location: LocationArgument,
    file: Annotated[
        Path | None,
        typer.Option("-O", "--output-file", metavar="FILE", help="Where to; stdout unless given.", dir_okay=False),
    ] = None,
    platform: PlatformOption = None,
    max_size: MaxSizeOption = None,
    max_entries: MaxEntriesOption = None,
) -> Raw | Exported:
    """Write the files of an image as one tar archive. Equal files give equal bytes, whatever the layers.

    With FILE, the digest of the archive is shown.
    """

    def archive() -> Iterator[bytes]:
        with Stores(connect, plugins) as stores:
            image = open_image(stores.open(location), platform, settings, progress)
            announce(image.blobs, progress)
            yield from export_tree(image.sources, budget=budget(max_size, max_entries))

    if file is None:
        return Raw(archive())
    with BackgroundHash() as found:

        def hashed() -> Iterator[bytes]:
            for block in archive():
                found.update(block)
                yield block

        size = written(file, hashed())
        return Exported(file, size, found.digest())
