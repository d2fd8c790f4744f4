"""Extraction: who owns what, what is left out, what stays after an error, parts of an image."""

from __future__ import annotations

import gzip
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sonar_core.content import Digest
from sonar_core.errors import ContentError, IntegrityError, Missing, SonarError, UsageError
from sonar_plugins.layers.extract import extract
from sonar_plugins.layers.limits import Budget

from .making import device, directory, fifo, file, hardlink, source, stack, symlink, tar, whiteout
from .seen import look

if TYPE_CHECKING:
    from pathlib import Path

    from sonar_plugins.layers.source import LayerSource

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


def test_without_same_owner_all_is_ours_and_set_id_bits_are_cleared(tmp_path: Path) -> None:
    layer = [
        file("suid", b"x", 0o4755).owned(1000, 1000),
        directory("sgid", 0o2755).owned(1000, 1000),
        directory("tmp", 0o1777),
        symlink("link", "suid").owned(1000, 1000),
    ]
    made = extract(stack(layer), tmp_path / "out")
    seen = look(tmp_path / "out")
    assert {(one.uid, one.gid) for one in seen.values()} == {(os.geteuid(), os.getegid())}
    assert [seen[name].mode for name in ("suid", "sgid", "tmp")] == [0o755, 0o755, 0o1777]
    assert (made.files, made.directories, made.others) == (1, 3, 1)


def test_devices_are_skipped_and_told(tmp_path: Path) -> None:
    """ROBUSTNESS: "devices … follow a policy that is documented and off for an ordinary user"."""
    layer = [device("dev/null", 1, 3), hardlink("dev/null2", "dev/null"), fifo("pipe"), file("x", b"x")]
    made = extract(stack(layer), tmp_path / "out")
    assert made.skipped == [b"dev/null", b"dev/null2"]
    assert set(look(tmp_path / "out")) == {"dev", "pipe", "x"}


@needs_root
def test_same_owner_as_root_keeps_owners_and_set_id_bits_and_makes_devices(tmp_path: Path) -> None:
    layer = [file("suid", b"x", 0o4755).owned(1000, 1001), device("null", 1, 3).owned(0, 6)]
    extract(stack(layer), tmp_path / "out", same_owner=True)
    seen = look(tmp_path / "out")
    assert seen["suid"][:4] == ("file", 0o4755, 1000, 1001)
    assert seen["null"][:5] == ("char", 0o660, 0, 6, "1,3")


def test_attributes_of_the_machine_are_never_set(tmp_path: Path) -> None:
    """OverlayFS would read `trusted.overlay.*` in a tree that is used as one of its layers."""
    marks = (("trusted.overlay.opaque", "y"), ("user.overlay.opaque", "y"), ("user.mine", "1"))
    made = extract(stack([replace(directory("d"), xattrs=marks)]), tmp_path / "out", same_owner=os.geteuid() == 0)
    assert made.attributes_left_out == 2
    assert [name for name in os.listxattr(tmp_path / "out" / "d") if ".overlay." in name] == []
    assert os.getxattr(tmp_path / "out" / "d", "user.mine") == b"1"


def test_directories_that_can_not_be_entered_get_their_modes_last(tmp_path: Path) -> None:
    layer = [directory("d", 0o000), directory("d/e", 0o555), file("d/e/f", b"f", 0o000), directory(".", 0o500)]
    extract(stack(layer, [file("d/e/g", b"g")]), tmp_path / "out")
    modes = {path: stat.S_IMODE((tmp_path / "out" / path).lstat().st_mode) for path in (".", "d")}
    assert modes == {".": 0o500, "d": 0}
    (tmp_path / "out").chmod(0o700)
    (tmp_path / "out" / "d").chmod(0o700)
    assert stat.S_IMODE((tmp_path / "out" / "d" / "e").lstat().st_mode) == 0o555


def test_times_are_to_the_nanosecond_of_directories_too(tmp_path: Path) -> None:
    layer = [directory("d", mtime=1_500_000_000.5), file("d/f", b"f", mtime=1_600_000_000.25)]
    extract(stack(layer, [file("d/g", b"g")]), tmp_path / "out")
    assert (tmp_path / "out" / "d").stat().st_mtime_ns == 1_500_000_000_500_000_000
    assert (tmp_path / "out" / "d" / "f").stat().st_mtime_ns == 1_600_000_000_250_000_000


def test_a_directory_that_is_not_empty_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        extract(stack([file("x", b"x")]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="can't be used"):
        extract(stack([file("x", b"x")]), tmp_path / "file")


def broken() -> list[LayerSource]:
    good = tar([directory("d"), file("d/x", b"x" * 2000), symlink("l", "d")])
    return [source(gzip.compress(good[:3000])), *stack([file("y", b"y")])]


@pytest.mark.parametrize("exists", [False, True])
def test_nothing_stays_after_an_error(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    with pytest.raises(ContentError, match="ends in the middle of a file"):
        extract(broken(), out)
    assert out.exists() is exists
    assert not exists or list(out.iterdir()) == []


def test_a_wrong_diff_id_is_an_integrity_error_and_leaves_nothing(tmp_path: Path) -> None:
    """ROBUSTNESS: "diff IDs are verified"."""
    archive = tar([file("x", b"x")])
    with pytest.raises(IntegrityError, match="unpacks to something else") as caught:
        extract([source(gzip.compress(archive), diff_id=Digest.of(b"other"))], tmp_path / "out")
    assert caught.value.exit_code == 5
    assert not (tmp_path / "out").exists()


def test_bytes_after_the_end_of_the_archive_count_for_the_diff_id(tmp_path: Path) -> None:
    archive = tar([file("x", b"x")]) + bytes(10240)
    extract([source(gzip.compress(archive), diff_id=Digest.of(archive))], tmp_path / "out")
    with pytest.raises(IntegrityError):
        extract([source(gzip.compress(archive + b"more"), diff_id=Digest.of(archive))], tmp_path / "two")


def test_parts_of_an_image(tmp_path: Path) -> None:
    layers = stack(
        [
            directory("usr", 0o711),
            directory("usr/lib"),
            file("usr/lib/a", b"old"),
            file("usr/b", b"b"),
            file("c", b"c"),
        ],
        [file("usr/lib/a", b"new"), file("usr/lib/d/e", b"e")],
    )
    extract(layers, tmp_path / "out", paths=[b"usr/lib", b"c"])
    seen = look(tmp_path / "out")
    assert set(seen) == {"usr", "usr/lib", "usr/lib/a", "usr/lib/d", "usr/lib/d/e", "c"}
    assert bytes.fromhex(seen["usr/lib/a"].content) == b"new"
    assert seen["usr"].mode == 0o711


def test_a_part_that_is_a_hard_link_to_what_is_left_out(tmp_path: Path) -> None:
    layers = stack([file("a", b"content"), hardlink("b", "a"), hardlink("c", "b")])
    extract(layers, tmp_path / "out", paths=[b"b", b"c"])
    seen = look(tmp_path / "out")
    assert {path: (bytes.fromhex(one.content), one.names) for path, one in seen.items()} == {
        "b": (b"content", ("b", "c")),
        "c": (b"content", ("b", "c")),
    }


@pytest.mark.parametrize("path", [b"nothing", b"gone", b"usr/nothing"])
def test_a_part_that_is_not_there(tmp_path: Path, path: bytes) -> None:
    layers = stack([directory("usr"), file("gone", b"1")], [whiteout("gone")])
    with pytest.raises(Missing, match=path.decode()):
        extract(layers, tmp_path / "out", paths=[b"usr", path])
    assert not (tmp_path / "out").exists()


def test_holes_stay_holes(tmp_path: Path) -> None:
    """GNU tar packs it, so that the archive is one that exists."""
    import subprocess

    (tmp_path / "in").mkdir()
    with (tmp_path / "in" / "sparse").open("wb") as sparse:
        sparse.write(b"begin")
        sparse.seek(40 << 20)
        sparse.write(b"end")
    for form in ("gnu", "posix"):
        pack = ["tar", "--create", "--sparse", f"--format={form}", "--file=-", "sparse"]
        archive = subprocess.run(pack, cwd=tmp_path / "in", stdout=subprocess.PIPE, check=True).stdout
        assert len(archive) < 1 << 20
        extract([source(archive)], tmp_path / form)
        out = tmp_path / form / "sparse"
        assert out.read_bytes() == (tmp_path / "in" / "sparse").read_bytes()
        assert out.stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Budget(size=100_000), "unpacks to more"),
        (Budget(entries=3), "more entries"),
        (Budget(metadata=20), "more memory"),
    ],
)
def test_limits_are_for_all_layers_together(tmp_path: Path, budget: Budget, message: str) -> None:
    """ROBUSTNESS: "Limits on unpacked size and number of entries"."""
    layer = [file("a-long-name", b"a" * 60_000), file("b", b"b")]
    with pytest.raises(ContentError, match=message):
        extract(stack(layer, layer), tmp_path / "out", budget=budget)
    assert not (tmp_path / "out").exists()


def test_what_the_disk_refuses_is_named(tmp_path: Path) -> None:
    """A full disk, a quota, a read-only one: one line that says which file."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(SonarError, match=r"'big' can't be made in .*: File too large"):
            extract(stack([file("small", b"s"), file("big", b"x" * 200_000)]), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "out").exists()
