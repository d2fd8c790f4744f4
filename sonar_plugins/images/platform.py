"""A smaller index: the entries of an index for some platforms."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sonar_core.manifest import Manifest
from sonar_core.platforms import Platform, choose

_ABOUT = "vnd.docker.reference.digest"  # BuildKit: which image an attestation is about


def reduce_index(index: Manifest, platforms: Sequence[Platform]) -> Manifest:
    """The index with only the entries for `platforms`, and the attestations about these.

    The same object where nothing is left out, and for an image, which is for one platform anyway; another index has
    another digest. Raises Missing, which lists the platforms that there are.
    """
    if not index.is_index or not platforms:
        return index
    chosen = {choose(index.manifests, platform).digest for platform in platforms}
    names = {str(digest) for digest in chosen}
    kept = [
        raw
        for raw, entry in zip(index.json["manifests"], index.manifests, strict=True)
        if entry.digest in chosen or entry.annotations.get(_ABOUT) in names
    ]
    if len(kept) == len(index.manifests):
        return index
    document = {**index.json, "manifests": kept}
    return Manifest.parse(json.dumps(document, indent=2).encode(), index.media_type)
