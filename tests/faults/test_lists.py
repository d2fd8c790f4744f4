"""ROBUSTNESS, Lists: pages of tags and repositories that lead astray."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.testing.scripted import Answer, Origin, Request
from tests.faults.registry import behind, manifest_answer
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.program import Outcome, Program

PATH = "/v2/a/tags/list"
NEXT = f"{PATH}?last=v1&n=1"


def page(*tags: Any, link: str | list[str] | None = None, **fields: Any) -> Answer:
    links = [link] if isinstance(link, str) else link or []
    return Answer(200, [("Link", each) for each in links], json={"name": "a", "tags": list(tags), **fields})


def tags(sonar: Program, origin: Origin, *options: str) -> Outcome:
    return sonar("tag", "ls", f"{origin.host}/a", *options)


def stopped(outcome: Outcome, *words: str) -> None:
    """Exit 1 and a message; what was printed before ends at a whole line."""
    assert outcome.code == 1, outcome.shown()
    outcome.reported(*words)
    assert outcome.out == "" or outcome.out.endswith("\n")


@pytest.mark.parametrize(
    "link",
    [
        pytest.param(f'<{NEXT}>; rel="next"', id="as in the spec"),
        pytest.param(f"<{NEXT}>; rel=next", id="unquoted"),
        pytest.param(f"<{NEXT}>;rel=next", id="no blank"),
        pytest.param(f'<{NEXT}>; REL="NEXT"', id="upper case"),
        pytest.param(f'<{NEXT}>; title="a, b; c"; rel="next"', id="another parameter"),
        pytest.param(f'</first>; rel="first", <{NEXT}>; rel="next"', id="several in one"),
        pytest.param(['</first>; rel="first"', f'<{NEXT}>; rel="next"'], id="several headers"),
        pytest.param(f'<{NEXT}>; rel="last next"', id="several relations"),
        pytest.param('<list?last=v1&n=1>; rel="next"', id="relative to the page"),
        pytest.param('<?last=v1&n=1>; rel="next"', id="a query alone"),
        pytest.param('<../tags/list?last=v1&n=1>; rel="next"', id="dots"),
    ],
)
def test_the_next_page_is_found(sonar: Program, scripted: Origin, link: str | list[str]) -> None:
    """L1: "Follow `Link` (relative, … unquoted, several values)" (RFC 8288)."""
    scripted.on("GET", PATH, page("v1", link=link))
    scripted.on("GET", NEXT, page("v2"))
    assert tags(sonar, scripted).succeeded().out == "v1\nv2\n"


def test_an_absolute_link_on_the_same_origin(sonar: Program, scripted: Origin) -> None:
    """L1: "Follow `Link` (… absolute on the same origin …)"."""
    scripted.on("GET", PATH, page("v1", link=f'<{scripted.url}{NEXT}>; rel="next"'))
    scripted.on("GET", NEXT, page("v2"))
    assert tags(sonar, scripted).succeeded().out == "v1\nv2\n"


def test_a_link_of_another_relation_is_no_next_page(sonar: Program, scripted: Origin) -> None:
    """L1: "Follow `Link`": only `rel=next`."""
    scripted.on("GET", PATH, page("v1", link=f'<{NEXT}>; rel="prev"'))
    assert tags(sonar, scripted).succeeded().out == "v1\n"
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    "link",
    [
        "",
        "nonsense",
        "<",
        '<http://[::1>; rel="next"',
        '<http://x:99999/>; rel="next"',
        "<>; rel",
        '<x; rel="next"',
        ";;;,,,",
        '"',
        "<" * 10_000,
        '<a>; rel="next' + "\\" * 20_000,
    ],
)
def test_a_link_that_means_nothing(sonar: Program, scripted: Origin, link: str) -> None:
    """L1: "Follow `Link`": what can't be parsed neither crashes nor hangs."""
    scripted.default = page("v1", link=link)
    outcome = tags(sonar, scripted)
    assert outcome.code in (0, 1), outcome.shown()
    assert outcome.out in ("v1\n", "")
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("target", [PATH, NEXT, "?last=v1&n=1", "#top", ""])
def test_a_link_to_a_page_seen_before(sonar: Program, scripted: Origin, target: str) -> None:
    """L1: "a link to itself or seen before ends in an error"."""
    scripted.default = page("v1", link=f'<{target}>; rel="next"')
    stopped(tags(sonar, scripted))
    assert len(scripted.requests) <= 3


def test_a_circle_of_pages(sonar: Program, scripted: Origin) -> None:
    """L1: "a link to itself or seen before ends in an error": a circle of three."""
    for here, there in ((PATH, f"{PATH}?p=1"), (f"{PATH}?p=1", f"{PATH}?p=2"), (f"{PATH}?p=2", f"{PATH}?p=1")):
        scripted.on("GET", here, page(here[-3:], link=f'<{there}>; rel="next"'))
    stopped(tags(sonar, scripted), "loop")
    assert len(scripted.requests) == 3


@pytest.mark.parametrize("login", [False, True])
def test_a_link_to_another_origin(
    sonar: Program, scripted: Origin, origins: Callable[..., Origin], login: bool
) -> None:
    """L1: "another origin is refused"."""
    other = origins()
    other.default = page("evil")
    first = page("v1", link=f'<{other.url}{NEXT}>; rel="next"')
    header = "Basic YWxpY2U6d29uZGVybGFuZC03ZjNh"
    scripted.on("GET", PATH, behind(header, first, 'Basic realm="r"') if login else first)
    sonar.login(scripted.host)
    outcome = tags(sonar, scripted)
    stopped(outcome, "origin")
    assert "evil" not in outcome.out
    assert other.connections == 0


def test_a_link_to_another_scheme(sonar: Program, scripted: Origin) -> None:
    """L1: "another origin is refused": `//host` and `https:` too."""
    scripted.on("GET", PATH, page("v1", link=f'<https://{scripted.host}{NEXT}>; rel="next"'))
    stopped(tags(sonar, scripted), "origin")
    scripted.on("GET", PATH, page("v1", link='<file:///etc/passwd>; rel="next"'))
    stopped(tags(sonar, scripted))


def test_pages_have_a_cap(sonar: Program, scripted: Origin) -> None:
    """L1: "a cap on pages"."""

    def endless(request: Request) -> Answer:
        number = int(request.query.get("p", ["0"])[0])
        return page(f"t{number}", link=f'<{PATH}?p={number + 1}>; rel="next"')

    scripted.on("GET", re.compile(re.escape(PATH) + ".*"), endless)
    outcome = sonar("tag", "ls", f"{scripted.host}/a", environment={"SONAR_PAGES": "5"})
    stopped(outcome, "5")
    assert len(scripted.requests) == 5


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param({"name": "a", "tags": None}, "", id="null list"),
        pytest.param({"name": "a", "tags": []}, "", id="empty list"),
        pytest.param({"tags": ["v1", None, "v2"]}, "v1\nv2\n", id="null items"),
        pytest.param({"name": "other", "tags": ["v1"]}, "v1\n", id="another name"),
    ],
)
def test_nexus_and_its_nulls(sonar: Program, scripted: Origin, document: Any, expected: str) -> None:
    """L1: "`null` lists and null items (Nexus) … are handled"."""
    scripted.on("GET", PATH, Answer(200, json=document))
    assert tags(sonar, scripted).succeeded().out == expected
    parsed = tags(sonar, scripted, "-o", "json").succeeded().json
    assert parsed == expected.split()


def test_a_null_catalog(sonar: Program, scripted: Origin) -> None:
    """L1: "`null` lists": of repositories."""
    scripted.on("GET", "/v2/_catalog", Answer(200, json={"repositories": None}))
    assert sonar("repo", "ls", scripted.host, "-o", "json").succeeded().json == []


def test_artifactory_and_its_digests(sonar: Program, scripted: Origin) -> None:
    """L1: "digests among tags (Artifactory) are handled": they are no tags, and no reason to stop."""
    scripted.on("GET", PATH, page("v1", "sha256:" + "a" * 64, "sha256__" + "b" * 64, "v2"))
    out = tags(sonar, scripted).succeeded().out.split()
    assert out[0] == "v1"
    assert out[-1] == "v2"
    assert "sha256:" + "a" * 64 not in out


@pytest.mark.parametrize("command", ["tag", "repo"])
def test_a_page_that_fails_makes_the_command_fail(sonar: Program, scripted: Origin, command: str) -> None:
    """L1: "a page that fails makes the command fail"."""
    key, path = ("tags", PATH) if command == "tag" else ("repositories", "/v2/_catalog")
    link = {"Link": f'<{path}?last=one>; rel="next"'}
    scripted.on("GET", path, Answer(200, link, json={key: ["one"]}))
    scripted.on("GET", f"{path}?last=one", Answer(500))
    name = f"{scripted.host}/a" if command == "tag" else scripted.host
    outcome = sonar(command, "ls", name)
    stopped(outcome, "500")
    assert outcome.out == "one\n"
    as_json = sonar(command, "ls", name, "-o", "json").failed("500")
    assert as_json.stdout == b""


def test_a_page_that_is_not_found_is_not_the_end(sonar: Program, scripted: Origin) -> None:
    """L1: "a page that fails makes the command fail": 404 on page two is no empty page."""
    scripted.on("GET", PATH, page("v1", link=f'<{NEXT}>; rel="next"'))
    scripted.on("GET", NEXT, Answer(404))
    outcome = tags(sonar, scripted)
    assert outcome.code != 0, outcome.shown()


def test_names_of_tags_that_are_none(sonar: Program, scripted: Origin) -> None:
    """P1/N1: a tag that could be no tag never reaches a URL: with `--digests` it is not asked for."""
    scripted.on("GET", PATH, page("v1", "../../evil", "a/b", "x" * 200, "\x1b[31mred"))
    what = images.image().manifest
    scripted.on("GET|HEAD", "/v2/a/manifests/v1", manifest_answer(what))
    outcome = tags(sonar, scripted, "--digests")
    assert outcome.code in (0, 1), outcome.shown()
    assert "\x1b" not in outcome.out + outcome.err
    assert {r.path for r in scripted.calls("HEAD")} <= {"/v2/a/manifests/v1"}
