"""Locations: which store, and which name in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonar_core.content import Digest
from sonar_core.errors import BadReference, UsageError
from sonar_core.plugins import Plugins
from sonar_core.stores import Connections, Stores, split_location, split_path

if TYPE_CHECKING:
    from pathlib import Path

    from sonar_core.stores import Name

_DIGEST = f"sha256:{'a' * 64}"
_PREFIXES = ("", "oci", "oci-archive", "docker-archive")


@pytest.mark.parametrize(
    ("location", "parts"),
    [
        ("oci:dir:tag", ("oci", "dir:tag")),
        ("oci-archive:f.tar", ("oci-archive", "f.tar")),
        ("nginx:1.27", ("", "nginx:1.27")),
        ("localhost:5000/a/b:v1", ("", "localhost:5000/a/b:v1")),
        ("registry:2", ("", "registry:2")),  # an image that many pull
        ("http://localhost/a", ("", "http://localhost/a")),
        (":x", ("", ":x")),
        ("ocidir:x", ("", "ocidir:x")),
    ],
)
def test_prefixes(location: str, parts: tuple[str, str]) -> None:
    """DESIGN 4: "A location is a reference, or `oci:DIR[:TAG]`, …"."""
    assert split_location(location, _PREFIXES) == parts


@pytest.mark.parametrize(
    ("rest", "path", "name"),
    [
        ("dir", "dir", None),
        ("dir:tag", "dir", "tag"),
        ("/a/b:docker.io/library/nginx:1", "/a/b", "docker.io/library/nginx:1"),
        (f"dir@{_DIGEST}", "dir", Digest.parse(_DIGEST)),
        ("a@b", "a@b", None),
        (f"dir:tag@{_DIGEST}", "dir", f"tag@{_DIGEST}"),
    ],
)
def test_paths_and_names(rest: str, path: str, name: Name) -> None:
    assert split_path(rest, "oci") == (path, name)


@pytest.mark.parametrize("rest", ["", ":tag", "dir:", "@sha256:abc", "dir@sha256:abc", f"@{_DIGEST}"])
def test_malformed_paths(rest: str) -> None:
    with pytest.raises(BadReference):
        split_path(rest, "oci")


@given(st.text(max_size=40))
def test_any_text_is_a_location_or_refused(text: str) -> None:
    """A location is parsed or refused with a typed error, whatever it is; nothing is opened or sent."""
    try:
        path, _ = split_path(text, "oci")
    except BadReference:
        return
    assert path
    assert text.startswith(path)


def test_no_plugin_for_it(tmp_path: Path) -> None:
    """Without the plugin that opens references, say so."""
    plugins = Plugins.discover(only=["layout"])
    with Connections(plugins=plugins) as connect, Stores(connect, plugins) as stores, pytest.raises(UsageError):
        stores.open("nginx")


def test_one_store_for_one_place(tmp_path: Path) -> None:
    """Locations that lead to one store share it: several images go into one archive."""
    plugins = Plugins.discover(only=["layout", "archive"])
    with Connections(plugins=plugins) as connect, Stores(connect, plugins) as stores:
        one = stores.open(f"docker-archive:{tmp_path}/a.tar:x/y:1", write=True)
        two = stores.open(f"docker-archive:{tmp_path}/../{tmp_path.name}/a.tar:x/y:2", write=True)
        other = stores.open(f"docker-archive:{tmp_path}/b.tar:x/y:2", write=True)
        assert one.store is two.store
        assert one.store is not other.store
        assert (one.name, two.name) == ("docker.io/x/y:1", "docker.io/x/y:2")


@pytest.mark.parametrize("path", ["/tmp/image", "./image", "../image", "~/image"])  # noqa: S108 - nothing is made there
def test_a_path_without_its_prefix_says_which(path: str) -> None:
    with Connections() as connect, Stores(connect, connect.plugins) as stores:
        with pytest.raises(BadReference) as caught:
            stores.open(path)
        assert caught.value.hint == f"a layout there is oci:{path}"
