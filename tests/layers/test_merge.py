"""The merged tree, against the kernel's overlay and umoci: what we extract, list and export is what they make."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from sonar_core.errors import ContentError
from sonar_plugins.layers.export import export
from sonar_plugins.layers.extract import extract
from sonar_plugins.layers.limits import Budget
from sonar_plugins.layers.source import read_tree

from . import umoci
from .making import stack, tar
from .overlay import Kernel, kernel
from .seen import Seen, look
from .stacks import BY_ENGINES, BY_KERNEL, ROOT_ONLY, STACKS, Stack, all_stacks, stacks, wild_stacks

if TYPE_CHECKING:
    from collections.abc import Iterator

IS_ROOT = os.geteuid() == 0
ROOTS = ROOT_ONLY if IS_ROOT else {}


@pytest.fixture(scope="module")
def overlay() -> Iterator[Kernel]:
    with kernel() as opened:
        if opened is None:
            reason = "THIS MACHINE CAN'T MOUNT AN OVERLAY, not even in a namespace of its own"
            if os.environ.get("SONAR_TEST_REAL") == "required":
                pytest.fail(reason)
            pytest.skip(reason)
        yield opened


def extracted(layers: Stack, directory: Path) -> dict[str, Seen]:
    extract(stack(*layers), directory, same_owner=IS_ROOT)
    return look(directory)


def exported(layers: Stack, directory: Path) -> dict[str, Seen]:
    """What GNU tar makes of our export."""
    directory.mkdir()
    command = [
        "tar",
        "--extract",
        "--preserve-permissions",
        "--numeric-owner",
        "--xattrs",
        "--directory",
        str(directory),
    ]
    subprocess.run(command, input=b"".join(export(stack(*layers))), check=True)
    return look(directory)


def listed(layers: Stack) -> dict[str, tuple[object, ...]]:
    tree = read_tree(stack(*layers), Budget())
    return {
        os.fsdecode(entry.path): (str(entry.kind), entry.mode, entry.size, os.fsdecode(entry.target))
        for entry in tree.walk()
        if entry.path
    }


def as_listed(seen: dict[str, Seen]) -> dict[str, tuple[object, ...]]:
    return {
        path: (
            one.type,
            one.mode,
            len(one.content) // 2 if one.type == "file" else 0,
            one.content if one.type == "symlink" else "",
        )
        for path, one in seen.items()
    }


@pytest.mark.real
@pytest.mark.parametrize(
    "layers",
    [pytest.param(layers, id=name) for name, layers in all_stacks(STACKS, ROOTS, BY_KERNEL)],
)
def test_merged_as_the_kernel_merges(layers: Stack, overlay: Kernel, tmp_path: Path) -> None:
    """Issue: "the layers of an image as OverlayFS would merge them"."""
    assert extracted(layers, tmp_path / "ours") == overlay.merged([tar(items) for items in layers])


@pytest.mark.real
@pytest.mark.parametrize(
    "layers",
    [pytest.param(layers, id=name) for name, layers in all_stacks(STACKS, ROOTS, BY_ENGINES)],
)
def test_extracted_and_exported_as_umoci_unpacks(layers: Stack, tmp_path: Path) -> None:
    theirs = look(umoci.unpack([tar(items) for items in layers], tmp_path))
    assert extracted(layers, tmp_path / "extracted") == theirs
    assert exported(layers, tmp_path / "exported") == theirs


@pytest.mark.parametrize(
    "layers",
    [pytest.param(layers, id=name) for name, layers in all_stacks(STACKS, ROOTS, BY_ENGINES, BY_KERNEL)],
)
def test_the_listing_is_what_is_extracted(layers: Stack, tmp_path: Path) -> None:
    """Listing merges from the bottom up, extracting from the top down: two ways, one tree."""
    assert listed(layers) == as_listed(extracted(layers, tmp_path / "ours"))


@pytest.mark.real
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers=stacks())
def test_random_stacks_merge_as_in_the_kernel(layers: Stack, overlay: Kernel) -> None:
    theirs = overlay.merged([tar(items) for items in layers])
    with tempfile.TemporaryDirectory() as directory:
        assert extracted(layers, Path(directory, "ours")) == theirs
    assert listed(layers) == as_listed(theirs)


@pytest.mark.real
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers=stacks())
def test_random_stacks_unpack_as_with_umoci(layers: Stack) -> None:
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        theirs = look(umoci.unpack([tar(items) for items in layers], scratch))
        assert extracted(layers, scratch / "extracted") == theirs
        assert exported(layers, scratch / "exported") == theirs


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers=wild_stacks())
def test_wild_stacks_mean_the_same_in_listing_extracting_and_exporting(layers: Stack) -> None:
    with tempfile.TemporaryDirectory() as directory:
        try:
            ours = listed(layers)
        except ContentError:
            with pytest.raises(ContentError):
                extracted(layers, Path(directory, "extracted"))
            return
        on_disk = extracted(layers, Path(directory, "extracted"))
        assert as_listed(on_disk) == ours
        assert exported(layers, Path(directory, "exported")) == on_disk
