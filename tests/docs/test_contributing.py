"""The guide for plugin authors: every hook has a section, and every example in it works."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from sonar_core import Client, Plugins, Registry, Settings
from sonar_core.hookspecs import Hooks
from sonar_core.testing.scripted import Answer, Origin

from .blocks import blocks, module

GUIDE = "CONTRIBUTING.md"
HOOKS = sorted(name for name in vars(Hooks) if name.startswith("sonar_"))


def example(hook: str) -> ModuleType:
    """The example in the section of `hook`, as a module."""
    sections = {heading: found for heading, found in blocks(GUIDE).items() if heading.startswith(f"`{hook}(")}
    assert len(sections) == 1, f"{GUIDE} has no section, or several, on {hook}"
    (found,) = sections.values()
    return module(found[0], f"example_of_{hook}")


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_has_a_section_whose_example_implements_it(hook: str) -> None:
    """DESIGN, "The hooks": a test fails when a hook has no page in the plugin author's guide."""
    plugins = Plugins()
    plugins.register(example(hook), "example")
    (plugin,) = plugins
    assert plugin.hooks == (hook,)
    assert plugins.problems == ()


def test_the_credential_source_answers_for_its_registry_only() -> None:
    plugins = Plugins()
    plugins.register(example("sonar_credentials"), "vault")
    settings = Settings(plugins={"vault": {"host": "a.example", "user": "robot", "password": "x"}})
    found = plugins.credentials(Registry.parse("a.example"), None, settings)
    assert found is not None
    assert (found.username, found.password, found.source) == ("robot", "x", "the vault")
    assert plugins.credentials(Registry.parse("b.example"), None, settings) is None


def test_the_auth_scheme_opens_a_registry(scripted: Origin, sonar_plugin_set: Callable[..., Plugins]) -> None:
    vault = example("sonar_credentials")
    plugins = sonar_plugin_set("check", acme=example("sonar_auth_schemes"), vault=vault)
    settings = Settings(plugins={"vault": {"host": scripted.host, "user": "robot", "password": "secret"}})
    challenge = Answer(401, {"WWW-Authenticate": f'Acme realm="http://{scripted.host}/tickets"'})
    scripted.on("GET", "/v2/", challenge, Answer(200, json={}))
    scripted.on("POST", "/tickets", Answer(200, json={"ticket": "T1"}))
    with Client(scripted.host, settings=settings, plugins=plugins) as client:
        assert client.check().status == 200
    first, tickets, second = scripted.requests
    assert first.header("Authorization") is None
    assert tickets.body == b"user=robot&password=secret"
    assert second.header("Authorization") == "Acme T1"


def test_without_credentials_the_auth_scheme_sends_nothing(
    scripted: Origin, sonar_plugin_set: Callable[..., Plugins], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of a test in the guide, run with the example of a scheme in place of a package."""
    monkeypatch.setitem(sys.modules, "sonar_acme", example("sonar_auth_schemes"))
    (source,) = blocks(GUIDE)["Testing a plugin"]
    module(source, "example_of_a_test").test_no_credentials_no_ticket(scripted, sonar_plugin_set)
    assert [request.path for request in scripted.requests] == ["/v2/"]


def test_the_endpoint_is_found_on_the_client(scripted: Origin, sonar_plugin_set: Callable[..., Plugins]) -> None:
    scripted.on("GET", "/v2/app/_quota", Answer(200, json={"used": 42}))
    plugins = sonar_plugin_set(quota=example("sonar_endpoints"))
    with Client(scripted.host, settings=Settings(), plugins=plugins) as client:
        assert client.quota.used("app") == 42


def test_the_command_runs_and_shows_what_it_returns(
    scripted: Origin, sonar_plugin_set: Callable[..., Plugins], capfd: pytest.CaptureFixture[str]
) -> None:
    from sonar_core.cli.shell import Shell

    scripted.on("GET", "/v2/app/tags/list?n=1000", Answer(200, json={"tags": ["a", "long"]}))
    plugins = sonar_plugin_set("tags", lengths=example("sonar_commands"))
    (command,) = [command for command in plugins.commands() if command.path == ("tag", "lengths")]
    built = Shell(plugins).build(command)
    built.main(args=[f"{scripted.host}/app", "--least", "2"], standalone_mode=False)
    assert capfd.readouterr().out == "4\tlong\n"
    built.main(args=[f"{scripted.host}/app", "-o", "json"], standalone_mode=False)
    assert json.loads(capfd.readouterr().out) == [{"tag": "a", "length": 1}, {"tag": "long", "length": 4}]


def test_the_store_is_opened_by_its_prefix(scripted: Origin, sonar_plugin_set: Callable[..., Plugins]) -> None:
    from sonar_core.stores import Connections, Stores

    team = example("sonar_stores")
    original = team.open_repository
    team.open_repository = lambda rest, opening: original(rest.replace("localhost:5000", scripted.host), opening)
    scripted.on("GET", "/v2/team/app/tags/list?n=1000", Answer(200, json={"tags": ["v1"]}))
    plugins = sonar_plugin_set("tags", "manifests", "blobs", team=team)
    with Connections(settings=Settings(), plugins=plugins) as connect, Stores(connect, plugins) as stores:
        place = stores.open("team:app:v1")
        assert place.name == "v1"
        assert list(place.store.tags()) == ["v1"]


def test_the_observer_counts(scripted: Origin, sonar_plugin_set: Callable[..., Plugins]) -> None:
    counting = example("sonar_exchange")
    scripted.on("GET", "/v2/", Answer(200, json={}))
    plugins = sonar_plugin_set("check", counting=counting)
    with Client(scripted.host, settings=Settings(), plugins=plugins) as client:
        client.check()
        client.check()
    assert counting.requests == {("GET", 200): 2}


def test_basic_is_a_plugin_like_any_other(scripted: Origin, sonar_plugin_set: Callable[..., Plugins]) -> None:
    """DESIGN, "The house": the built-in plugins have no privilege over a third party's."""
    plugins = sonar_plugin_set("check", "basic", vault=example("sonar_credentials"))
    settings = Settings(plugins={"vault": {"host": scripted.host, "user": "u", "password": "p"}})
    scripted.on("GET", "/v2/", Answer(401, {"WWW-Authenticate": "Basic realm=x"}), Answer(200, json={}))
    with Client(scripted.host, settings=settings, plugins=plugins) as client:
        assert client.check().auth == "basic"
    assert scripted.requests[1].header("Authorization") == "Basic " + base64.b64encode(b"u:p").decode()
