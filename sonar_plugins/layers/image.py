"""An image in a store: its config, and its layers ready to be read."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sonar_core import strict_json
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import BadReference, ContentError, Missing, UsageError
from sonar_core.hashing import verified
from sonar_core.media_types import DOCKER_CONFIG, OCI_CONFIG
from sonar_core.platforms import Platform, choose
from sonar_core.progress import Event, Listener, ignore
from sonar_core.quoting import quoted

from .source import LayerSource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Mapping
    from contextlib import AbstractContextManager

    from sonar_core.manifest import Manifest
    from sonar_core.settings import Settings
    from sonar_core.stores import Place, Store


@dataclass(frozen=True)
class Image:
    """One image of a place. `sources` are its layers, the lowest first, as are `blobs` and `created_by`."""

    config: Mapping[str, Any]
    blobs: tuple[Descriptor, ...]
    sources: tuple[LayerSource, ...]
    created_by: tuple[str | None, ...]


def open_image(place: Place, platform: Platform | None, settings: Settings, progress: Listener = ignore) -> Image:
    """The image that a name stands for; of an index the one for the platform, else for this machine, else the first.

    No layer is fetched yet; each is verified when it is. Raises Missing, ContentError, IntegrityError, and UsageError
    for what is no image.
    """
    manifest = _manifest(place, platform, settings.depth)
    config = _config(place, manifest, settings.manifest_bytes)
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != len(manifest.layers):
        raise ContentError(
            f"{place.location}: the config has not one diff ID for each of the {len(manifest.layers)} layers"
        )
    sources = tuple(
        LayerSource(str(blob.digest), _opening(place.store, blob, progress), blob.media_type, _digest(diff_id))
        for blob, diff_id in zip(manifest.layers, diff_ids, strict=True)
    )
    return Image(config, tuple(manifest.layers), sources, _created_by(config, len(sources)))


def announce(blobs: Collection[Descriptor], progress: Listener) -> None:
    """Say which layers are going to be read."""
    progress(Event("plan", bytes=sum(blob.size for blob in blobs), items=len(blobs)))


def _manifest(place: Place, platform: Platform | None, depth: int) -> Manifest:
    manifest = place.store.manifest(place.name)
    for _ in range(depth):
        if not manifest.is_index:
            return manifest
        manifest = place.store.manifest(_entry(manifest, platform).digest)
    raise ContentError(f"{place.location} has more than {depth} indexes inside of one another")


def _entry(index: Manifest, platform: Platform | None) -> Descriptor:
    try:
        return choose(index.manifests, platform or Platform.local())
    except Missing:
        # An image for another kind of machine can be looked at as well; attestations are no images.
        images = [entry for entry in index.manifests if entry.platform is None or entry.platform.os != "unknown"]
        if platform is not None or not images:
            raise
        return images[0]


def _config(place: Place, manifest: Manifest, limit: int) -> Mapping[str, Any]:
    descriptor = manifest.config
    if descriptor is None or descriptor.media_type not in (OCI_CONFIG, DOCKER_CONFIG):
        kind = manifest.artifact_type or (descriptor.media_type if descriptor else manifest.media_type)
        raise UsageError(f"{place.location} is no image but {quoted(kind)}", hint="it has no file system to look into")
    if descriptor.size > limit:
        raise ContentError(f"the config {descriptor.digest} has {descriptor.size} bytes, more than the {limit} allowed")
    data = descriptor.data
    if data is None:
        data = b"".join(verified(place.store.open_blob(descriptor), descriptor.digest, descriptor.size))
    document = strict_json.loads(data, what=f"the config {descriptor.digest}")
    if not isinstance(document, dict):
        raise ContentError(f"the config {descriptor.digest} is no object")
    return document


def _digest(diff_id: object) -> Digest:
    try:
        return Digest.parse(diff_id if isinstance(diff_id, str) else "")
    except BadReference as error:
        raise ContentError(f"a diff ID in the config is none: {error.message}") from error


def _opening(
    store: Store, blob: Descriptor, progress: Listener
) -> Callable[[], AbstractContextManager[Iterable[bytes]]]:
    def blocks() -> Generator[bytes]:
        item, done = str(blob.digest), 0
        progress(Event("start", item, blob.size))
        try:
            with closing(store.open_blob(blob)) as coming:
                for block in verified(coming, blob.digest, blob.size):
                    done += len(block)
                    progress(Event("advance", item, len(block)))
                    yield block
        finally:
            progress(Event("finish", item, done, outcome="read"))

    return lambda: closing(blocks())


def _created_by(config: Mapping[str, Any], count: int) -> tuple[str | None, ...]:
    """The lines of the history that made a layer (image-spec, config.md, "history"), where there is one for each."""
    history = config.get("history")
    lines = [line for line in history if isinstance(line, dict)] if isinstance(history, list) else []
    made = [line.get("created_by") for line in lines if line.get("empty_layer") is not True]
    if len(made) != count:
        return (None,) * count
    return tuple(line if isinstance(line, str) and line else None for line in made)
