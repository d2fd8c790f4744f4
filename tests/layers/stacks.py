"""Stacks of layers made by hand, one for each thing that can happen, and random ones."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from .making import device, directory, fifo, file, hardlink, opaque, symlink, whiteout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .making import Item

Stack = list[list["Item"]]

BASE = [
    directory("etc", 0o755),
    file("etc/passwd", b"root:x:0:0\n"),
    file("etc/hosts", b"127.0.0.1 localhost\n"),
    directory("usr"),
    directory("usr/lib", 0o750),
    file("usr/lib/a", b"a"),
    file("usr/lib/b", b"bb"),
    directory("usr/lib/deep"),
    directory("usr/lib/deep/er"),
    file("usr/lib/deep/er/c", b"ccc"),
    symlink("lib", "usr/lib"),
]

STACKS: dict[str, Stack] = {
    "one layer": [BASE],
    "no entries at all": [[]],
    "two layers side by side": [BASE, [directory("opt"), file("opt/x", b"x")]],
    "an empty layer between": [BASE, [], [file("z", b"z")]],
    "a file replaced": [BASE, [directory("etc"), file("etc/passwd", b"other\n", 0o600)]],
    "a file replaced twice": [BASE, [file("x", b"1")], [file("x", b"22")], [file("x", b"333")]],
    "a file removed": [BASE, [directory("etc"), whiteout("etc/hosts")]],
    "a directory removed": [BASE, [directory("usr"), whiteout("usr/lib")]],
    "a link removed": [BASE, [whiteout("lib")]],
    "nothing removed": [BASE, [directory("etc"), whiteout("etc/nothing"), whiteout("nothing")]],
    "removed and made again later": [BASE, [whiteout("lib")], [file("lib", b"a file now")]],
    "removed twice": [BASE, [whiteout("usr")], [whiteout("usr")], [whiteout("etc")]],
    "removed in the middle of a tree": [
        BASE,
        [directory("usr"), directory("usr/lib"), directory("usr/lib/deep"), whiteout("usr/lib/deep/er")],
    ],
    "a directory removed and made again in one layer": [
        BASE,
        [directory("usr"), whiteout("usr/lib"), directory("usr/lib", 0o700), file("usr/lib/new", b"n")],
    ],
    "the same, the mark last": [
        BASE,
        [directory("usr"), directory("usr/lib", 0o700), file("usr/lib/new", b"n"), whiteout("usr/lib")],
    ],
    "a directory removed, made again, and what it had does not come back": [
        BASE,
        [directory("usr"), whiteout("usr/lib")],
        [directory("usr"), directory("usr/lib"), file("usr/lib/new", b"n")],
    ],
    "opaque": [BASE, [directory("usr"), directory("usr/lib"), opaque("usr/lib"), file("usr/lib/new", b"n")]],
    "opaque, the mark last": [
        BASE,
        [directory("usr"), directory("usr/lib"), file("usr/lib/a", b"mine"), opaque("usr/lib")],
    ],
    "opaque with nothing in it": [BASE, [directory("etc", 0o711), opaque("etc")]],
    "opaque above opaque": [
        BASE,
        [directory("etc"), opaque("etc"), file("etc/two", b"2")],
        [directory("etc"), opaque("etc"), file("etc/three", b"3")],
    ],
    "opaque below an opaque directory": [
        BASE,
        [directory("usr"), opaque("usr"), directory("usr/lib"), opaque("usr/lib"), file("usr/lib/a", b"new")],
    ],
    "a layer above an opaque one": [
        BASE,
        [directory("etc"), opaque("etc")],
        [directory("etc"), file("etc/hosts", b"back\n")],
    ],
    "a file becomes a directory": [BASE, [directory("etc"), directory("etc/hosts"), file("etc/hosts/x", b"x")]],
    "a directory becomes a file": [BASE, [directory("usr"), file("usr/lib", b"now a file")]],
    "a file, a directory, a file": [
        [file("x", b"1")],
        [directory("x"), file("x/y", b"y")],
        [file("x", b"3")],
    ],
    "a directory, a file, a directory": [
        [directory("x"), file("x/old", b"old")],
        [file("x", b"2")],
        [directory("x"), file("x/new", b"new")],
    ],
    "a link becomes a directory": [BASE, [directory("lib"), file("lib/x", b"x")]],
    "a directory becomes a link": [BASE, [directory("usr"), symlink("usr/lib", "../etc")]],
    "a file becomes a link and a link a file": [
        BASE,
        [directory("etc"), symlink("etc/hosts", "passwd"), file("lib", b"lib")],
    ],
    "links to everywhere": [
        [
            symlink("absolute", "/etc/passwd"),
            symlink("up", "../../../.."),
            symlink("loop", "loop"),
            symlink("no", "x/y"),
        ]
    ],
    "hard links": [[*BASE, hardlink("etc/one", "etc/passwd"), hardlink("two", "etc/one")]],
    "a hard link whose first name is removed": [
        [*BASE, hardlink("two", "etc/passwd")],
        [directory("etc"), whiteout("etc/passwd")],
    ],
    "hard links whose first name is replaced": [
        [*BASE, hardlink("two", "etc/passwd"), hardlink("three", "two")],
        [directory("etc"), file("etc/passwd", b"new")],
    ],
    "a hard link whose second name is replaced": [[*BASE, hardlink("two", "etc/passwd")], [file("two", b"new")]],
    "a hard link to a file that the layer replaces after it": [
        [file("a", b"first"), hardlink("b", "a"), file("a", b"second"), hardlink("c", "a")],
    ],
    "a hard link to an empty file": [[file("a"), file("b"), hardlink("c", "a")], [file("d")]],
    "two entries for one path": [[file("a", b"first", 0o600), file("a", b"last", 0o640)]],
    "two entries for one directory": [[directory("d", 0o700), file("d/x", b"x"), directory("d", 0o711)]],
    "only a mode changes": [BASE, [directory("usr"), directory("usr/lib", 0o700)], [directory("etc", 0o1777)]],
    "modes of all sorts": [
        [file("a", mode=0o4755), file("b", mode=0o2711), file("c", mode=0o000), directory("t", 0o1777)],
        [directory("g", 0o2775), file("g/x", mode=0o777)],
    ],
    "times of all sorts": [
        [file("a", mtime=0.5), file("b", mtime=-1.25), file("c", mtime=2**33), file("d", mtime=1_600_000_000.75)],
    ],
    "a FIFO": [[fifo("f", 0o622)], [file("g")]],
    "names of all sorts": [
        [
            file("caf\u00e9", b"1"),
            file("not utf-8 \udcff\udc80", b"2"),
            file(" spaces and \n newline ", b"3"),
            directory(".hidden"),
            file(".hidden/...", b"4"),
            file("-rf", b"5"),
            file("whiteout.wh.no", b"6"),
        ],
        [whiteout("not utf-8 \udcff\udc80"), whiteout(" spaces and \n newline ")],
    ],
    "long names": [
        [
            directory("d" * 120),
            file("d" * 120 + "/" + "f" * 150, b"1"),
            file("d" * 120 + "/" + "g" * 99, b"2"),
            file("h" * 200, b"3"),
            symlink("long", "t" * 300),
            hardlink("hard", "d" * 120 + "/" + "f" * 150),
        ],
        [directory("d" * 120), whiteout("d" * 120 + "/" + "f" * 150)],
    ],
    "absolute names and dots": [
        [directory("./"), directory("./etc"), file("/etc/a", b"a"), file("./etc//b", b"b"), hardlink("c", "./etc/a")],
        [whiteout("./etc/a")],
    ],
    "attributes": [
        [replace(file("a", b"1"), xattrs=(("user.one", "1"), ("user.two", "zwei")))],
        [replace(directory("d"), xattrs=(("user.dir", "d"),)), replace(file("a", b"2"), xattrs=(("user.three", "3"),))],
    ],
    "a name below a link of the same layer": [
        [directory("usr"), directory("usr/bin"), symlink("bin", "usr/bin"), file("bin/sh", b"sh")],
    ],
}

ROOT_ONLY: dict[str, Stack] = {
    "devices": [
        [device("null", 1, 3), device("sda", 8, 0, tarfile.BLKTYPE), device("gone", 1, 5)],
        [whiteout("gone"), file("sda", b"a file")],
    ],
    "owners": [
        [file("a", b"a").owned(1000, 1001), directory("d").owned(7, 8), symlink("l", "a").owned(9, 10)],
        [file("b", mode=0o4755).owned(2_500_000, 3_000_000), directory("d").owned(0, 8)],
    ],
}
"""What only root can make."""

BY_ENGINES: dict[str, Stack] = {
    "an opaque root": [BASE, [opaque(""), directory("srv"), file("srv/only", b"1")]],
    "a directory without an entry": [[file("a/b/c", b"c")], [file("a/b/d", b"d")]],
    "a directory without an entry keeps what the lower layer gave it": [BASE, [file("usr/lib/new", b"n")]],
    "a hard link to a lower layer's file": [BASE, [hardlink("mine", "etc/passwd")]],
    "a hard link to a lower layer's file that a later layer removes": [
        BASE,
        [hardlink("mine", "etc/passwd"), hardlink("more", "mine")],
        [directory("etc"), whiteout("etc/passwd")],
    ],
    "a hard link to a lower layer's file that the layer between replaced": [
        BASE,
        [directory("etc"), file("etc/passwd", b"between")],
        [hardlink("mine", "etc/passwd")],
    ],
    "a hard link to a symbolic link": [[symlink("l", "x"), hardlink("m", "l")]],
}
"""What a layer unpacked by itself can't show, so that the kernel is no judge: umoci is."""

BY_KERNEL: dict[str, Stack] = {
    "a directory without an entry hides a link below it": [BASE, [file("lib/new", b"n")]],
    "a mark in a directory that is not there": [BASE, [whiteout("nowhere/x")]],
}
"""Where umoci writes through the link of a lower layer, or makes nothing, and the kernel does not."""


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    """One to four layers over few names, so that they hit each other: parents come first, as builders write them."""
    return [draw(_layers()) for _ in range(draw(st.integers(1, 4)))]


_NAMES = ("a", "b", "c")


@st.composite
def _layers(draw: st.DrawFn) -> list[Item]:
    items: list[Item] = []
    directories = [""]
    files: list[str] = []
    for _ in range(draw(st.integers(0, 9))):
        parent = draw(st.sampled_from(directories))
        path = f"{parent}/{draw(st.sampled_from(_NAMES))}".lstrip("/")
        taken = [item for item in items if item.path == path]
        kind = draw(st.sampled_from("dddffffslhwwo"))
        if kind == "w":
            items.append(whiteout(path))
        elif kind == "o" and parent:  # the kernel takes no notice of an opaque root
            items.append(opaque(parent))
        elif kind == "d" and (not taken or path in directories) and path.count("/") < 3:
            items.append(directory(path, draw(st.sampled_from([0o755, 0o700, 0o1777]))))
            directories.append(path)
        elif kind == "f" and (not taken or path in files):
            items.append(file(path, draw(st.binary(max_size=3)), draw(st.sampled_from([0o644, 0o4755, 0]))))
            files.append(path)
        elif kind in "sl" and not taken:
            items.append(symlink(path, draw(st.sampled_from(["a", "../b", "/a/b", "c/a"]))))
        elif kind == "h" and not taken and files:
            items.append(hardlink(path, draw(st.sampled_from(files))))
            files.append(path)
    return items


@st.composite
def wild_stacks(draw: st.DrawFn) -> Stack:
    """Anything after anything: no builder writes such layers, but they must mean one thing to us."""
    names = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3).map("/".join)
    targets = st.sampled_from(["a", "../b", "/a/b", "c/a", "..", "/"])
    items = st.one_of(
        st.builds(file, names, st.binary(max_size=3)),
        st.builds(file, names, st.binary(max_size=3)),
        st.builds(directory, names, st.sampled_from([0o755, 0o700])),
        st.builds(symlink, names, targets),
        st.builds(hardlink, names, names),
        st.builds(fifo, names),
        st.builds(whiteout, names),
        st.builds(opaque, st.one_of(names, st.just(""))),
    )
    return draw(st.lists(st.lists(items, max_size=8), min_size=1, max_size=4))


def all_stacks(*groups: dict[str, Stack]) -> Sequence[tuple[str, Stack]]:
    return [pair for group in groups for pair in group.items()]
