"""Reading what `docker save` wrote: `manifest.json` names a config and layers for each image.

Docker 25 and later, and sonar, also put the manifests there, as in a layout, so that digests are kept. Older archives
have none: there a manifest is made of what is named; layers are told by their bytes, whatever they are called.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonar_core import strict_json
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import BadReference, ContentError, Missing, UsageError
from sonar_core.manifest import Manifest
from sonar_core.media_types import (
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
)
from sonar_core.quoting import quoted
from sonar_core.reference import Reference
from sonar_core.stores import Name
from sonar_plugins.layout.files import LAYOUT
from sonar_plugins.layout.reading import ReadableLayout, Region

from .members import Members
from .store import INDEX_BYTES, ArchiveContent, ReadOnly

MANIFEST = "manifest.json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_CONFIG_BYTES = 4 * 1024 * 1024
_LISTED = 10


@dataclass(frozen=True)
class Saved:
    """One entry of `manifest.json`: file names in the tar."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def from_json(cls, document: Any, *, what: str) -> Saved:
        """Raises ContentError."""
        if not isinstance(document, dict) or not isinstance(document.get("Config"), str):
            raise ContentError(f"{what} has no Config")
        layers, names = document.get("Layers") or [], document.get("RepoTags") or []
        if not all(isinstance(each, list) and all(isinstance(one, str) for one in each) for each in (layers, names)):
            raise ContentError(f"{what} has Layers or RepoTags that are no arrays of strings")
        return cls(document["Config"], tuple(layers), tuple(map(canonical, names)))


def canonical(name: str) -> str:
    """`nginx:1` as `docker.io/library/nginx:1`; what is no reference as it is."""
    try:
        return str(Reference.parse(name))
    except BadReference:
        return name


def saved_images(members: Members) -> list[Saved]:
    """What `manifest.json` lists. Raises ContentError."""
    what = f"{MANIFEST} in {members.path}"
    data = members.read(MANIFEST, INDEX_BYTES)
    if data is None:
        raise ContentError(f"{members.path} is no docker archive: it has no {MANIFEST}")
    document = strict_json.loads(data, what=what)
    if not isinstance(document, list):
        raise ContentError(f"{what} is not an array but {quoted(document)}")
    return [Saved.from_json(each, what=f"{what}, image {position}") for position, each in enumerate(document)]


class DockerArchive(ReadOnly):
    """The images in a docker archive, read in place. Thread-safe once an image was resolved."""

    verifies = True
    full_names = True

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.key = f"docker-archive:{self.path.resolve()}"
        self._members = Members(self.path)
        self._made: dict[Digest, Manifest] = {}
        self._regions: dict[Digest, Region] = {}
        self._digests: dict[Saved, Digest] = {}
        try:
            self._images = saved_images(self._members)
            self._layout: ReadableLayout | None = None
            if self._members.find(LAYOUT) is not None:
                self._layout = ReadableLayout(ArchiveContent(self._members), str(self))
        except BaseException:
            self._members.close()
            raise

    def __str__(self) -> str:
        return f"docker-archive:{self.path}"

    def full_name(self, tag: str) -> str:
        """The name, which is one."""
        return tag

    def resolve(self, name: Name) -> Descriptor:
        """What a name stands for; without one, the only image."""
        if isinstance(name, Digest):
            return self.manifest(name).descriptor()
        if self._layout is not None:
            try:
                return self._layout.resolve(name)
            except (Missing, UsageError):
                pass  # an archive that was put together by hand: `manifest.json` may know more
        return self.manifest(self._digest(self._choose(name))).descriptor()

    def manifest(self, name: Name) -> Manifest:
        """The manifest of a name or a digest."""
        if not isinstance(name, Digest):
            return self.manifest(self.resolve(name).digest)
        if name in self._made:
            return self._made[name]
        if self._layout is not None and self._layout.has_manifest(name):
            return self._layout.manifest(name)
        for image in self._images:
            if self._digest(image) == name:
                return self._made[name]
        raise Missing(f"{self} has no manifest {name}", hint=self._offer())

    def has_manifest(self, digest: Digest) -> bool:
        """Whether it is there."""
        try:
            self.manifest(digest)
        except Missing:
            return False
        return True

    def has_blob(self, blob: Descriptor) -> bool:
        """Whether it is there."""
        found = self._regions.get(blob.digest)
        if found is not None:
            return found.size == blob.size
        return self._layout is not None and self._layout.has_blob(blob)

    def open_blob(self, blob: Descriptor, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """The bytes of a config or a layer, as it is in the archive."""
        region = self._regions.get(blob.digest)
        if region is not None:
            yield from region.blocks(start, stop)
        elif self._layout is not None:
            yield from self._layout.open_blob(blob, start, stop)
        else:
            raise Missing(f"{self} has no {blob.digest}")

    def tags(self) -> Iterator[str]:
        """The names of the images."""
        return iter([name for image in self._images for name in image.names])

    def referrers(self, digest: Digest) -> Iterator[Descriptor]:
        """Those that a layout in the archive lists."""
        return iter(()) if self._layout is None else self._layout.referrers(digest)

    def interrupt(self, seconds: float, *, wake: bool) -> None:
        """Nothing: no thread waits for long here."""

    def close(self) -> None:
        """Close the file."""
        self._members.close()

    def abandon(self) -> None:
        """As `close`."""
        self.close()

    # ── archives without manifests ──────────────────────────────────────────────────────────────────────

    def _choose(self, name: str | None) -> Saved:
        found = [image for image in self._images if name is None or name in image.names]
        if not found:
            wanted = "no image" if name is None else f"no image {quoted(name)}"
            raise Missing(f"{self} has {wanted}", hint=self._offer())
        if len(found) > 1:
            raise UsageError(f"{self} has several images: name one", hint=self._offer())
        return found[0]

    def _offer(self) -> str | None:
        names = [quoted(name)[1:-1] for name in self.tags()]
        return f"there are: {', '.join(names[:_LISTED])}{', …' if len(names) > _LISTED else ''}" if names else None

    def _digest(self, image: Saved) -> Digest:
        if image not in self._digests:
            manifest = self._make(image)
            self._made[manifest.digest] = manifest
            self._digests[image] = manifest.digest
        return self._digests[image]

    def _make(self, image: Saved) -> Manifest:
        """A manifest for a config and layers that have none."""
        data = self._members.read(image.config, _CONFIG_BYTES)
        if data is None:
            raise ContentError(f"{self} lacks the config {quoted(image.config)}")
        document = strict_json.loads(data, what=f"the config {image.config} in {self.path}")
        rootfs = document.get("rootfs") if isinstance(document, dict) else None
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(image.layers):
            raise ContentError(f"{self}: the config {quoted(image.config)} is not about {len(image.layers)} layers")
        layers = [self._layer(name, diff_id) for name, diff_id in zip(image.layers, diff_ids, strict=True)]
        config = Digest.of(data)
        region = self._members.find(image.config)
        if region is not None:
            self._regions[config] = region
        oci = any(kind == "zstd" for kind, _, _ in layers)
        types = (
            {"": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}
            if oci
            else {"": _DOCKER_LAYER, "gzip": DOCKER_LAYER_GZIP}
        )
        made = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST if oci else DOCKER_MANIFEST,
            "config": Descriptor(OCI_CONFIG if oci else DOCKER_CONFIG, config, len(data)).to_json(),
            "layers": [Descriptor(types[kind], digest, size).to_json() for kind, digest, size in layers],
        }
        return Manifest.parse(json.dumps(made, indent=3).encode(), str(made["mediaType"]))

    def _layer(self, name: str, diff_id: Any) -> tuple[str, Digest, int]:
        """How a layer is packed, its digest and its size; noted where it is."""
        region = self._members.find(name)
        if region is None:
            raise ContentError(f"{self} lacks the layer {quoted(name)}")
        start = next(region.blocks(0, min(4, region.size)), b"")
        kind = "gzip" if start[:2] == b"\x1f\x8b" else "zstd" if start == b"\x28\xb5\x2f\xfd" else ""
        if kind:
            found = Digest.of(b"").hasher()
            for block in region.blocks():
                found.update(block)
            digest = Digest("sha256", found.hexdigest())
        else:
            try:
                digest = Digest.parse(str(diff_id))  # a plain tar: verified when it is read
            except BadReference as error:
                raise ContentError(f"{self}: {error.message}") from None
        self._regions[digest] = region
        return kind, digest, region.size
