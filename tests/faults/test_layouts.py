"""ROBUSTNESS, On disk: OCI layouts that are damaged or made to deceive."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.program import Outcome, Program

SECRET = b"the content of a file outside of the layout"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A good layout with the image `v1`."""
    return images.write_layout(tmp_path / "layout", {"v1": images.image()})


def copy(sonar: Program, layout: Path, name: str = "v1") -> Outcome:
    return sonar("image", "copy", f"oci:{layout}:{name}", f"oci:{sonar.home / 'out'}:v1")


def refused(outcome: Outcome, *codes: int) -> None:
    """A typed error, in one line, and nothing under a digest's name but what has that digest."""
    assert outcome.code in codes, outcome.shown()
    outcome.reported()


def blob(layout: Path, number: int) -> Path:
    """The file of the config (0) or a layer (1…)."""
    return layout / "blobs" / "sha256" / images.image().blobs[number].digest.partition(":")[2]


def test_the_layout_is_good(sonar: Program, layout: Path) -> None:
    """D1: what is not damaged is copied: the other tests damage this."""
    copy(sonar, layout).succeeded()


@pytest.mark.parametrize(
    "content",
    [None, "", "{}", "[]", "7", "{", '{"imageLayoutVersion": "2.0.0"}', '{"imageLayoutVersion": 1}', "\xff" * 10],
)
def test_the_marker(sonar: Program, layout: Path, content: str | None) -> None:
    """D1: "a missing or wrong `oci-layout` … → typed errors"."""
    marker = layout / "oci-layout"
    if content is None:
        marker.unlink()
    else:
        marker.write_bytes(content.encode("latin-1"))
    refused(copy(sonar, layout), 1, 3)


@pytest.mark.parametrize(
    "content",
    [
        None, "", "[]", "7", "null", "{", '{"schemaVersion": 2}', '{"schemaVersion": 2, "manifests": 7}',
        '{"manifests": [7]}', '{"manifests": [{}]}', '{"manifests": [{"digest": "sha256:abc", "size": 1}]}',
        "[" * 100_000, '{"manifests": NaN}',
    ],
)  # fmt: skip
def test_the_index(sonar: Program, layout: Path, content: str | None) -> None:
    """D1: "an index that is no object … → typed errors"."""
    index = layout / "index.json"
    if content is None:
        index.unlink()
    else:
        index.write_text(content)
    refused(copy(sonar, layout), 1, 3)


def test_two_entries_with_one_name(sonar: Program, layout: Path) -> None:
    """D1: "two entries with one name … → typed errors": which one is meant nobody can say."""
    other = images.image(labels={"other": "yes"})
    images.write_layout(layout, {"v1": images.image(), "x": other})
    index = json.loads((layout / "index.json").read_text())
    for entry in index["manifests"]:
        entry["annotations"]["org.opencontainers.image.ref.name"] = "v1"
    (layout / "index.json").write_text(json.dumps(index))
    refused(copy(sonar, layout), 1, 2)


def test_a_name_that_is_not_there(sonar: Program, layout: Path) -> None:
    """D1: a name that a layout lacks is not found (DESIGN, section 4)."""
    copy(sonar, layout, "v2").failed(code=3)


@pytest.mark.parametrize("name", ["../../x", "../layout/blobs", "/etc/passwd"])
def test_names_are_never_paths(sonar: Program, layout: Path, name: str) -> None:
    """D1: "Names are never used as paths"."""
    before = sorted(layout.parent.rglob("*"))
    outcome = copy(sonar, layout, name)
    assert outcome.code in (2, 3), outcome.shown()
    assert [path for path in sorted(layout.parent.rglob("*")) if "home" not in path.parts] == [
        path for path in before if "home" not in path.parts
    ]


@pytest.mark.parametrize("text", ["sha256:../../../secret", "../../secret", "sha256:" + "0" * 63 + "/", 7, None])
@pytest.mark.parametrize("where", ["index", "config", "layer"])
def test_digests_are_never_paths(sonar: Program, layout: Path, where: str, text: Any) -> None:
    """D1/N1: "Names are never used as paths": a digest in an index or a manifest (CVE-2024-3727)."""
    (layout.parent / "secret").write_bytes(SECRET)
    if where == "index":
        index = json.loads((layout / "index.json").read_text())
        index["manifests"][0]["digest"] = text
        (layout / "index.json").write_text(json.dumps(index))
    else:
        document = images.image().manifest.json
        (document["config"] if where == "config" else document["layers"][0])["digest"] = text
        bad = images.Content(images.image().manifest.media_type, json.dumps(document).encode())
        images.write_layout(layout, {"v1": images.Image(bad)})
    refused(copy(sonar, layout), 1, 5)


def _short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _long(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _other(path: Path) -> None:
    path.write_bytes(b"x" * len(path.read_bytes()))


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nonexistent/file")


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("damage", [_short, _long, _other, _directory, _fifo, _dangling, _device])
@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_blob(sonar: Program, layout: Path, damage: Callable[[Path], None], number: int) -> None:
    """D1: "a blob that is a link to elsewhere or too short → typed errors"; and no pipe is waited on."""
    damage(blob(layout, number))
    refused(copy(sonar, layout), 1, 3, 5)
    kept = sonar.home / "out" / "blobs" / "sha256"
    for path in kept.glob("*") if kept.is_dir() else ():
        if len(path.name) == 64:
            assert images.sha256(path.read_bytes()) == f"sha256:{path.name}"


def test_a_blob_that_is_a_link_to_elsewhere(sonar: Program, layout: Path, tmp_path: Path) -> None:
    """D1: "a blob that is a link to elsewhere": even to the right bytes."""
    path = blob(layout, 1)
    outside = tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    refused(copy(sonar, layout), 1, 5)


def test_a_blobs_folder_that_is_a_link(sonar: Program, layout: Path, tmp_path: Path) -> None:
    """D1: "a link to elsewhere": writing through one in the target is not done either."""
    outside = tmp_path / "outside"
    outside.mkdir()
    target = sonar.home / "out"
    (target / "blobs").mkdir(parents=True)
    (target / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (target / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    (target / "blobs" / "sha256").symlink_to(outside)
    outcome = copy(sonar, layout)
    assert outcome.code == 1, outcome.shown()
    assert list(outside.iterdir()) == []


def test_a_missing_blob(sonar: Program, layout: Path) -> None:
    """D1: a blob that is not there is an error that names it."""
    path = blob(layout, 1)
    path.unlink()
    outcome = copy(sonar, layout)
    assert outcome.code in (1, 3), outcome.shown()
    outcome.reported(path.name[:12])
