"""Archives that want out: nothing but the directory is touched (ROBUSTNESS, "On disk").

Each is extracted as root and as an ordinary user who owns, and could change, all that lies around.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.errors import SonarError
from sonar_plugins.layers.extract import extract
from sonar_plugins.layers.source import LayerSource

from .making import device, directory, fifo, file, hardlink, opaque, stack, symlink, whiteout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .stacks import Stack

NOBODY = 65534
OUTSIDE = "@outside@"  # stands for the absolute path of what lies around

# Each: layers, and whether they are refused (None: either way).
HOSTILE: dict[str, tuple[Stack, bool]] = {
    "a name that climbs": ([[file("../victim", b"!")]], True),
    "a name that climbs from within": ([[directory("a"), file("a/../../victim", b"!")]], True),
    "the parent itself": ([[directory("..", 0o777)]], True),
    "an absolute name": ([[file(f"{OUTSIDE}/victim", b"!")]], False),
    "an absolute name of a directory": ([[directory(OUTSIDE, 0o777), file(f"{OUTSIDE}/dir/new", b"!")]], False),
    "a file below a link out": ([[symlink("l", "../outside"), file("l/new", b"!")]], False),
    "a file below an absolute link out": ([[symlink("l", OUTSIDE), file("l/victim", b"!")]], False),
    "the link in a lower layer": ([[symlink("l", OUTSIDE)], [file("l/victim", b"!")]], False),
    "the link in a higher layer": ([[directory("l"), file("l/victim", b"!")], [symlink("l", OUTSIDE)]], False),
    "links in a chain": (
        [[symlink("a", "b"), symlink("b", "c"), symlink("c", "../outside"), file("a/victim", b"!")]],
        False,
    ),
    "links that climb one step each": (
        [[directory("d"), symlink("d/up", ".."), symlink("d/up2", "up/.."), file("d/up2/victim", b"!")]],
        False,
    ),
    "a link to a link to its own parent": ([[symlink("x", "."), symlink("x/y", ".."), file("y/victim", b"!")]], False),
    "a loop of links": ([[symlink("a", "b"), symlink("b", "a"), file("a/x", b"!")]], True),
    "a hard link that climbs": ([[hardlink("h", "../outside/victim")]], True),
    "a hard link to an absolute name": ([[hardlink("h", f"{OUTSIDE}/victim")]], True),
    "a hard link through a link": ([[symlink("l", OUTSIDE), hardlink("h", "l/victim")]], True),
    "a hard link through a link of a lower layer": ([[symlink("l", OUTSIDE)], [hardlink("h", "l/victim")]], True),
    "a hard link to a link, then written": (
        [[symlink("l", f"{OUTSIDE}/victim"), hardlink("h", "l"), file("h", b"!", 0o777)]],
        False,
    ),
    "a hard link to a link in another layer, then written": (
        [[symlink("l", f"{OUTSIDE}/victim")], [hardlink("h", "l")], [file("h", b"!", 0o777)]],
        False,
    ),
    "a file over a link": ([[symlink("l", f"{OUTSIDE}/victim"), file("l", b"!", 0o777)]], False),
    "a directory over a link": ([[symlink("l", OUTSIDE), directory("l", 0o777), file("l/victim", b"!")]], False),
    "a FIFO over a link": ([[symlink("l", f"{OUTSIDE}/victim"), fifo("l", 0o777)]], False),
    "a link over a directory half-way": (
        [[directory("d"), file("d/a", b"1"), symlink("d", OUTSIDE), file("d/victim", b"!")]],
        False,
    ),
    "a link over a directory in the layer above, and back": (
        [[directory("d"), file("d/victim", b"1")], [symlink("d", OUTSIDE)], [directory("d"), file("d/victim", b"!")]],
        False,
    ),
    "a whiteout below a link": ([[symlink("l", OUTSIDE)], [whiteout("l/victim")]], False),
    "a whiteout below a link of the same layer": ([[symlink("l", OUTSIDE), whiteout("l/victim")]], False),
    "a whiteout of a directory below a link": (
        [[symlink("l", OUTSIDE)], [symlink("l", OUTSIDE), whiteout("l/dir")]],
        False,
    ),
    "opaque below a link": ([[symlink("l", OUTSIDE)], [opaque("l")]], False),
    "opaque below a link of the same layer": ([[symlink("l", OUTSIDE), opaque("l")]], False),
    "a whiteout that climbs": ([[whiteout("../outside/victim")]], True),
    "a whiteout of no name": ([[file("a")], [file(".wh.")]], True),
    "a whiteout of the directory": ([[file("d/a")], [file("d/.wh..")]], True),
    "a whiteout of the parent": ([[file("d/a")], [file("d/.wh...")]], True),
    "something below a whiteout": ([[file(".wh.x/a")]], True),
    "the root as a link": ([[symlink(".", OUTSIDE), file("victim", b"!")]], True),
    "the root as a file": ([[file("./", b"!")]], True),
    "a NUL in a name": ([[file("a" * 120 + "\0/../victim", b"!")]], True),
    "a mode for what a link names": (
        [[symlink("l", f"{OUTSIDE}/victim"), hardlink("m", "l"), directory("m", 0o777)]],
        False,
    ),
    "set-id bits": ([[file("suid", b"!", 0o6777), directory("sgid", 0o2777)]], False),
    "devices": ([[device("sda", 8, 0, tarfile.BLKTYPE), device("mem", 1, 1), hardlink("mem2", "mem")]], False),
}  # fmt: skip


class Surroundings:
    """A directory `outside` with things in it, beside the directory `target` that is extracted into."""

    def __init__(self, base: Path, owner: int) -> None:
        base.chmod(0o755)
        self.base = base
        self.outside = base / "outside"
        self.target = base / "target"
        (self.outside / "dir").mkdir(parents=True)
        (self.outside / "victim").write_text("untouched")
        (self.outside / "dir" / "inner").write_text("untouched")
        (self.outside / "link").symlink_to("victim")
        (base / "victim").write_text("untouched")
        if os.geteuid() == 0:
            for path in [base, *base.rglob("*")]:
                os.chown(path, owner, owner, follow_symlinks=False)

    def listing(self) -> dict[str, tuple[Any, ...]]:
        """All that a change could show in: names, modes, owners, sizes, links, times, content."""
        found: dict[str, tuple[Any, ...]] = {}
        for path in sorted(self.base.rglob("*")):
            if path == self.target or self.target in path.parents:
                continue
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found[str(path)] = (
                status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_nlink,
                status.st_mtime_ns, status.st_ctime_ns, content,
            )  # fmt: skip
        return found

    def made(self) -> Iterator[tuple[str, os.stat_result]]:
        for path in sorted(self.target.rglob("*")):
            yield str(path.relative_to(self.target)), path.lstat()


WHO = [pytest.param(0, id="root"), pytest.param(NOBODY, id="nobody")] if os.geteuid() == 0 else [os.geteuid()]


@pytest.fixture(params=WHO)
def around(request: pytest.FixtureRequest) -> Iterator[tuple[Surroundings, int]]:
    base = Path(tempfile.mkdtemp(prefix="sonar-hostile-"))
    yield Surroundings(base, request.param), request.param
    shutil.rmtree(base)


def as_user(uid: int, work: Callable[[], object]) -> str:
    """Run `work` in a process of that user; the name of the SonarError it raised, or nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = "crashed"
        try:
            if uid != os.geteuid():
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            work()
            outcome = ""
        except SonarError as error:
            outcome = type(error).__name__
        except BaseException as error:
            outcome = f"crashed: {error!r}"
        finally:
            os.write(writing, outcome.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        outcome = pipe.read()
    os.waitpid(child, 0)
    return outcome


@pytest.mark.parametrize(("layers", "refused"), [pytest.param(*case, id=name) for name, case in HOSTILE.items()])
def test_nothing_outside_is_created_changed_or_linked(
    layers: Stack, refused: bool, around: tuple[Surroundings, int]
) -> None:
    """ROBUSTNESS: "nothing outside the directory, by `..`, absolute names, links in a chain, hard links …"."""
    place, uid = around
    sources = stack(*([item.at(OUTSIDE, str(place.outside)) for item in layer] for layer in layers))
    before = place.listing()
    outcome = as_user(uid, lambda: extract(sources, place.target, same_owner=uid == 0))
    assert place.listing() == before
    assert outcome == ("ContentError" if refused else "")
    assert place.target.exists() is not refused, "what was made before an error stays"
    for path, status in place.made():
        if uid != 0:
            assert status.st_uid == uid, path
            assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID), path
            assert not stat.S_ISBLK(status.st_mode), path
            assert not stat.S_ISCHR(status.st_mode), path


def opened_by(layer: LayerSource, deed: Callable[[], object]) -> LayerSource:
    """The layer; when it is opened, something else is done on the disk."""

    def opening() -> Any:
        deed()
        return layer.open()

    return LayerSource(layer.name, opening, layer.media_type, layer.diff_id)


def test_a_link_that_someone_puts_there_meanwhile_is_not_followed(around: tuple[Surroundings, int]) -> None:
    """ROBUSTNESS: "a link changed half-way". The lower layer writes into `d`, which is a link out by then."""
    place, uid = around
    lower, upper = stack([directory("d"), file("d/victim", b"!")], [directory("d"), file("d/mine", b"m")])

    def swap() -> None:
        shutil.rmtree(place.target / "d")
        (place.target / "d").symlink_to(place.outside)

    before = place.listing()
    outcome = as_user(uid, lambda: extract([opened_by(lower, swap), upper], place.target))
    assert place.listing() == before
    assert outcome == "SonarError"


def test_a_link_in_the_place_of_the_directory_is_where_it_was_opened(around: tuple[Surroundings, int]) -> None:
    """The directory itself is replaced by a link out while layers are read: all goes on where it was."""
    place, uid = around
    lower, upper = stack([file("victim", b"!")], [file("mine", b"m")])

    def swap() -> None:
        place.target.rename(place.base / "moved")
        place.target.symlink_to(place.outside)

    before = {path: seen for path, seen in place.listing().items() if "moved" not in path}
    outcome = as_user(uid, lambda: extract([opened_by(lower, swap), upper], place.target))
    after = {path: seen for path, seen in place.listing().items() if "moved" not in path}
    assert after == before
    assert outcome == ""
    assert sorted(path.name for path in (place.base / "moved").iterdir()) == ["mine", "victim"]


def test_a_file_that_someone_puts_in_the_way_is_not_overwritten(around: tuple[Surroundings, int]) -> None:
    place, uid = around
    lower, upper = stack([file("x", b"!")], [file("mine", b"m")])
    swap = lambda: os.link(place.outside / "victim", place.target / "x")  # noqa: E731
    before = (place.outside / "victim").read_bytes()
    outcome = as_user(uid, lambda: extract([opened_by(lower, swap), upper], place.target))
    assert outcome == "SonarError"
    assert (place.outside / "victim").read_bytes() == before
