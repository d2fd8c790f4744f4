"""What the merged tree knows besides the files: what came from where, what hides what, and what it costs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.errors import ContentError
from sonar_plugins.layers.layer import Layer
from sonar_plugins.layers.limits import Budget
from sonar_plugins.layers.model import Entry, Kind
from sonar_plugins.layers.source import read_layer, read_tree
from sonar_plugins.layers.tree import Changes, Hidden, Tree

from .making import Item, directory, file, hardlink, opaque, source, stack, symlink, tar, whiteout

if TYPE_CHECKING:
    from collections.abc import Iterable


def tree(*layers: list[Item]) -> Tree:
    return read_tree(stack(*layers), Budget())


def consume(work: Iterable[object]) -> None:
    for _ in work:
        pass


def one_layer(*items: Item) -> Layer:
    return read_layer(source(tar(items)), 0, Budget())


def test_each_path_knows_its_layer() -> None:
    merged = tree([directory("a"), file("a/b"), file("a/c")], [file("a/b")], [directory("a"), file("d")])
    assert {entry.path: entry.layer for entry in merged.walk() if entry.path} == {
        b"a": 2,
        b"a/b": 1,
        b"a/c": 0,
        b"d": 2,
    }


def test_walks_in_the_order_of_names_directories_before_what_they_hold() -> None:
    merged = tree([file("b"), file("a/z"), file("a.b"), file("a/b/c")])
    assert [entry.path for entry in merged.walk()] == [b"", b"a", b"a/b", b"a/b/c", b"a/z", b"a.b", b"b"]
    assert [entry.path for entry in merged.walk(b"a/b")] == [b"a/b", b"a/b/c"]
    assert list(merged.walk(b"nothing")) == []
    assert len(merged) == 6


def test_what_a_path_hides_in_which_layers() -> None:
    merged = tree(
        [directory("d"), file("d/x", b"1" * 10), file("d/y", b"1" * 5), file("f", b"1" * 7), file("g", b"1" * 3)],
        [file("f", b"2" * 8), directory("d"), opaque("d"), file("d/x", b"2")],
        [file("f", b"3"), whiteout("g"), whiteout("d")],
    )
    assert merged.hides(b"f") == (Hidden(b"f", 0, 1, 7), Hidden(b"f", 1, 2, 8))
    assert merged.hides(b"g") == (Hidden(b"g", 0, 2, 3),)
    assert merged.hides(b"d/x") == (Hidden(b"d/x", 0, 1, 10),)
    assert merged.hides(b"d") == (Hidden(b"d/y", 0, 1, 5), Hidden(b"d/x", 1, 2, 1))
    assert merged.hides(b"other") == ()
    assert merged.wasted == 7 + 8 + 3 + 10 + 5 + 1
    assert merged.content_size == 10 + 5 + 7 + 3 + 8 + 1 + 1


def test_what_each_layer_added_changed_and_removed() -> None:
    merged = tree(
        [directory("d"), file("d/x", b"11"), file("d/y"), symlink("l", "d"), file("f", b"1")],
        [file("f", b"22"), file("new", b"2"), whiteout("l"), directory("d"), opaque("d"), file("d/x")],
        [whiteout("d"), directory("d"), file("d/x", b"333"), file("new/now/a/directory", b"")],
        [],
    )
    numbers = [(one.added, one.changed, one.removed, one.size) for one in merged.changes]
    assert numbers == [(4, 0, 0, 3), (1, 2, 2, 3), (1, 1, 1, 3), (0, 0, 0, 0)]
    assert [one.layer for one in merged.changes] == [0, 1, 2, 3]


@pytest.mark.parametrize("reverse", [False, True])
def test_the_order_in_the_archive_makes_no_difference_to_marks(reverse: bool) -> None:
    upper = [directory("d"), file("d/x", b"2"), opaque("d"), whiteout("gone"), whiteout("e"), file("e/new", b"2")]
    merged = tree(
        [directory("d"), file("d/x", b"1"), file("d/y"), file("gone"), directory("e"), file("e/old")],
        upper[::-1] if reverse else upper,
    )
    assert [entry.path for entry in merged.walk() if entry.kind is Kind.FILE] == [b"d/x", b"e/new"]
    assert merged.changes[1] == Changes(1, 1, 1, 3, 2, merged.changes[1].archive_size)


def test_one_file_with_several_names_counts_once_and_is_wasted_with_its_last_name() -> None:
    base = [file("a", b"x" * 100), hardlink("b", "a"), hardlink("c", "b")]
    assert tree(base).content_size == 100
    assert tree(base, [whiteout("a"), whiteout("b")]).wasted == 0
    assert tree(base, [whiteout("a"), file("b")], [whiteout("c")]).wasted == 100


def test_names_of_one_file_share_an_identity() -> None:
    merged = tree([file("a"), file("other"), hardlink("b", "a")], [hardlink("c", "a")])
    found = {entry.path: entry.identity for entry in merged.walk() if entry.path}
    assert found[b"a"] == found[b"b"] == found[b"c"] != found[b"other"]


def test_a_layer_that_links_to_what_it_removes_wastes_nothing() -> None:
    assert tree([file("a", b"x" * 9)], [hardlink("b", "a"), whiteout("a")]).wasted == 0


def test_efficiency_as_dive_computes_it() -> None:
    """dive, filetree/efficiency_test.go: 2000 replaced by 5000, 3000 and 10,000 that stay: 15,000 of 20,000 is 0.75.

    There the directory is removed at the end, with a size of 0; a real image's has the size of what is in it.
    """
    layers = [
        [directory("etc"), file("etc/nginx/nginx.conf", bytes(2000)), file("etc/nginx/public", bytes(3000))],
        [file("etc/nginx/nginx.conf", bytes(5000)), file("etc/athing", bytes(10_000))],
    ]
    assert tree(*layers).efficiency == 0.75
    assert tree(*layers, [whiteout("etc/nginx")]).efficiency == (15_000 + 8000) / (20_000 + 8000)
    assert tree(*layers, [whiteout("etc/athing")]).efficiency == 5000 / 20_000


def test_efficiency_of_what_has_no_content_and_of_what_wastes_nothing() -> None:
    assert tree([file("nothing")]).efficiency == 1.0
    assert tree([]).efficiency == 1.0
    assert tree([file("a", b"1")], [file("b", b"2")]).efficiency == 1.0


def test_what_is_removed_and_not_there_again_is_kept() -> None:
    merged = tree([file("a")], [whiteout("a"), whiteout("below")], [file("a")])
    assert merged.whiteouts == {b"below"}


def test_links_are_followed_inside_the_tree() -> None:
    merged = tree([
        symlink("bin", "usr/bin"), directory("usr"), directory("usr/bin"), file("usr/bin/sh"),
        symlink("usr/bin/bash", "/bin/sh"), symlink("up", "../../../usr"), symlink("usr/back", "../bin/../bin"),
        symlink("loop", "loop2"), symlink("loop2", "loop"), symlink("dangling", "usr/none"),
    ])  # fmt: skip
    leads = {b"bin/bash": b"usr/bin/sh", b"up/bin/sh": b"usr/bin/sh", b"usr/back/sh": b"usr/bin/sh"}
    leads |= {b"dangling": b"usr/none", b"": b"", b"./usr//bin/": b"usr/bin", b"bin/../x": b"usr/x"}
    assert {path: merged.resolve(path) for path in leads} == leads
    with pytest.raises(ContentError, match="too many links"):
        merged.resolve(b"loop/x")


def test_a_directory_without_an_entry_is_marked() -> None:
    merged = tree([file("a/b/c")], [directory("a", 0o700)])
    assert {entry.path: entry.implied for entry in merged.walk()} == {
        b"": True,
        b"a": False,
        b"a/b": True,
        b"a/b/c": False,
    }


def test_all_of_an_entry_is_kept() -> None:
    """The packed form loses nothing."""
    entry = Entry(
        b"a/b", Kind.FILE, 0o4755, 2**32 - 2, 7, 2**62, -(2**62), b"", None, (("user.a", b"\0\xff"),),
        ((0, 5), (10, 2**40)), b"d" * 32, 300, 2**50,
    )  # fmt: skip
    layer = Layer(300)
    layer.add(entry)
    assert layer.get(b"a/b") == entry


def test_a_layer_shows_its_marks() -> None:
    layer = one_layer(file("a"), whiteout("d/gone"), opaque("o"), file(".wh..wh.plnk/1.2"), file("d/.wh..wh.aufs"))
    assert (layer.whiteouts, layer.opaque) == ({b"d/gone"}, {b"o"})
    assert [entry.path for entry in layer.walk() if entry.path] == [b"a", b"d", b"o"]


def test_what_a_layer_hides_of_lower_ones() -> None:
    layer = one_layer(
        file("f"), directory("d"), directory("o"), opaque("o"), whiteout("w"), file("w/x"), symlink("l", "d")
    )
    hidden = [b"f", b"f/below", b"o/x", b"w", b"w/x", b"w/y", b"l", b"l/x"]
    seen = [b"d", b"d/x", b"o", b"other", b"other/x", b""]
    assert {path: layer.hides(path) for path in hidden + seen} == dict.fromkeys(hidden, True) | dict.fromkeys(
        seen, False
    )


@pytest.mark.parametrize("target", ["nothing", "d", "h", ".", "x/y"])
def test_hard_links_to_what_is_no_file(target: str) -> None:
    layers = stack([directory("d")], [hardlink("h", target)])
    with pytest.raises(ContentError, match=r"'h' is a hard link to"):
        read_tree(layers, Budget())


def test_directories_without_entries_are_limited() -> None:
    """512 bytes of archive can name a path of 256 directories: 500 KB in memory."""
    layer = Layer()
    deep = b"/d" * 255
    with pytest.raises(ContentError, match="too many directories"):
        consume(layer.add(Entry(b"%0200d" % index + deep, Kind.FILE)) for index in range(10_000))
    assert len(layer.directories) < 2**20


def test_an_error_names_the_layer() -> None:
    layers = stack([file("a")], [file("../b")])
    with pytest.raises(ContentError, match=rf"layer 1 \({layers[1].name}\): the path '../b' has"):
        read_tree(layers, Budget())


def test_layers_are_read_at_the_same_time() -> None:
    """Issue: "layers of one image fetched and inflated in parallel": each waits until another one was opened."""
    meeting = Barrier(2, timeout=20)

    def waiting(opening: Any) -> Any:
        def blocks() -> Any:
            meeting.wait()
            with opening() as inner:
                yield from inner

        return lambda: closing(blocks())

    layers = [replace(layer, open=waiting(layer.open)) for layer in stack([file("a")], [file("b")])]
    assert [entry.path for entry in read_tree(layers, Budget()).walk()] == [b"", b"a", b"b"]


def test_after_an_error_the_other_layers_are_read_no_further() -> None:
    opened, failed, ended = Event(), Event(), Event()

    def endless() -> Any:
        block = tar([file("x", bytes(100_000))])[: 512 + 100_352]
        opened.set()
        try:
            failed.wait(20)
            while True:
                yield block
        finally:
            ended.set()

    def wrong() -> Any:
        opened.wait(20)
        yield b"no archive" * 100

    good, bad = stack([], [])
    layers = [
        replace(bad, open=lambda: closing(wrong()), diff_id=None),
        replace(good, open=lambda: closing(endless()), diff_id=None),
    ]
    with pytest.raises(ContentError, match="layer 0"):
        read_tree(layers, Budget())
    failed.set()
    assert ended.wait(20)
