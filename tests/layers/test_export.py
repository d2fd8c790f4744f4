"""The merged tree as one archive."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from sonar_core.content import Digest
from sonar_core.errors import IntegrityError
from sonar_plugins.layers.export import export

from .making import Item, directory, file, hardlink, opaque, source, stack, symlink, tar, whiteout


def archive_of(*layers: list[Item]) -> bytes:
    return b"".join(export(stack(*layers)))


def test_equal_trees_give_equal_archives_whatever_the_layers() -> None:
    """Issue: "the merged tree as one tar stream, reproducible"."""
    one = archive_of([directory("d"), file("d/a", b"a"), hardlink("d/b", "d/a"), symlink("l", "d")])
    other = archive_of(
        [symlink("l", "d"), directory("d", 0o700), file("d/old", b"old"), file("d/b", b"else")],
        [directory("d"), opaque("d"), file("d/b", b"a"), hardlink("d/a", "d/b")],
    )
    assert one == other


def test_in_the_order_of_names_with_hard_links_to_the_first_name() -> None:
    data = archive_of([file("z", b"zz"), hardlink("b", "z"), directory("a"), hardlink("a/c", "b")], [file("n")])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = [(member.name, member.type, member.linkname, member.size) for member in archive]
    assert members == [
        ("a", tarfile.DIRTYPE, "", 0),
        ("a/c", tarfile.REGTYPE, "", 2),
        ("b", tarfile.LNKTYPE, "a/c", 0),
        ("n", tarfile.REGTYPE, "", 0),
        ("z", tarfile.LNKTYPE, "a/c", 0),
    ]


def test_a_file_whose_other_name_is_gone_is_no_link() -> None:
    data = archive_of([file("a", b"content"), hardlink("b", "a"), hardlink("c", "a")], [whiteout("a"), file("c", b"c")])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [(member.name, member.type, member.size) for member in archive] == [
            ("b", tarfile.REGTYPE, 7),
            ("c", tarfile.REGTYPE, 1),
        ]


def test_the_root_is_in_it_where_the_image_says_something_of_it() -> None:
    data = archive_of([directory(".", 0o700), file("a")])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert next((member.name, member.mode) for member in archive) == (".", 0o700)


def test_an_image_without_files_is_an_archive_without_entries() -> None:
    assert archive_of([], []) == bytes(1024)


def test_nothing_comes_before_all_layers_are_verified() -> None:
    archive = tar([file("a", b"a")])
    layers = [source(gzip.compress(archive), diff_id=Digest.of(b"other")), *stack([file("b", b"b")])]
    pieces = export(layers)
    with pytest.raises(IntegrityError):
        next(iter(pieces))
