"""ROBUSTNESS, On disk: layers that want to write elsewhere, and what they may do where they belong."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support import images

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.program import Outcome, Program

Entry = tuple[tarfile.TarInfo, bytes]


def file(name: str, data: bytes = b"evil\n", mode: int = 0o644) -> Entry:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    return info, data


def link(name: str, target: str) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info, b""


def hard(name: str, target: str) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE, target
    return info, b""


def folder(name: str, mode: int = 0o755) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def special(name: str, kind: bytes) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor = kind, 1, 3
    return info, b""


def packed(*entries: Entry) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def layer(*entries: Entry) -> images.Layer:
    plain = packed(*entries)
    content = images.Content("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(plain, mtime=0))
    return images.Layer(content, images.sha256(plain))


class Bench:
    """Extracts images, each into a folder of its own that has a neighbour, which must stay as it is."""

    def __init__(self, sonar: Program, root: Path) -> None:
        self.sonar = sonar
        self.root = root
        self.target = root / "target-0"
        self._number = 0
        self.outside = root / "outside"
        self.outside.mkdir()
        (self.outside / "kept").write_text("as it was\n")

    def extract(self, *layers: images.Layer) -> Outcome:
        self._number += 1
        self.target = self.root / f"target-{self._number}"
        outcome = self.extract_here(*layers)
        assert outcome.code in (0, 1, 5), outcome.shown()
        return outcome

    def extract_here(self, *layers: images.Layer) -> Outcome:
        layout = images.write_layout(self.root / "layout", {"v1": images.image(*layers)})
        outcome = self.sonar("image", "extract", f"oci:{layout}:v1", self.target)
        assert "Traceback" not in outcome.err, outcome.shown()
        assert [path.name for path in self.outside.iterdir()] == ["kept"], outcome.shown()
        assert (self.outside / "kept").read_text() == "as it was\n"
        assert (self.outside / "kept").stat().st_nlink == 1
        assert not (self.root / "evil").exists()
        return outcome

    def names(self) -> set[str]:
        """Everything below the target, relative."""
        return {str(path.relative_to(self.target)) for path in self.target.rglob("*")}


@pytest.fixture
def bench(sonar: Program, tmp_path: Path) -> Bench:
    return Bench(sonar, tmp_path)


def test_dots(bench: Bench) -> None:
    """D2: "nothing outside the directory, by `..`"."""
    for name in ("../evil", "a/../../evil", "./../evil", "a/b/../../../evil", ".."):
        bench.extract(layer(folder("a"), file(name)))


def test_absolute_names(bench: Bench) -> None:
    """D2: "absolute names": they are below the directory, or refused."""
    outcome = bench.extract(layer(file(str(bench.root / "evil"))))
    assert outcome.code in (0, 1)
    bench.extract(layer(file("//evil"), file("/etc/evil-by-sonar")))
    assert not os.path.lexists("/etc/evil-by-sonar")


@pytest.mark.parametrize("absolute", [True, False])
def test_through_a_link(bench: Bench, absolute: bool) -> None:
    """D2: "links": a file below a link that leads outside (CVE-2021-21272)."""
    to = str(bench.outside) if absolute else "../outside"
    bench.extract(layer(link("door", to), file("door/evil")))
    bench.extract(layer(link("door", to)), layer(file("door/evil")))


def test_links_in_a_chain(bench: Bench) -> None:
    """D2: "links in a chain": each by itself looks harmless."""
    entries = [folder("a"), folder("a/b"), link("a/b/up", "../.."), link("out", "a/b/up/../outside"), file("out/evil")]
    bench.extract(layer(*entries))
    bench.extract(layer(link("one", "two"), link("two", "three"), link("three", ".."), file("one/outside/evil")))


def test_overwriting_a_link(bench: Bench) -> None:
    """D2: a file in place of a link replaces the link, not what it points to."""
    bench.extract(layer(link("kept", "../outside/kept"), file("kept", b"changed\n")))
    bench.extract(layer(link("kept", "../outside/kept")), layer(file("kept", b"changed\n")))


def test_hard_links_outside(bench: Bench) -> None:
    """D2: "hard links to what lies outside" (CVE-2026-50163)."""
    for target in ("../outside/kept", str(bench.outside / "kept"), "/etc/passwd"):
        bench.extract(layer(hard("h", target), file("h", b"changed\n")))
    bench.extract(layer(link("door", "../outside"), hard("h", "door/kept"), file("h", b"changed\n")))


def test_a_link_changed_half_way(bench: Bench) -> None:
    """D2: "a link changed half-way" (CVE-2026-85731): a folder that becomes a link, and back."""
    bench.extract(layer(folder("d"), file("d/a"), link("d", "../outside"), file("d/evil")))
    bench.extract(layer(link("d", "../outside"), folder("d"), file("d/evil")))
    bench.extract(layer(folder("d"), folder("d/e")), layer(link("d", "../outside")), layer(file("d/e/evil")))


def test_legitimate_absolute_links_are_kept(bench: Bench) -> None:
    """D2: "it refuses legitimate absolute links": the filter of `tarfile` does, we don't."""
    outcome = bench.extract(layer(folder("etc"), file("etc/real"), link("etc/alias", "/etc/real")))
    assert outcome.code == 0, outcome.shown()
    assert str((bench.target / "etc" / "alias").readlink()) == "/etc/real"


def test_what_is_below_a_link_inside_stays_inside(bench: Bench) -> None:
    """D2: "Resolve every step from a directory descriptor": an absolute link is resolved as in the image's root."""
    outcome = bench.extract(layer(folder("usr"), folder("usr/lib"), link("lib", "/usr/lib")), layer(file("lib/new")))
    assert outcome.code in (0, 1), outcome.shown()
    assert not os.path.lexists("/usr/lib/new")


def test_a_target_that_has_a_link_already(bench: Bench) -> None:
    """D2: a link that somebody put into the directory before is not followed either."""
    bench.target.mkdir()
    (bench.target / "door").symlink_to(bench.outside)
    assert bench.extract_here(layer(file("door/evil"))).code in (1, 2)


def test_whiteouts_hide_what_is_below(bench: Bench) -> None:
    """D3: "Whiteouts hide what lower layers have and nothing in their own" (image-spec, "Layers")."""
    lower = layer(folder("a"), file("a/x"), file("a/y"), file("z"))
    upper = layer(file("a/.wh.x", b""), file(".wh.z", b""), file("z", b"new\n"), file("a/new"))
    assert bench.extract(lower, upper).code == 0
    assert bench.names() == {"a", "a/y", "a/new", "z"}
    assert (bench.target / "z").read_text() == "new\n"


def test_opaque_directories(bench: Bench) -> None:
    """D3: "opaque directories": hide all of the layers below, and nothing of their own, in any order."""
    lower = layer(folder("a"), file("a/x"), folder("a/b"), file("a/b/y"))
    upper = layer(file("a/own"), file("a/.wh..wh..opq", b""), file("a/late"))
    assert bench.extract(lower, upper).code == 0
    assert bench.names() == {"a", "a/own", "a/late"}


@pytest.mark.parametrize("name", [".wh.", "a/.wh.", ".wh...", ".wh..", "a/.wh..."])
def test_whiteouts_of_nothing(bench: Bench, name: str) -> None:
    """D3: "`.wh.` names alone are refused": `.wh.`, `.wh..` and `.wh...` would remove a folder or its parent."""
    lower = layer(folder("a"), file("a/x"))
    outcome = bench.extract(lower, layer(folder("a"), file(name, b"")))
    assert outcome.code == 1, outcome.shown()


def test_a_whiteout_does_not_reach_outside(bench: Bench) -> None:
    """D3/D2: a whiteout below a link removes nothing outside."""
    bench.extract(layer(link("door", "../outside")), layer(file("door/.wh.kept", b"")))
    bench.extract(layer(file("../outside/.wh.kept", b"")))
    bench.extract(layer(link("door", "../outside")), layer(file("door/.wh..wh..opq", b"")))


def test_a_file_becomes_a_directory_and_back(bench: Bench) -> None:
    """D3: "a file that becomes a directory and back; last entry wins"."""
    steps = [
        layer(file("p")),
        layer(folder("p"), file("p/q")),
        layer(file("p", b"file again\n")),
        layer(file("p", b"first\n"), file("p", b"last\n")),
    ]
    assert bench.extract(*steps).code == 0
    assert bench.names() == {"p"}
    assert (bench.target / "p").read_text() == "last\n"


def test_a_bomb_is_stopped(bench: Bench) -> None:
    """D4: "Limits on unpacked size and number of entries"."""
    info = tarfile.TarInfo("bomb")
    info.size = 10**13
    head = info.tobuf()
    plain = head + b"\0" * 1_000_000
    content = images.Content("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(plain, mtime=0))
    outcome = bench.extract(images.Layer(content, images.sha256(plain)))
    assert outcome.code in (1, 5), outcome.shown()
    assert outcome.peak < 200


def test_devices_are_not_made(bench: Bench) -> None:
    """D4: "devices … follow a policy that is documented and off for an ordinary user"."""
    bench.extract(layer(file("a"), special("null", tarfile.CHRTYPE), special("disk", tarfile.BLKTYPE)))
    for path in bench.target.rglob("*"):
        assert not path.is_char_device()
        assert not path.is_block_device()


def test_set_id_bits_are_off(bench: Bench) -> None:
    """D4: "set-id bits … off for an ordinary user": and for everybody unless asked for."""
    bench.extract(layer(file("su", mode=0o6755), folder("d", mode=0o2755)))
    assert (bench.target / "su").stat().st_mode & 0o6000 == 0


def test_a_media_type_that_lies(bench: Bench) -> None:
    """D4: "… zstd, plain tar are told by their bytes, and a media type that lies is an error"."""
    plain = packed(file("a"))
    lie = images.Content("application/vnd.oci.image.layer.v1.tar+gzip", plain)
    assert bench.extract(images.Layer(lie, images.sha256(plain))).code == 1


def test_gzip_of_several_members(bench: Bench) -> None:
    """D4: "gzip of several members" is one stream (RFC 1952, section 2.2)."""
    plain = packed(file("a", b"x" * 5000), file("b"))
    data = gzip.compress(plain[:3000], mtime=0) + gzip.compress(plain[3000:], mtime=0)
    content = images.Content("application/vnd.oci.image.layer.v1.tar+gzip", data)
    assert bench.extract(images.Layer(content, images.sha256(plain))).code == 0
    assert bench.names() == {"a", "b"}


def test_diff_ids_are_verified(bench: Bench) -> None:
    """D4: "diff IDs are verified"."""
    good = layer(file("a"))
    assert bench.extract(images.Layer(good.content, "sha256:" + "0" * 64)).code == 5


@pytest.mark.parametrize("cut", [1, 100, 512, 700])
def test_a_layer_cut_short(bench: Bench, cut: int) -> None:
    """D4: a tar that ends in the middle is an error, whatever digest it has."""
    plain = packed(file("a", b"x" * 2000))[:cut]
    content = images.Content("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(plain, mtime=0))
    assert bench.extract(images.Layer(content, images.sha256(plain))).code in (1, 5)


def test_garbage_is_no_layer(bench: Bench) -> None:
    """D4: bytes that are no tar are a typed error."""
    for plain in (b"\xff" * 2048, b"not a tar" * 300, bytes(range(256)) * 8):
        content = images.Content("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(plain, mtime=0))
        assert bench.extract(images.Layer(content, images.sha256(plain))).code == 1
