"""A store that a plugin adds: it gets verified content, and need not know of anything else."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from sonar_core.content import Descriptor, Digest
from sonar_core.errors import IntegrityError, Missing
from sonar_core.hookspecs import StoreScheme, hookimpl
from sonar_core.manifest import Manifest
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings
from sonar_core.stores import Blob, Name, Opening, Store
from sonar_plugins.images import copy
from tests.images import samples
from tests.support import images

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Shelf:
    """Images in memory, without any check of its own."""

    key: str = "shelf"
    verifies: bool = False
    full_names: bool = False
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    names: dict[str, Digest] = field(default_factory=dict)

    def full_name(self, tag: str) -> str:
        return tag

    def resolve(self, name: Name) -> Descriptor:
        return self.manifest(name).descriptor()

    def manifest(self, name: Name) -> Manifest:
        digest = self.names.get(name) if isinstance(name, str) else name
        if digest not in self.manifests:
            raise Missing(f"the shelf has no {name}")
        return self.manifests[digest]

    def has_manifest(self, digest: Digest) -> bool:
        return digest in self.manifests

    def has_blob(self, blob: Descriptor) -> bool:
        return blob.digest in self.blobs

    def open_blob(self, blob: Descriptor, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        yield self.blobs[blob.digest][start:stop]

    def put_blob(self, blob: Blob) -> None:
        self.blobs[blob.descriptor.digest] = b"".join(blob.open())

    def mounts_from(self, source: Store) -> bool:
        return False

    def mount(self, blob: Descriptor, source: Store) -> bool:
        return False

    def put_manifest(self, manifest: Manifest, tag: str | None = None, *, part: bool = False) -> None:
        self.manifests[manifest.digest] = manifest
        if tag is not None:
            self.names[tag] = manifest.digest

    def tags(self) -> Iterator[str]:
        return iter(self.names)

    def referrers(self, digest: Digest) -> Iterator[Descriptor]:
        return iter(())

    def delete_tag(self, tag: str) -> None:
        del self.names[tag]

    def delete_manifest(self, digest: Digest) -> None:
        del self.manifests[digest]

    def interrupt(self, seconds: float, *, wake: bool) -> None:
        """Nothing: no thread waits for long here."""

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class ShelfPlugin:
    """What a plugin's module would be."""

    def __init__(self) -> None:
        self.shelf = Shelf()

    @hookimpl
    def sonar_stores(self) -> list[StoreScheme]:
        def open_shelf(rest: str, opening: Opening) -> tuple[Store, Name]:
            return self.shelf, rest or None

        return [StoreScheme("shelf", open_shelf, "images on a shelf")]


@pytest.fixture
def plugin() -> ShelfPlugin:
    return ShelfPlugin()


@pytest.fixture
def plugins(plugin: ShelfPlugin) -> Plugins:
    found = Plugins.discover()
    found.register(plugin, "shelf")
    return found


def test_there_and_back(plugin: ShelfPlugin, plugins: Plugins, tmp_path: Path) -> None:
    """Issue 4: "Third parties can add more"."""
    sample = samples.many_platforms()
    layout = images.write_layout(tmp_path / "layout", {"v1": sample})
    copy(f"oci:{layout}:v1", "shelf:x", plugins=plugins, settings=Settings())
    assert str(plugin.shelf.names["x"]) == sample.digest
    assert {str(digest) for digest in plugin.shelf.blobs} == {blob.digest for blob in sample.all_blobs()}
    result = copy("shelf:x", f"oci:{tmp_path}/back:v1", plugins=plugins, settings=Settings())
    assert str(result.digest) == sample.digest


def test_what_it_gets_is_verified(plugin: ShelfPlugin, plugins: Plugins, tmp_path: Path) -> None:
    """A store that says that it does not verify is handed nothing whose digest is wrong."""
    sample = samples.oci()
    layout = images.write_layout(tmp_path / "layout", {"v1": sample})
    bad = sample.blobs[1]
    (layout / "blobs" / bad.digest.replace(":", "/")).write_bytes(b"x" * len(bad.data))
    with pytest.raises(IntegrityError, match=bad.digest):
        copy(f"oci:{layout}:v1", "shelf:x", plugins=plugins, settings=Settings())
    assert plugin.shelf.names == {}
    assert Digest.parse(bad.digest) not in plugin.shelf.blobs
