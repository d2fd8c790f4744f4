"""`sonar tag add` and `sonar tag rm`: names for images, without moving any."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from sonar_core.command import Connect, Report
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import NotFound, ResponseError, Unsupported, UsageError
from sonar_core.manifest import Manifest
from sonar_core.media_types import OCI_EMPTY, OCI_MANIFEST
from sonar_core.plugins import Plugins
from sonar_core.reference import check_tag
from sonar_core.stores import Blob, Place, Store, Stores

_EMPTY = b"{}"


def add(
    connect: Connect,
    plugins: Plugins,
    location: Annotated[str, typer.Argument(metavar="REF", help="The image, by a tag or a digest.")],
    tags: Annotated[list[str], typer.Argument(metavar="TAG...", help="The new tags.")],
) -> Iterator[str]:
    """Give an image more tags: one request for each, no blob is moved. A tag that is there already moves."""
    for tag in tags:
        check_tag(tag)
    with Stores(connect, plugins) as stores:
        place = stores.open(location, write=True)
        manifest = place.store.manifest(place.name)
        for tag in tags:
            place.store.put_manifest(manifest, tag)
            yield f"{place.store}:{tag}"


@dataclass(frozen=True)
class Untagged:
    """A tag that is gone. `digest`: what it stood for, and what is still there. `forced`: by way of `--force`."""

    store: str
    tag: str
    digest: Digest | None
    forced: bool = False


def rm(
    connect: Connect,
    plugins: Plugins,
    report: Report,
    locations: Annotated[list[str], typer.Argument(metavar="REF...", help="NAME:TAG.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Where the registry deletes no tags: move the tag to an empty manifest, and delete that.",
        ),
    ] = False,
) -> Iterator[Untagged]:
    """Remove tags. What they stood for stays, and so do its other tags."""
    for location in locations:
        _check_tagged(location)
    with Stores(connect, plugins) as stores:
        places = [stores.open(location, write=True) for location in locations]
        for place in places:
            if isinstance(place.name, Digest) or place.name is None:
                raise UsageError(f"{place} names no tag", hint="sonar image rm deletes an image by its digest")
        for place in places:
            yield _remove(place, str(place.name), report, force=force)


def _check_tagged(location: str) -> None:
    """Nothing is removed by a tag that was not written: NAME alone would be its tag `latest`."""
    if ":" not in location.rpartition("/")[2]:
        raise UsageError(f"{location!r} names no tag", hint=f"{location}:latest, perhaps")


def _remove(place: Place, tag: str, report: Report, *, force: bool) -> Untagged:
    store = place.store
    digest = store.resolve(tag).digest
    try:
        store.delete_tag(tag)
    except (Unsupported, NotFound) as error:
        # 404 to the DELETE of a tag that was there a moment ago: registries that look for a digest by that name.
        if not force:
            raise _cannot(place, error) from error
        report(f"{place}: the registry deletes no tags; an empty manifest takes the tag, and is deleted by its digest")
        _remove_by_digest(store, tag)
        return Untagged(str(store), tag, digest, forced=True)
    return Untagged(str(store), tag, digest)


def _cannot(place: Place, error: ResponseError) -> Unsupported:
    return Unsupported(
        f"{place}: the registry does not delete tags (it answered {error.status})",
        status=error.status,
        url=error.url,
        errors=error.errors,
        hint="--force moves the tag to an empty manifest and deletes that; other tags of the image stay",
    )


def _remove_by_digest(store: Store, tag: str) -> None:
    """What regctl does, too: a manifest that nothing else names gets the tag, and is deleted with it."""
    config = Descriptor(OCI_EMPTY, Digest.of(_EMPTY), len(_EMPTY))
    if not store.has_blob(config):

        def read(start: int, stop: int | None) -> Generator[bytes, None, None]:
            yield _EMPTY[start:stop]

        store.put_blob(Blob(config, read, "sonar"))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.to_json(),
        "layers": [],
        # Unique, so that its digest is no one else's.
        "annotations": {"org.opencontainers.image.title": f"removed by sonar {os.urandom(16).hex()}"},
    }
    manifest = Manifest.parse(json.dumps(document).encode(), OCI_MANIFEST)
    store.put_manifest(manifest, tag)
    store.delete_manifest(manifest.digest)


def text(removed: Untagged) -> str:
    """What is gone, and what is still there."""
    return f"{removed.store}: removed the tag {removed.tag}; {removed.digest} stays"
