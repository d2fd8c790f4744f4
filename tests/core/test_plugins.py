"""Sets of plugins: side by side, registered by hand, discovered. `tests/plugin` has those that are broken."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sonar_core.errors import PluginError
from sonar_core.hookspecs import Command, Endpoint, hookimpl
from sonar_core.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonar_core.client import Client


class Greeter:
    """A plugin with an endpoint that greets in its own way."""

    def __init__(self, word: str) -> None:
        self.word = word

    @hookimpl
    def sonar_endpoints(self) -> list[Endpoint]:
        return [Endpoint("greeter", lambda client: f"{self.word} {client.registry}")]


def test_two_clients_with_different_plugins_side_by_side(clients: Callable[..., Client]) -> None:
    """No global state: neither set knows of the other (issue 2, point 10)."""
    first, second = Plugins(), Plugins()
    first.register(Greeter("hello"), "greeter")
    second.register(Greeter("goodbye"), "greeter")
    assert clients("a.example", plugins=first).greeter == "hello a.example"
    assert clients("a.example", plugins=second).greeter == "goodbye a.example"
    with pytest.raises(AttributeError, match="no plugin provides the endpoint 'greeter'; there are: none"):
        clients("a.example", plugins=Plugins()).greeter  # noqa: B018


def test_the_installed_ones_are_all_well() -> None:
    plugins = Plugins.discover()
    plugins.examine()
    assert plugins.problems == ()
    assert all(not plugin.error and not plugin.disabled for plugin in plugins)
    builtin = {plugin.name for plugin in plugins if plugin.builtin}
    assert {"check", "catalog", "tags", "manifests", "blobs", "basic", "bearer"} <= builtin
    assert len(plugins) == len(list(plugins))


def test_only_those_named() -> None:
    plugins = Plugins.discover(only=("tags", "nothing of that name"))
    assert [plugin.name for plugin in plugins] == ["tags"]


def test_a_name_is_taken_once() -> None:
    """The plugin that was there stays."""
    plugins = Plugins()
    plugins.register(Greeter("hello"), "greeter", distribution="first")
    with pytest.raises(PluginError, match="the name is taken by a plugin of first") as caught:
        plugins.register(Greeter("goodbye"), "greeter", distribution="second")
    assert (caught.value.plugin, caught.value.distribution) == ("greeter", "second")
    assert len(plugins.endpoints()) == 1
    assert len(plugins) == 1


def test_one_object_under_two_names() -> None:
    plugins, greeter = Plugins(), Greeter("hello")
    plugins.register(greeter, "one")
    with pytest.raises(PluginError, match="Greeter is the plugin one already"):
        plugins.register(greeter, "two")
    assert [plugin.name for plugin in plugins] == ["one"]


def test_an_object_that_can_not_be_looked_at() -> None:
    """pluggy looks at every attribute; one that raises makes that plugin fail, and leaves nothing behind."""

    class Hostile:
        @property
        def sonar_commands(self) -> object:
            raise RuntimeError("do not touch")

        def __dir__(self) -> Any:
            raise MemoryError("no list of attributes")

    plugins = Plugins()
    with pytest.raises(PluginError, match="MemoryError: no list of attributes"):
        plugins.register(Hostile(), "hostile")
    assert len(plugins) == 0
    plugins.register(Greeter("hello"), "hostile")
    assert len(plugins.endpoints()) == 1


def test_an_unknown_hook_that_is_optional_is_no_problem() -> None:
    """A plugin may be ready for a newer sonar."""

    class Ready:
        @hookimpl(optionalhook=True)
        def sonar_tomorrow(self) -> None: ...

        @hookimpl
        def sonar_commands(self) -> list[Command]:
            return []

    plugins = Plugins()
    plugins.register(Ready(), "ready")
    assert plugins.problems == ()
    assert [plugin.hooks for plugin in plugins] == [("sonar_commands",)]


def test_all_that_is_wrong_with_one_plugin_is_told() -> None:
    class Wrong:
        @hookimpl
        def sonar_commands(self) -> None: ...

        @hookimpl
        def sonar_endpoints(self) -> list[object]:
            return [5]

        @hookimpl
        def sonar_tomorrow(self) -> None: ...

    reported: list[object] = []
    plugins = Plugins(report=reported.append)
    plugins.register(Wrong(), "wrong", distribution="w")
    for _ in range(3):
        plugins.examine()
    (plugin,) = plugins
    assert plugin.error.count("; ") == 3  # one is in the words on the unknown hook
    for words in ("sonar_tomorrow", "sonar_commands failed: TypeError", "5 is no Endpoint"):
        assert words in plugin.error
    assert len(reported) == 3


def test_problems_are_logged_unless_someone_wants_them(caplog: pytest.LogCaptureFixture) -> None:
    """A library prints nothing: its user decides about logging."""
    plugins = Plugins()
    plugins.register(SimpleNamespace(sonar_commands=hookimpl(lambda: 5)), "wrong", distribution="w")
    with caplog.at_level(logging.WARNING, logger="sonar"):
        plugins.examine()
    assert [record.name for record in caplog.records] == ["sonar"]
    assert "plugin wrong (w): sonar_commands failed: TypeError" in caplog.text


def test_what_a_plugin_adds_in_words() -> None:
    plugins = Plugins.discover(only=("tags", "basic", "credentials-netrc"))
    added = {plugin.name: plugins.adds(plugin) for plugin in plugins}
    assert "endpoint tags" in added["tags"]
    assert "command tag ls" in added["tags"]
    assert added["basic"] == ("scheme Basic",)
    assert added["credentials-netrc"] == ("credentials",)


def test_an_endpoint_whose_factory_fails_is_named(clients: Callable[..., Client]) -> None:
    class Failing:
        @hookimpl
        def sonar_endpoints(self) -> list[Endpoint]:
            return [Endpoint("x", "nowhere.at.all:X")]

    plugins = Plugins()
    plugins.register(Failing(), "failing", distribution="f")
    with pytest.raises(PluginError, match=r"plugin failing \(f\): the endpoint x does not load: ModuleNotFoundError"):
        clients("localhost", plugins=plugins).endpoint("x")
