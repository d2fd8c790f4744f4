"""skopeo, a client that nobody here wrote, pushes and pulls; the digests stay what they were."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sonar_plugins.serve.disk import DiskStorage
from sonar_plugins.serve.server import EmbeddedRegistry
from tests.support.images import image, index, layer, noise, sha256, write_dir, write_layout

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.skopeo import Skopeo

pytestmark = pytest.mark.real


@pytest.mark.parametrize("kind", ["oci", "docker"])
@pytest.mark.parametrize("shape", [image, index])
def test_in_and_out_with_the_same_digest(
    registry: EmbeddedRegistry, skopeo: Skopeo, tmp_path: Path, repository: str, kind: str, shape: object
) -> None:
    made = shape(kind=kind)  # type: ignore[operator]
    write_dir(tmp_path / "made", made)
    name = f"{registry.host}/{repository}:latest"
    skopeo.copy(f"dir:{tmp_path / 'made'}", f"docker://{name}", "--preserve-digests")
    assert sha256(skopeo.raw(name)) == made.digest
    skopeo.copy(f"docker://{name}", f"dir:{tmp_path / 'out'}", "--preserve-digests")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == made.manifest.data
    for blob in made.all_blobs():
        assert (tmp_path / "out" / blob.digest.partition(":")[2]).read_bytes() == blob.data


def test_after_a_restart_and_straight_from_the_disk(skopeo: Skopeo, tmp_path: Path) -> None:
    """The repository is a layout that skopeo reads as `oci:` too, and writes while the registry runs."""
    big = index(image(layer({"noise": noise(1 << 20)})), image(platform="linux/arm64"))
    layout = write_layout(tmp_path / "made", {"a": big})
    root = tmp_path / "root"
    with EmbeddedRegistry(DiskStorage(root)) as registry:
        skopeo.copy(f"oci:{layout}:a", f"docker://{registry.host}/library/big:1.0")
    with EmbeddedRegistry(DiskStorage(root)) as registry:
        name = f"{registry.host}/library/big:1.0"
        assert sha256(skopeo.raw(name)) == big.digest
        skopeo.copy(f"docker://{name}", f"oci:{tmp_path / 'out'}:b")
        skopeo.copy(f"oci:{root / 'library' / 'big'}:1.0", f"oci:{tmp_path / 'straight'}:c")
        skopeo.copy(f"oci:{layout}:a", f"oci:{root / 'library' / 'big'}:by-skopeo")
        assert sha256(skopeo.raw(f"{registry.host}/library/big:by-skopeo")) == big.digest
        for out in ("out", "straight"):
            for content in (*big.all_blobs(), *big.all_manifests()):
                assert (tmp_path / out / "blobs" / content.digest.replace(":", "/")).read_bytes() == content.data


def test_eight_skopeos_at_once(registry: EmbeddedRegistry, skopeo: Skopeo, tmp_path: Path, repository: str) -> None:
    made = [index(image(layer({"noise": noise(100_000, seed)}))) for seed in range(8)]
    layout = write_layout(tmp_path / "made", {f"t{number}": each for number, each in enumerate(made)})
    with ThreadPoolExecutor(8) as pool:
        names = [f"{registry.host}/{repository}:t{number}" for number in range(8)]
        list(pool.map(lambda n: skopeo.copy(f"oci:{layout}:t{n}", f"docker://{names[n]}"), range(8)))
        assert [sha256(raw) for raw in pool.map(skopeo.raw, names)] == [each.digest for each in made]
