"""Two images compared."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from sonar_plugins.layers.diff import Difference, compare, read_texts, unified
from sonar_plugins.layers.limits import Budget
from sonar_plugins.layers.source import read_tree

from .making import Item, device, directory, file, hardlink, opaque, stack, symlink, whiteout

if TYPE_CHECKING:
    from pathlib import Path

Layers = list[list[Item]]


def differences(before: Layers, after: Layers, first: int = 0) -> list[Difference]:
    old, new = (read_tree(stack(*each), Budget(), first=first, digests=True) for each in (before, after))
    return list(compare(old, new))


def told(before: Layers, after: Layers, first: int = 0) -> list[tuple[bytes, str, tuple[str, ...]]]:
    return [(one.path, one.kind, one.what) for one in differences(before, after, first)]


def test_added_removed_and_changed_in_the_order_of_names() -> None:
    before = [[directory("a"), file("a/x", b"1"), file("a.b", b"1"), file("b", b"1"), file("c", b"1")]]
    after = [[directory("a"), file("a/x", b"2"), file("a/y"), file("b", b"1")], [file("d", b"1")]]
    assert told(before, after) == [
        (b"a/x", "changed", ("content",)),
        (b"a/y", "added", ()),
        (b"a.b", "removed", ()),
        (b"c", "removed", ()),
        (b"d", "added", ()),
    ]


def test_what_can_change() -> None:
    before = [[
        file("mode"), file("owner"), symlink("target", "a"), file("type"), device("device", 1, 3), file("same", b"1"),
        replace(file("xattrs"), xattrs=(("user.a", "1"),)), directory("dir"), file("many", b"1"), file("size", b"1"),
    ]]  # fmt: skip
    after = [[
        file("mode", mode=0o600), file("owner").owned(1, 0), symlink("target", "b"), directory("type"),
        device("device", 1, 5), file("same", b"1", mtime=5), replace(file("xattrs"), xattrs=(("user.a", "2"),)),
        directory("dir", 0o700), file("many", b"2", 0o600).owned(0, 5), file("size", b"1\0"),
    ]]  # fmt: skip
    assert {path: what for path, _, what in told(before, after)} == {
        b"mode": ("mode",),
        b"owner": ("owner",),
        b"target": ("target",),
        b"type": ("type",),
        b"device": ("device",),
        b"xattrs": ("xattrs",),
        b"dir": ("mode",),
        b"many": ("content", "mode", "owner"),
        b"size": ("content",),
    }


def test_the_same_files_in_other_layers_are_the_same() -> None:
    before = [[directory("d"), file("d/a", b"1"), file("d/b", b"2"), hardlink("d/c", "d/a")]]
    after = [
        [directory("d"), file("d/b", b"old"), file("x")],
        [file("d/a", b"1"), file("d/c", b"1"), whiteout("x")],
        [file("d/b", b"2")],
    ]
    assert told(before, after) == []


def test_a_directory_without_an_entry_is_no_change() -> None:
    assert told([[file("d/a")]], [[directory("d", 0o700), file("d/a")]]) == []


def test_shared_layers_can_be_left_out() -> None:
    """Issue: "Layers that both share are not fetched"."""
    before = [
        [file("both", b"1"), file("d/only-old"), whiteout("base/removed-by-old"), whiteout("base/removed-by-both")]
    ]
    after = [
        [directory("e"), file("both", b"2"), file("e/only-new"), hardlink("h", "base/file")],
        [whiteout("base/removed-by-new"), whiteout("base/removed-by-both"), file("base/removed-by-old", b"again")],
    ]
    assert told(before, after, 1) == [
        (b"base/removed-by-new", "removed", ()),
        (b"base/removed-by-old", "added", ()),
        (b"both", "changed", ("content",)),
        (b"d/only-old", "removed", ()),
        (b"e/only-new", "added", ()),
        (b"h", "added", ()),
    ]
    assert differences(before, after, 1)[0].before is None


def test_directories_count_where_all_layers_were_read() -> None:
    assert told([[file("d/x")]], [[directory("e")]]) == [
        (b"d", "removed", ()),
        (b"d/x", "removed", ()),
        (b"e", "added", ()),
    ]


def test_a_directory_that_one_image_removed_and_the_other_wrote() -> None:
    assert told([[whiteout("d")]], [[directory("d")]], 1) == [(b"d", "added", ())]


def test_what_one_image_removed_and_the_other_has() -> None:
    assert told([[whiteout("x")]], [[file("x")]]) == [(b"x", "added", ())]
    assert told([[file("x")]], [[whiteout("x")]]) == [(b"x", "removed", ())]
    assert told([[file("d/x"), file("d/y")]], [[directory("d"), opaque("d"), file("d/x")]]) == [(b"d/y", "removed", ())]


def test_texts_are_compared_by_lines_as_diff_does(tmp_path: Path) -> None:
    old, new = b"one\ntwo\nthree\x0cstill three\n", b"one\n2\nthree\x0cstill three\nno newline"
    layers = stack([file("f", old), file("binary", b"\0\1"), file("latin", b"\xe9"), file("large", b"x" * (1 << 21))])
    changed = stack([file("f", new)])
    before, after = (read_tree(each, Budget(), digests=True) for each in (layers, changed))
    difference = next(one for one in compare(before, after) if one.path == b"f")
    assert difference.before
    assert difference.after
    texts = read_texts(layers, list(before.walk()), Budget())
    assert texts == {difference.before.identity: old.decode()}
    ours = unified(
        difference, old.decode(), read_texts(changed, [difference.after], Budget())[difference.after.identity]
    )
    (tmp_path / "a").write_bytes(old)
    (tmp_path / "b").write_bytes(new)
    command = ["diff", "-u", "--label", "a/f", "--label", "b/f", "a", "b"]
    assert ours == subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout


def test_only_the_layers_that_have_the_texts_are_opened() -> None:
    layers = stack([file("a", b"a")], [file("b", b"b")])
    merged = read_tree(layers, Budget())

    def never() -> object:
        raise AssertionError("opened")

    layers[0] = replace(layers[0], open=never)  # type: ignore[arg-type]
    wanted = [entry for entry in merged.walk() if entry.path == b"b"]
    assert list(read_texts(layers, wanted, Budget()).values()) == ["b"]
