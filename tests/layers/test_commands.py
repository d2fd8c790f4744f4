"""The commands, on every kind of place: what they show, what they fetch, and what they refuse."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import images
from tests.support.push import push

from .making import Item, device, directory, file, hardlink, opaque, symlink, tar, whiteout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sonar_plugins.serve.server import EmbeddedRegistry
    from tests.support.endpoints import Program
    from tests.support.proxy import Proxy

BASE = [
    directory("etc"),
    file("etc/passwd", b"root\nolder\n"),
    file("etc/hosts", b"localhost\n"),
    symlink("lib", "usr/lib"),
    directory("usr"),
    directory("usr/lib", 0o750),
    file("usr/lib/a", b"a" * 1000),
    hardlink("usr/lib/b", "usr/lib/a"),
]
UPPER = [directory("etc"), whiteout("etc/hosts"), file("etc/passwd", b"root\nnewer\n", 0o600), file("new", b"new")]


def layer(items: Sequence[Item]) -> images.Layer:
    plain = tar(items)
    media_type = "application/vnd.oci.image.layer.v1.tar+gzip"
    return images.Layer(images.Content(media_type, gzip.compress(plain, 1, mtime=0)), images.sha256(plain))


def image(*layers: Sequence[Item], **options: Any) -> images.Image:
    return images.image(*map(layer, layers), **options)


@pytest.fixture
def layout(tmp_path: Path) -> str:
    """A layout with `v1` (two layers), `v2` (another upper one on the same base) and `plain` (the base alone)."""
    other = [file("etc/passwd", b"root\nanother\n"), file("usr/lib/c"), whiteout("usr/lib/b")]
    tagged = {
        "v1": image(BASE, UPPER),
        "v2": image(BASE, other, labels={"version": "2"}),
        "plain": image(BASE),
    }
    return f"oci:{images.write_layout(tmp_path / 'layout', tagged)}"


MERGED = ["/etc", "/etc/passwd", "/lib", "/new", "/usr", "/usr/lib", "/usr/lib/a", "/usr/lib/b"]


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "registry"])
def test_files_in_every_place(
    kind: str, sonar: Program, layout: str, sonar_registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """Issue: "on any location (registry, layout, archive)"."""
    place = f"{layout}:v1"
    if kind != "oci":
        place = {
            "oci-archive": f"oci-archive:{tmp_path}/image.tar:v1",
            "docker-archive": f"docker-archive:{tmp_path}/image.tar:app:v1",
            "registry": f"{sonar_registry.host}/app:v1",
        }[kind]
        assert sonar("image", "copy", f"{layout}:v1", place).code == 0
    run = sonar("image", "files", place)
    assert (run.code, run.stdout.splitlines(), run.stderr) == (0, MERGED, "")


def test_files_as_json(sonar: Program, layout: str) -> None:
    found = sonar("image", "files", f"{layout}:v1", "-o", "json").json
    assert [one["path"] for one in found] == MERGED
    by_path = {one["path"]: one for one in found}
    assert by_path["/etc/passwd"] == {
        "path": "/etc/passwd",
        "type": "file",
        "mode": "0600",
        "uid": 0,
        "gid": 0,
        "size": 11,
        "modified": "2023-11-14T22:13:20Z",
        "layer": 1,
        "hides": [0],
    }
    assert by_path["/lib"]["type"], by_path["/lib"]["target"] == ("symlink", "usr/lib")
    assert by_path["/usr/lib/b"]["type"] == "file"


def test_files_below_paths_and_through_links(sonar: Program, layout: str) -> None:
    run = sonar("image", "files", f"{layout}:v1", "lib/", "/lib/a", "etc")
    assert run.stdout.splitlines() == ["/lib", "/usr/lib/a", "/etc", "/etc/passwd"]


def test_files_with_details(sonar: Program, layout: str) -> None:
    lines = sonar("image", "files", "--long", f"{layout}:v1").stdout.splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["-rw-------", "0:0", "11", "2023-11-14T22:13", "1", "/etc/passwd"],
        ["lrwxrwxrwx", "0:0", "0", "2023-11-14T22:13", "0", "/lib", "->", "usr/lib"],
        ["-rw-r--r--", "0:0", "3", "2023-11-14T22:13", "1", "/new"],
    ]


def test_files_of_one_layer_with_what_it_removes(sonar: Program, tmp_path: Path) -> None:
    """Issue: "or one layer's with its whiteouts shown as removals"."""
    upper = [*UPPER, directory("o"), opaque("o"), hardlink("link", "usr/lib/a"), file("x/y")]
    place = f"oci:{images.write_layout(tmp_path / 'l', {'v1': image(BASE, upper)})}:v1"
    lines = ["/etc", "/etc/hosts  (removed)", "/etc/passwd", "/link", "/new", "/o  (emptied)", "/x/y"]
    assert sonar("image", "files", place, "--layer", "1").stdout.splitlines() == lines
    found = {one["path"]: one for one in sonar("image", "files", place, "--layer", "1", "-o", "json").json}
    assert found["/etc/hosts"] == {"path": "/etc/hosts", "type": "removed", "layer": 1}
    assert found["/o"]["opaque"] is True
    assert (found["/link"]["type"], found["/link"]["target"]) == ("hardlink", "/usr/lib/a")
    long = sonar("image", "files", place, "--layer", "1", "--long", "etc/hosts", "link").stdout.splitlines()
    assert long[0].startswith("---------- ")
    assert long[1].endswith("/link link to /usr/lib/a")


def test_one_layer_is_listed_without_the_others(sonar: Program, layout: str) -> None:
    remove_blob(layout, "v1", 0)
    assert sonar("image", "files", f"{layout}:v1", "--layer", "1").code == 0
    assert sonar("image", "files", f"{layout}:v1").code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 3, "the image has no /nothing"),
        (["etc/hosts"], 3, "the image has no /etc/hosts"),
        (["etc/../etc"], 2, "has '..' in it"),
        (["--layer", "2"], 3, "has no layer 2; it has 2"),
        (["--layer", "1", "lib"], 3, "layer 1 has no /lib"),
        (["--layer", "-1"], 2, "-1"),
    ],
)
def test_files_that_are_not_there(arguments: list[str], code: int, message: str, sonar: Program, layout: str) -> None:
    run = sonar("image", "files", f"{layout}:v1", *arguments)
    assert (run.code, run.stdout) == (code, "")
    assert message in run.stderr


def test_names_do_not_drive_the_terminal_and_json_stays_valid(sonar: Program, tmp_path: Path) -> None:
    """ROBUSTNESS: "Text from a registry is escaped before it reaches a terminal; JSON stays valid"."""
    bad = [file("\x1b[2J"), file("line\nbreak"), file("latin \udce9"), symlink("to", "\x1b]0;x\x07")]
    place = f"oci:{images.write_layout(tmp_path / 'l', {'v1': image(bad)})}:v1"
    for option in ("--long", "--quiet"):
        out = sonar("image", "files", place, option).stdout
        assert "\x1b" not in out
        assert len(out.splitlines()) == 4
    assert [one["path"] for one in sonar("image", "files", place, "-o", "json").json] == [
        "/\x1b[2J", "/latin \udce9", "/line\nbreak", "/to",
    ]  # fmt: skip


def test_the_platform_of_an_index(sonar: Program, tmp_path: Path) -> None:
    index = images.index(image([file("amd64")], platform="linux/amd64"), image([file("arm64")], platform="linux/arm64"))
    place = f"oci:{images.write_layout(tmp_path / 'l', {'v1': index})}:v1"
    assert sonar("image", "files", place, "--platform", "linux/arm64").stdout == "/arm64\n"
    missing = sonar("image", "files", place, "--platform", "linux/s390x")
    assert missing.code == 3
    assert "linux/amd64" in missing.stderr


def test_an_index_without_this_machine_shows_its_first_image(sonar: Program, tmp_path: Path) -> None:
    index = images.index(image([file("s390x")], platform="linux/s390x"))
    place = f"oci:{images.write_layout(tmp_path / 'l', {'v1': index})}:v1"
    assert sonar("image", "files", place).stdout == "/s390x\n"


# --- layers ----------------------------------------------------------------------------------------------------------


def test_layers_as_json(sonar: Program, layout: str) -> None:
    found = sonar("image", "layers", f"{layout}:v1", "-o", "json").json
    base, upper = layer(BASE), layer(UPPER)
    assert [one["digest"] for one in found["layers"]] == [base.content.digest, upper.content.digest]
    assert found["layers"][0] == {
        "layer": 0,
        "digest": base.content.digest,
        "mediaType": base.content.media_type,
        "size": len(base.content.data),
        "unpackedSize": len(tar(BASE)),
        "contentSize": 1021,
        "added": 5,
        "changed": 0,
        "removed": 0,
        "wasted": 21,
        "createdBy": "test",
    }
    assert {name: found["layers"][1][name] for name in ("added", "changed", "removed", "wasted")} == {
        "added": 1, "changed": 1, "removed": 1, "wasted": 0,
    }  # fmt: skip
    assert found["size"] == len(base.content.data) + len(upper.content.data)
    assert found["contentSize"] == 1021 + 14
    assert found["wasted"] == 21
    assert found["efficiency"] == pytest.approx((1035 - 11 - 10) / 1035)


def test_layers_as_a_table(sonar: Program, layout: str) -> None:
    lines = sonar("image", "layers", f"{layout}:v1").stdout.splitlines()
    assert lines[0].split() == ["LAYER", "SIZE", "UNPACKED", "ADDED", "CHANGED", "REMOVED", "WASTED", "CREATED", "BY"]
    assert lines[1].split()[5:] == ["5", "0", "0", "21", "B", "test"]
    assert lines[3].endswith("21 B wasted, efficiency 98.0 %")


# --- cat -------------------------------------------------------------------------------------------------------------


def test_cat(sonar: Program, layout: str) -> None:
    run = sonar("image", "cat", f"{layout}:v1", "/etc/passwd", "new", "lib/b")
    assert run.stdout == "root\nnewer\nnew" + "a" * 1000
    assert sonar("image", "cat", f"{layout}:v1", "/etc/passwd", "--verify").stdout == "root\nnewer\n"


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [("etc/hosts", 3, "the image has no 'etc/hosts'"), ("etc", 2, "'etc' is not a file but a directory")],
)
def test_cat_of_what_is_no_file(path: str, code: int, message: str, sonar: Program, layout: str) -> None:
    run = sonar("image", "cat", f"{layout}:v1", path)
    assert (run.code, run.stdout) == (code, "")
    assert message in run.stderr


def big_image(size: int) -> images.Image:
    noise = random.Random(size).randbytes(size)
    return image([file("big", noise)], [file("etc/passwd", b"root\n")])


def test_cat_of_a_file_in_the_top_layer_leaves_the_others_where_they_are(
    sonar: Program, sonar_registry: EmbeddedRegistry, proxy: Callable[..., Proxy]
) -> None:
    """Issue: "`cat` of a file in the top layer of an image with a 1 GiB lower layer transfers less than 1 %"."""
    size = 32 << 20
    push(f"http://{sonar_registry.host}", "big", "v1", big_image(size))
    line = proxy(sonar_registry.host)
    assert sonar("image", "cat", f"{line.host}/big:v1", "etc/passwd").stdout == "root\n"
    assert line.bytes_down < size // 100


def test_diff_of_images_that_share_their_base_does_not_fetch_it(
    sonar: Program, sonar_registry: EmbeddedRegistry, proxy: Callable[..., Proxy]
) -> None:
    """Issue: "`diff` of two images that share their 1 GiB base likewise"."""
    size = 32 << 20
    first = big_image(size)
    base = images.Layer(first.blobs[1], json.loads(first.blobs[0].data)["rootfs"]["diff_ids"][0])
    second = images.image(base, layer([file("etc/passwd", b"other\n")]))
    url = f"http://{sonar_registry.host}"
    push(url, "big", "v1", first)
    push(url, "big", "v2", second)
    line = proxy(sonar_registry.host)
    run = sonar("image", "diff", f"{line.host}/big:v1", f"{line.host}/big:v2")
    assert run.stdout == "C /etc/passwd (content)\n"
    assert line.bytes_down < size // 100


# --- diff ------------------------------------------------------------------------------------------------------------


def test_diff_as_json(sonar: Program, layout: str) -> None:
    found = sonar("image", "diff", f"{layout}:v1", f"{layout}:v2", "--content", "-o", "json").json
    assert found["sharedLayers"] == 1
    assert found["config"] == [{"key": "config.Labels.version", "before": None, "after": "2"}]
    assert [(one["kind"], one["path"]) for one in found["files"]] == [
        ("added", "/etc/hosts"),
        ("changed", "/etc/passwd"),
        ("removed", "/new"),
        ("removed", "/usr/lib/b"),
        ("added", "/usr/lib/c"),
    ]
    changed = found["files"][1]
    assert changed["what"] == ["content", "mode"]
    assert changed["before"]["digest"] == images.sha256(b"root\nnewer\n")
    assert changed["diff"].splitlines()[2:] == ["@@ -1,2 +1,2 @@", " root", "-newer", "+another"]


def test_diff_as_text(sonar: Program, layout: str) -> None:
    lines = sonar("image", "diff", f"{layout}:v1", f"{layout}:v2", "--content").stdout.splitlines()
    assert lines[:3] == ['config config.Labels.version: null -> "2"', "A /etc/hosts", "C /etc/passwd (content, mode)"]
    assert lines[3:5] == ["--- a/etc/passwd", "+++ b/etc/passwd"]
    assert sonar("image", "diff", f"{layout}:v1", f"{layout}:v1").stdout == "no difference\n"


def test_diff_with_all_layers_is_exact(sonar: Program, layout: str) -> None:
    """`etc/passwd` is written by one image alone above the shared base, and is in the base, too."""
    without = sonar("image", "diff", f"{layout}:plain", f"{layout}:v1").stdout.splitlines()
    exact = sonar("image", "diff", f"{layout}:plain", f"{layout}:v1", "--all-layers").stdout.splitlines()
    assert "A /etc/passwd" in without
    assert "C /etc/passwd (content, mode)" in exact
    assert [line for line in exact if "passwd" not in line] == ["D /etc/hosts", "A /new"]


def test_diff_needs_no_layer_that_both_share(sonar: Program, layout: str) -> None:
    remove_blob(layout, "v1", 0)
    assert sonar("image", "diff", f"{layout}:v1", f"{layout}:v2").code == 0
    assert sonar("image", "diff", f"{layout}:v1", f"{layout}:v2", "--all-layers").code == 3


# --- extract and export ----------------------------------------------------------------------------------------------


def test_extract(sonar: Program, layout: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = sonar("image", "extract", f"{layout}:v1", str(out), "-o", "json")
    assert run.json == {
        "directory": str(out),
        "files": 3,
        "directories": 4,
        "others": 2,
        "size": 1014,
        "skipped": [],
        "attributesLeftOut": 0,
    }
    assert (out / "etc" / "passwd").read_bytes() == b"root\nnewer\n"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == [path[1:] for path in MERGED]
    again = sonar("image", "extract", f"{layout}:v1", str(out))
    assert again.code == 2
    assert "is not empty" in again.stderr


def test_extract_parts(sonar: Program, layout: str, tmp_path: Path) -> None:
    run = sonar("image", "extract", f"{layout}:v1", str(tmp_path / "out"), "/etc", "usr/lib/b")
    assert run.stdout.endswith("2 files, 4 directories, 0 links and others, 1011 B\n")
    assert (tmp_path / "out" / "usr" / "lib" / "b").read_bytes() == b"a" * 1000


def test_extract_tells_in_one_line_which_devices_were_left_out(sonar: Program, tmp_path: Path) -> None:
    """Issue: "devices skipped with one line"."""
    items = [*(device(f"dev/{name}", 1, number) for number, name in enumerate("abcd")), file("x")]
    place = f"oci:{images.write_layout(tmp_path / 'l', {'v1': image(items)})}:v1"
    run = sonar("image", "extract", place, str(tmp_path / "out"))
    assert run.stderr == ("sonar: 4 devices left out: /dev/a, /dev/b, /dev/c, …; root makes them with --same-owner\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can keep owners")
def test_extract_with_owners(sonar: Program, tmp_path: Path) -> None:
    place = f"oci:{images.write_layout(tmp_path / 'l', {'v1': image([file('x').owned(1000, 7)])})}:v1"
    assert sonar("image", "extract", place, str(tmp_path / "out"), "--same-owner").code == 0
    status = (tmp_path / "out" / "x").stat()
    assert (status.st_uid, status.st_gid) == (1000, 7)


def test_export(sonar: Program, layout: str, tmp_path: Path) -> None:
    run = sonar("image", "export", f"{layout}:v1", "-O", str(tmp_path / "out.tar"), "-o", "json")
    data = (tmp_path / "out.tar").read_bytes()
    assert run.json == {"file": str(tmp_path / "out.tar"), "size": len(data), "digest": images.sha256(data)}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert ["/" + name for name in archive.getnames()] == MERGED
    assert sonar("image", "export", f"{layout}:v1").stdout.encode() == data


@pytest.mark.parametrize(
    ("command", "more"),
    [("files", []), ("layers", []), ("cat", ["usr/lib/a"]), ("export", []), ("extract", ["DIR"]), ("diff", ["REF"])],
)
def test_limits(command: str, more: list[str], sonar: Program, layout: str, tmp_path: Path) -> None:
    """ROBUSTNESS: "Limits on unpacked size and number of entries"."""
    real = {"DIR": str(tmp_path / "out"), "REF": f"{layout}:plain"}
    arguments = ["image", command, f"{layout}:v1", *(real.get(each, each) for each in more)]
    for option, hint in (("--max-size=2k", "--max-size"), ("--max-entries=2", "--max-entries")):
        run = sonar(*arguments, option)
        assert (run.code, run.stdout) == (1, "")
        assert f"{hint} allows more" in run.stderr
    assert not (tmp_path / "out").exists()
    assert sonar(*arguments, "--max-size=1GiB", "--max-entries=100").code == 0


# --- what is broken --------------------------------------------------------------------------------------------------


def blob_path(layout: str, tag: str, number: int) -> Path:
    """Where a layer of an image in a layout is."""
    from pathlib import Path

    directory = Path(layout.removeprefix("oci:"))
    index = json.loads((directory / "index.json").read_text())
    names = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry for entry in index["manifests"]}
    blobs = directory / "blobs" / "sha256"
    manifest = json.loads((blobs / names[tag]["digest"].removeprefix("sha256:")).read_text())
    return blobs / str(manifest["layers"][number]["digest"]).removeprefix("sha256:")


def tamper(path: Path) -> None:
    """Give the blob at `path` other bytes of the same length that are a right gzip stream."""
    size = path.stat().st_size
    evil = gzip.compress(tar([file("evil")]), 9)
    assert len(evil) < size
    path.write_bytes(evil.ljust(size, b"\0"))


def remove_blob(layout: str, tag: str, number: int) -> None:
    blob_path(layout, tag, number).unlink()


@pytest.mark.parametrize("command", ["files", "layers", "export", "extract"])
def test_a_layer_with_other_content_than_its_digest_says(
    command: str, sonar: Program, layout: str, tmp_path: Path
) -> None:
    """ "Every byte that enters is checked against the digest asked for"."""
    path = blob_path(layout, "v1", 0)
    path.write_bytes(
        gzip.compress(tar([file("evil", b"x" * 5000)]), 0)[: path.stat().st_size].ljust(path.stat().st_size, b"\0")
    )
    more = [str(tmp_path / "out")] if command == "extract" else []
    run = sonar("image", command, f"{layout}:v1", *more)
    assert run.code in (1, 5)
    assert run.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_wrong_diff_id_stops_extracting(sonar: Program, tmp_path: Path) -> None:
    wrong = replace(layer(BASE), diff_id="sha256:" + "0" * 64)
    place = f"oci:{images.write_layout(tmp_path / 'l', {'v1': images.image(wrong)})}:v1"
    run = sonar("image", "extract", place, str(tmp_path / "out"))
    assert run.code == 5
    assert "unpacks to something else" in run.stderr
    assert not (tmp_path / "out").exists()


def test_a_config_without_diff_ids(sonar: Program, tmp_path: Path) -> None:
    made = image(BASE)
    config = images.Content(made.blobs[0].media_type, b'{"architecture": "amd64", "os": "linux"}')
    document = made.manifest.json | {"config": config.descriptor()}
    manifest = images.Content(made.manifest.media_type, json.dumps(document).encode())
    broken = replace(made, manifest=manifest, blobs=(config, *made.blobs[1:]))
    place = f"oci:{images.write_layout(tmp_path / 'l', {'v1': broken})}:v1"
    run = sonar("image", "files", place)
    assert run.code == 1
    assert "not one diff ID for each of the 1 layers" in run.stderr


def test_what_is_no_image(sonar: Program, tmp_path: Path) -> None:
    made = image(BASE)
    document = made.manifest.json
    document["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    manifest = images.Content(made.manifest.media_type, json.dumps(document).encode())
    place = f"oci:{images.write_layout(tmp_path / 'l', {'v1': replace(made, manifest=manifest)})}:v1"
    run = sonar("image", "files", place)
    assert run.code == 2
    assert "is no image but 'application/vnd.cncf.helm.config.v1+json'" in run.stderr


@pytest.mark.parametrize("command", ["files", "layers", "cat", "diff", "extract", "export"])
def test_an_image_that_is_not_there(command: str, sonar: Program, layout: str, tmp_path: Path) -> None:
    more = {"cat": ["x"], "diff": [f"{layout}:v1"], "extract": [str(tmp_path / "out")]}.get(command, [])
    run = sonar("image", command, f"{layout}:none", *more)
    assert (run.code, run.stdout) == (3, "")
    assert not (tmp_path / "out").exists()
