"""Real files: those of Debian packages that are installed here, made into layers by GNU tar."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sonar_core.content import Digest
from sonar_plugins.layers.extract import extract
from sonar_plugins.layers.limits import Budget
from sonar_plugins.layers.source import read_tree

from . import umoci
from .making import directory, opaque, source, tar, whiteout
from .overlay import kernel
from .seen import look

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg: this is not Debian"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can keep the owners of system files"),
]


def package(*names: str) -> bytes:
    """The files of packages as one archive, with owners, links and modes."""
    listed = subprocess.run(["dpkg", "-L", *names], stdout=subprocess.PIPE, check=True, text=True).stdout
    # /bin is a link to /usr/bin, and dpkg still says /bin/sed.
    files = {os.path.realpath(os.path.dirname(line)) + "/" + os.path.basename(line) for line in listed.splitlines()}  # noqa: PTH119, PTH120
    paths = sorted(path.lstrip("/") for path in files if os.path.lexists(path) and not path.endswith("."))
    command = ["tar", "--create", "--file=-", "--directory=/", "--no-recursion", "--numeric-owner", "--xattrs"]
    packed = subprocess.run(
        [*command, "--format=posix", "--null", "--files-from=-"],
        input="\0".join(paths).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert packed.returncode <= 1  # 1: a directory, as /tmp, changed meanwhile
    return packed.stdout


@pytest.fixture(scope="module")
def archives() -> list[bytes]:
    """Four layers: two packages each, things removed and emptied above them, and one package once more."""
    removed = tar([
        directory("usr"), directory("usr/share"), directory("usr/share/zoneinfo"),
        whiteout("usr/share/zoneinfo/Europe"), directory("usr/share/zoneinfo/Asia"), opaque("usr/share/zoneinfo/Asia"),
        directory("usr/bin"), whiteout("usr/bin/sed"),
    ])  # fmt: skip
    return [package("base-files", "tzdata"), package("sed", "grep"), removed, package("base-files")]


def test_real_packages_unpack_as_with_umoci_and_the_kernel(archives: list[bytes], tmp_path: Path) -> None:
    """Issue: "a Debian package's files made into layers by the tests, not only toy tars"."""
    sources = [source(archive, diff_id=Digest.of(archive)) for archive in archives]
    extract(sources, tmp_path / "ours", same_owner=True)
    ours = look(tmp_path / "ours")
    assert len(ours) > 1000
    assert ours == look(umoci.unpack(archives, tmp_path))
    assert {os.fsdecode(entry.path) for entry in read_tree(sources, Budget()).walk() if entry.path} == set(ours)
    with kernel() as overlay:
        if overlay is not None:
            assert overlay.merged(archives) == ours
