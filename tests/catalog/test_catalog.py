"""`sonar repo ls` and `client.catalog`."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from sonar_core.errors import ProtocolError, Unsupported
from sonar_core.testing.scripted import Answer, Origin, error
from sonar_plugins.catalog.endpoint import Catalog
from tests.support.images import image
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.client import Client
    from tests.support.endpoints import Program


def page(names: object, link: str = "") -> Answer:
    return Answer(200, {"Link": f"<{link}>; rel=next"} if link else {}, json={"repositories": names})


def test_every_page(scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/_catalog", page(["a", "team/b", None], "/v2/_catalog?last=team/b&n=1000"))
    scripted.on("GET", "/v2/_catalog?last=team/b&n=1000", page(["team/c"]))
    catalog = Catalog(clients(scripted.host))
    assert list(catalog.list()) == ["a", "team/b", "team/c"]
    assert scripted.requests[0].query == {"n": ["1000"]}
    assert list(catalog.list(prefix="team/")) == ["team/b", "team/c"]
    assert list(catalog.list(prefix="team/", limit=1)) == ["team/b"]


def test_a_limit_asks_for_no_page_more(scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/_catalog", page(["a", "b"], "/v2/_catalog?last=b"))
    assert list(Catalog(clients(scripted.host)).list(limit=2)) == ["a", "b"]
    assert list(Catalog(clients(scripted.host)).list(limit=0)) == []
    assert len(scripted.requests) == 1


def test_a_registry_without_a_catalog(scripted: Origin, clients: Callable[..., Client], sonar: Program) -> None:
    """As Docker Hub and GHCR: what can be done instead is said."""
    scripted.on("GET", "/v2/_catalog", error(404, "UNSUPPORTED"))
    with pytest.raises(Unsupported, match="does not list its repositories; name a repository instead"):
        list(Catalog(clients(scripted.host)).list())
    run = sonar("repo", "ls", scripted.host)
    assert (run.code, run.stdout) == (1, "")


def test_a_page_that_is_gone_is_no_such_registry(scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/_catalog", page(["a"], "/v2/_catalog?last=a"))
    scripted.on("GET", "/v2/_catalog?last=a", error(404, "NOT_FOUND"))
    items = Catalog(clients(scripted.host)).list()
    assert next(items) == "a"
    with pytest.raises(Exception, match="answered 404"):
        next(items)


@pytest.mark.parametrize("wrong", [[5], ["a", {}], [["a"]]])
def test_what_is_no_name(wrong: list[object], scripted: Origin, clients: Callable[..., Client]) -> None:
    scripted.on("GET", "/v2/_catalog", page(wrong))
    with pytest.raises(ProtocolError, match="holds something that is no name"):
        list(Catalog(clients(scripted.host)).list())


def test_real_registries(host: str, sonar: Program) -> None:
    prefix = f"catalog-{uuid.uuid4().hex}"
    expected = [f"{prefix}/{name}" for name in ("a", "b/c", "d")]
    for path in expected:
        push(f"http://{host}", path, "v1", image())
    assert sonar("repo", "ls", host, "--prefix", f"{prefix}/").stdout.splitlines() == expected
    assert sonar("repo", "ls", host, "--prefix", f"{prefix}/", "-o", "json").json == expected
    assert sonar("repo", "ls", host, "--prefix", f"{prefix}/", "--limit", "2").stdout.splitlines() == expected[:2]
    assert sonar("repo", "ls", host, "--prefix", "nothing/").stdout == ""
    assert sonar("repo", "ls", host, "--prefix", "nothing/", "-o", "json").json == []
