"""Deleting an image by its digest, and saying which tags go with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sonar_core.content import Digest
from sonar_core.errors import Missing
from sonar_core.parallel import ordered_map
from sonar_core.stores import Place, Store

_JOBS = 8


@dataclass(frozen=True)
class Removed:
    """An image that is gone, and the tags that stood for it."""

    store: str
    digest: Digest
    tags: tuple[str, ...]


def remove(place: Place) -> Removed:
    """Delete what `place` names, by its digest. Raises Missing, Unsupported, UsageError."""
    digest = place.name if isinstance(place.name, Digest) else place.store.resolve(place.name).digest
    tags = tuple(tags_of(place.store, digest))
    place.store.delete_manifest(digest)
    return Removed(str(place.store), digest, tags)


def tags_of(store: Store, digest: Digest) -> Iterator[str]:
    """The tags that stand for a digest: each tag is looked at."""

    def look(tag: str) -> str | None:
        try:
            return tag if store.resolve(tag).digest == digest else None
        except Missing:
            return None  # removed in the meantime, or by a registry that lists what it has deleted

    try:
        tags = list(store.tags())
    except Missing:
        return
    yield from (tag for tag in ordered_map(look, tags, _JOBS) if tag is not None)
