"""One file out of an image: which layers are opened for it, and how far they are read."""

from __future__ import annotations

import gzip
import random
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.content import Digest
from sonar_core.errors import ContentError, IntegrityError, Missing, UsageError
from sonar_plugins.layers.find import Finder
from sonar_plugins.layers.limits import Budget
from sonar_plugins.layers.source import LayerSource, read_tree

from .making import Item, device, directory, file, hardlink, opaque, source, stack, symlink, tar, whiteout

if TYPE_CHECKING:
    from collections.abc import Generator

BASE = [
    directory("etc"),
    file("etc/passwd", b"base passwd"),
    file("etc/hosts", b"base hosts"),
    directory("usr"),
    directory("usr/bin"),
    file("usr/bin/sh", b"shell"),
    symlink("bin", "usr/bin"),
    symlink("usr/bin/bash", "sh"),
    symlink("etc/up", "../../../etc/hosts"),
    symlink("etc/round", "../bin/../bin/sh"),
    symlink("loop", "loop2"),
    symlink("loop2", "loop"),
    hardlink("etc/passwd2", "etc/passwd"),
]


def cat(layers: list[LayerSource], path: bytes, *, verify: bool = False) -> bytes:
    with Finder(layers, verify=verify) as finder:
        return b"".join(finder.read(finder.find(path)))


class Counted:
    """Layers that count how many bytes were taken of each."""

    def __init__(self, layers: list[LayerSource]) -> None:
        self.taken = [0] * len(layers)
        self.sources = [replace(layer, open=self._open(index, layer)) for index, layer in enumerate(layers)]

    def _open(self, index: int, layer: LayerSource) -> Any:
        def blocks() -> Generator[bytes]:
            with layer.open() as inner:
                for block in inner:
                    self.taken[index] += len(block)
                    yield block

        return lambda: closing(blocks())


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize(
    ("path", "content"),
    [
        (b"etc/passwd", b"base passwd"),
        (b"etc/hosts", b"upper hosts"),
        (b"etc/passwd2", b"base passwd"),
        (b"bin/sh", b"shell"),
        (b"bin/bash", b"shell"),
        (b"etc/up", b"upper hosts"),
        (b"etc/round", b"shell"),
        (b"new/link", b"shell"),
        (b"hard", b"base passwd"),
    ],
)
def test_finds_what_the_merged_tree_has(path: bytes, content: bytes, verify: bool) -> None:
    upper = [file("etc/hosts", b"upper hosts"), symlink("new/link", "/bin/bash"), hardlink("hard", "etc/passwd")]
    layers = stack(BASE, [], upper)
    assert cat(layers, path, verify=verify) == content
    merged = read_tree(layers, Budget())
    with Finder(layers, verify=verify) as finder:
        assert finder.find(path).path == merged.resolve(path)


@pytest.mark.parametrize(
    ("upper", "path"),
    [
        ([whiteout("etc/passwd")], b"etc/passwd"),
        ([whiteout("etc")], b"etc/passwd"),
        ([directory("etc"), opaque("etc")], b"etc/passwd"),
        ([file("etc", b"")], b"etc/passwd"),
        ([symlink("etc", "usr")], b"etc/passwd"),
        ([whiteout("usr/bin")], b"bin/sh"),
        ([], b"nothing"),
        ([], b"etc/passwd/below"),
        ([hardlink("h", "bin/sh")], b"h"),
    ],
)
def test_what_is_not_there(upper: list[Item], path: bytes) -> None:
    with pytest.raises(Missing, match="the image has no"), Finder(stack(BASE, upper)) as finder:
        finder.find(path)


def test_a_loop_of_links_is_an_error() -> None:
    with pytest.raises(ContentError, match="too many links"), Finder(stack(BASE)) as finder:
        finder.find(b"loop")


@pytest.mark.parametrize(("path", "kind"), [(b"etc", "directory"), (b"tty", "char")])
def test_what_has_no_content_to_show(path: bytes, kind: str) -> None:
    layers = stack([*BASE, device("tty", 5, 0)])
    with Finder(layers) as finder, pytest.raises(UsageError, match=f"is not a file but a {kind}"):
        finder.read(finder.find(path))


def test_the_last_component_may_be_a_directory_and_the_root_is_one() -> None:
    with Finder(stack(BASE)) as finder:
        assert str(finder.find(b"bin").kind) == "directory"
        assert str(finder.find(b"").kind) == "directory"


def big(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_a_file_in_the_top_layer_opens_no_other() -> None:
    """Issue: "`cat` of a file in the top layer of an image with a 1 GiB lower layer transfers less than 1 %"."""
    layers = Counted(stack([file("big", big(3 << 20))], [file("etc/passwd", b"top")]))
    assert cat(layers.sources, b"etc/passwd") == b"top"
    assert layers.taken[0] == 0


def test_a_layer_is_read_no_further_than_the_file() -> None:
    content = [file("first", b"here"), *(file(f"big{index}", big(1 << 20)) for index in range(40))]
    archive = tar(content)
    layers = Counted([source(archive, diff_id=Digest.of(archive), block=1 << 18)])
    assert cat(layers.sources, b"first") == b"here"
    assert layers.taken[0] < len(archive) // 4


def test_links_that_lead_back_into_a_layer_do_not_read_it_twice_for_looking() -> None:
    """The file comes after the link that leads to it: one opening serves both."""
    archive = tar([symlink("a", "b/c"), file("b/c", b"found")])
    opened = []

    def opening() -> Any:
        opened.append(1)
        return closing(block for block in [archive])

    assert cat([LayerSource("one", opening)], b"a") == b"found"
    assert len(opened) == 1


def test_content_that_went_by_is_read_again() -> None:
    layers = Counted(stack([file("a", b"first"), file("b", b"second"), hardlink("c", "a")]))
    assert cat(layers.sources, b"c") == b"first"
    with Finder(layers.sources) as finder:
        second, first = finder.find(b"b"), finder.find(b"a")
        assert [b"".join(finder.read(entry)) for entry in (first, second, first)] == [b"first", b"second", b"first"]


def test_without_verify_the_first_of_two_entries_is_found_and_with_it_the_last() -> None:
    """image-spec, layer.md: archives must not have two; ROBUSTNESS: "last entry wins" costs reading to the end."""
    layers = stack([file("a", b"first"), file("b"), file("a", b"last")])
    assert cat(layers, b"a") == b"first"
    assert cat(layers, b"a", verify=True) == b"last"


def test_verify_checks_the_layer_before_anything_is_shown() -> None:
    archive = tar([file("a", b"content"), file("b", big(1 << 20))])
    layers = [source(gzip.compress(archive), diff_id=Digest.of(b"other"))]
    with Finder(layers, verify=True) as finder, pytest.raises(IntegrityError):
        finder.find(b"a")


def test_holes_are_zeros() -> None:
    import subprocess
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as directory:
        with (Path(directory) / "sparse").open("wb") as out:
            out.write(b"begin")
            out.seek(300_000)
            out.write(b"end")
        content = (Path(directory) / "sparse").read_bytes()
        command = ["tar", "--create", "--sparse", "--file=-", "sparse"]
        archive = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, check=True).stdout
    assert cat([source(archive)], b"sparse") == content


def test_a_damaged_layer_is_named() -> None:
    archive = gzip.compress(tar([file("a", big(200_000)), file("b")]))
    layers = [source(archive[:150_000])]
    with pytest.raises(ContentError, match=rf"layer 0 \({layers[0].name}\): its gzip stream ends too early"):
        cat(layers, b"b")
    with pytest.raises(ContentError, match=r"layer 0 .* ends too early"):
        cat(layers, b"a")
