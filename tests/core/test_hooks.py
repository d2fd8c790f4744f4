"""Every hook of sonar, used; a hook without a test of its name here fails, and so does an example that does not run."""

from __future__ import annotations

import inspect
import re
import textwrap
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import sonar_core
from sonar_core.auth_types import AuthContext, Credentials, Grant, TokenAnswer, TokenRequest
from sonar_core.challenge import Challenge
from sonar_core.errors import AuthError, PluginError
from sonar_core.hookspecs import AuthScheme, Command, Endpoint, Hooks, StoreScheme, hookimpl
from sonar_core.plugins import HOOKS, Plugins
from sonar_core.reference import Registry, Repository
from sonar_core.settings import Settings
from sonar_core.testing.scripted import Answer, Origin, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonar_core.client import Client
    from sonar_core.exchange import Exchange

REGISTRY = Registry.parse("registry.example.com")


def test_every_hook_has_a_test() -> None:
    """DESIGN, 3: a test fails when a hook has no test."""
    tests = [name for name in globals() if name.startswith("test_")]
    untested = [hook for hook in sorted(HOOKS) if not any(name.startswith(f"test_{hook}_") for name in tests)]
    assert untested == []
    assert frozenset(name for name, _ in inspect.getmembers(Hooks) if name.startswith("sonar_")) == HOOKS


def example_in(hook: str) -> ModuleType:
    """The example of a hook's docstring, run as a plugin's module."""
    doc = inspect.getdoc(getattr(Hooks, hook)) or ""
    found = re.search(r"^ *(?:def flow|@hookimpl).*", doc, re.DOTALL | re.MULTILINE)
    assert found, f"the docstring of {hook} has no example"
    module = ModuleType(f"example_of_{hook}")
    vars(module).update({name: getattr(sonar_core, name) for name in dir(sonar_core) if name[0] != "_"})
    vars(module)["read_password"] = lambda: "from the vault"
    exec(textwrap.dedent(found[0]), vars(module))  # noqa: S102 - our own docstring
    return module


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_the_example_of_each_docstring_is_a_plugin(hook: str) -> None:
    plugins = Plugins()
    plugins.register(example_in(hook), "example")
    plugins.examine()
    assert plugins.problems == ()
    assert [plugin.hooks for plugin in plugins] == [(hook,)]


# ── credentials ─────────────────────────────────────────────────────────────────────────────────────────────


class Source:
    """A credential source that remembers what it was asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[Registry, Repository | None]] = []

    @hookimpl
    def sonar_credentials(self, registry: Registry, repository: Repository | None) -> object:
        self.asked.append((registry, repository))
        return self.answer


def test_sonar_credentials_first_answer_wins() -> None:
    """Third parties in name order, then the built-ins, whatever the order in which they were found."""
    builtin, silent, second, first = (
        Source(Credentials("builtin")),
        Source(None),
        Source(Credentials("second")),
        Source(Credentials("first")),
    )
    plugins = Plugins()
    plugins.register(builtin, "a-builtin", distribution="sonar-registry")
    plugins.register(second, "n-second", distribution="acme")
    plugins.register(first, "m-first", distribution="zinc")
    plugins.register(silent, "b-silent", distribution="bolt")
    repository = Repository(REGISTRY, "team/app")
    found = plugins.credentials(REGISTRY, repository, Settings())
    assert found is not None
    assert found.username == "first"
    assert silent.asked == first.asked == [(REGISTRY, repository)]
    assert second.asked == builtin.asked == []


def test_sonar_credentials_none_is_anonymous() -> None:
    plugins = Plugins()
    plugins.register(Source(None), "silent")
    assert plugins.credentials(REGISTRY, None, Settings()) is None


@pytest.mark.parametrize("wrong", ["alice:secret-7f3a", ("alice", "secret-7f3a"), True])
def test_sonar_credentials_of_another_type(wrong: object) -> None:
    plugins = Plugins()
    plugins.register(Source(wrong), "acme", distribution="acme-tools")
    with pytest.raises(PluginError, match=r"plugin acme \(acme-tools\) returned .* as credentials") as caught:
        plugins.credentials(REGISTRY, None, Settings())
    assert "secret-7f3a" not in str(caught.value)
    assert (caught.value.plugin, caught.value.distribution) == ("acme", "acme-tools")


def test_sonar_credentials_errors_of_sonars_pass() -> None:
    """A source that knows what is wrong says it itself."""

    class Locked:
        @hookimpl
        def sonar_credentials(self) -> None:
            raise AuthError("the vault is locked")

    plugins = Plugins()
    plugins.register(Locked(), "vault")
    with pytest.raises(AuthError, match="the vault is locked"):
        plugins.credentials(REGISTRY, None, Settings())


def test_sonar_credentials_tryfirst_and_trylast() -> None:
    """pluggy's words have their usual meaning within third parties, and within the built-ins."""
    asked = []

    def source(name: str, **options: Any) -> object:
        def sonar_credentials(self: object) -> None:
            asked.append(name)

        return type("Source", (), {"sonar_credentials": hookimpl(**options)(sonar_credentials)})()

    plugins = Plugins()
    for name, options in (("a", {"trylast": True}), ("b", {}), ("c", {"tryfirst": True})):
        plugins.register(source(name, **options), name)
    plugins.register(source("builtin", tryfirst=True), "z", distribution="sonar-registry")
    assert plugins.credentials(REGISTRY, None, Settings()) is None
    assert asked == ["c", "b", "a", "builtin"]


# ── auth schemes ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def acme(scripted: Origin) -> Origin:
    """A registry that wants the scheme of the docstring's example."""

    def guarded(request: Request) -> Answer:
        if request.header("Authorization") == "Acme open sesame":
            return Answer(200, json={"tags": ["v1"]})
        return Answer(401, {"WWW-Authenticate": f'Acme realm="{scripted.url}/token"'})

    scripted.on("GET", "/v2/a/tags/list", guarded)
    scripted.on("GET", "/token", Answer(200, body=b"open sesame"))
    return scripted


def test_sonar_auth_schemes_open_a_registry(acme: Origin, clients: Callable[..., Client]) -> None:
    """The example of the docstring: the core sends what the flow wants, and attaches what it returns."""
    plugins = Plugins()
    plugins.register(example_in("sonar_auth_schemes"), "acme")
    client = clients(acme.host, plugins=plugins)
    for _ in range(2):
        assert client.get_json("a/tags/list") == {"tags": ["v1"]}
    assert [call.path for call in acme.requests] == ["/v2/a/tags/list", "/token", *["/v2/a/tags/list"] * 2]


def test_sonar_auth_schemes_that_nobody_has(acme: Origin, clients: Callable[..., Client]) -> None:
    with pytest.raises(AuthError, match="asks for the authentication scheme acme, which no plugin answers"):
        clients(acme.host).get_json("a/tags/list")


def raises(context: AuthContext) -> Iterator[TokenRequest]:
    yield TokenRequest(context.challenge.realm)
    raise KeyError("secret-7f3a")


def returns_text(context: AuthContext) -> Any:
    yield TokenRequest(context.challenge.realm)
    return "secret-7f3a"


def yields_text(context: AuthContext) -> Any:
    yield "http://127.0.0.1/"


def is_no_generator(context: AuthContext) -> Any:
    return Grant({"Authorization": "secret-7f3a"})


def grants_for_never(context: AuthContext) -> Any:
    yield TokenRequest(context.challenge.realm)
    return Grant({"Authorization": "secret-7f3a"}, expires_in=float("nan"))


@pytest.mark.parametrize("flow", [raises, returns_text, yields_text, is_no_generator, grants_for_never, "no.module:x"])
def test_sonar_auth_schemes_that_fail_are_named(flow: Any, acme: Origin, clients: Callable[..., Client]) -> None:
    class Broken:
        @hookimpl
        def sonar_auth_schemes(self) -> list[AuthScheme]:
            return [AuthScheme("Acme", flow)]

    plugins = Plugins()
    plugins.register(Broken(), "acme", distribution="acme-tools")
    with pytest.raises(PluginError, match=r"plugin acme \(acme-tools\): the scheme Acme ") as caught:
        clients(acme.host, plugins=plugins).get_json("a/tags/list")
    assert "secret-7f3a" not in str(caught.value)


def test_sonar_auth_schemes_that_never_end(acme: Origin, clients: Callable[..., Client]) -> None:
    """Each flow may ask a few times: then it is told to stop, and its own clean-up runs."""
    ended = []

    def endless(context: AuthContext) -> Any:
        try:
            while True:
                answer = yield TokenRequest(context.challenge.realm)
                assert isinstance(answer, TokenAnswer)
        finally:
            ended.append(True)

    class Endless:
        @hookimpl
        def sonar_auth_schemes(self) -> list[AuthScheme]:
            return [AuthScheme("Acme", endless)]

    plugins = Plugins()
    plugins.register(Endless(), "acme")
    with pytest.raises(AuthError, match="the auth scheme Acme wants more than 6 requests"):
        clients(acme.host, plugins=plugins).get_json("a/tags/list")
    assert ended == [True]
    assert len(acme.calls("GET", "/token")) == 6


def test_sonar_auth_schemes_by_priority(scripted: Origin, clients: Callable[..., Client]) -> None:
    """When several are asked for, the highest priority wins; then the first asked for."""
    chosen = []

    def scheme(name: str, priority: int) -> AuthScheme:
        def flow(context: AuthContext) -> Any:
            chosen.append((name, context.challenge))
            return Grant({"Authorization": name})
            yield

        return AuthScheme(name, flow, priority)

    class Many:
        @hookimpl
        def sonar_auth_schemes(self) -> list[AuthScheme]:
            return [scheme("Low", 1), scheme("High", 5), scheme("Also-High", 5)]

    challenges = [("WWW-Authenticate", 'Low realm="a", Also-High realm="b"'), ("WWW-Authenticate", "High, Other")]
    scripted.on("GET", "/v2/", Answer(401, challenges), Answer(200, json={}))
    plugins = Plugins()
    plugins.register(Many(), "many")
    clients(scripted.host, plugins=plugins).get_json()
    assert chosen == [("Also-High", Challenge("also-high", {"realm": "b"}))]


# ── what is declared ────────────────────────────────────────────────────────────────────────────────────────


def declaring(hook: str, *values: object) -> object:
    def implementation(self: object) -> tuple[object, ...]:
        return values

    implementation.__name__ = hook
    return type("Declaring", (), {hook: hookimpl(implementation)})()


def test_sonar_endpoints_of_one_registry_replace_the_general_one(clients: Callable[..., Client]) -> None:
    plugins = Plugins()
    plugins.register(declaring("sonar_endpoints", Endpoint("quota", lambda client: ("general", client))), "general")
    special = Endpoint("quota", lambda client: ("special", client), registries=("*.example.com", "example.org:5000"))
    plugins.register(declaring("sonar_endpoints", special), "special")
    for host, expected in (
        ("eu.example.com", "special"),
        ("example.org:5000", "special"),
        ("example.org", "general"),
        ("example.com.evil.org", "general"),
    ):
        client = clients(host, plugins=plugins)
        assert client.quota == (expected, client)
        assert client.quota is client.endpoint("quota")
    assert plugins.problems == ()


def test_sonar_endpoints_only_for_one_registry(clients: Callable[..., Client]) -> None:
    plugins = Plugins()
    plugins.register(declaring("sonar_endpoints", Endpoint("quota", str, registries=("a.example.com",))), "special")
    with pytest.raises(AttributeError, match="no plugin provides the endpoint 'quota'; there are: quota"):
        clients("b.example.com", plugins=plugins).quota  # noqa: B018


def test_sonar_commands_in_order_of_their_paths() -> None:
    plugins = Plugins()
    commands = [Command(path, "m:f", "s") for path in (("tag", "newest"), ("a",), ("tag", "add"))]
    plugins.register(declaring("sonar_commands", *commands), "mine")
    assert [command.path for command in plugins.commands()] == [("a",), ("tag", "add"), ("tag", "newest")]
    owner = plugins.owner(plugins.commands()[0])
    assert owner is not None
    assert owner.name == "mine"
    assert plugins.owner(Command(("a",), "m:f", "s")) is None


def test_sonar_stores_by_prefix() -> None:
    plugins = Plugins()
    plugins.register(declaring("sonar_stores", StoreScheme("acme", "m:f"), StoreScheme("", "m:g")), "mine")
    plugins.register(declaring("sonar_stores", StoreScheme("a:b", "m:f")), "wrong", distribution="w")
    assert set(plugins.stores()) == {"acme", ""}
    assert [str(problem) for problem in plugins.problems] == [
        "plugin wrong (w): sonar_stores failed: ValueError: 'a:b' is no prefix of a store"
    ]


def test_sonar_exchange_is_told_of_each(
    scripted: Origin, clients: Callable[..., Client], capsys: pytest.CaptureFixture[str]
) -> None:
    """The docstring's example, beside one that raises: it is reported once and the others go on."""

    class Broken:
        @hookimpl
        def sonar_exchange(self, exchange: Exchange) -> None:
            raise RuntimeError(exchange.method)

    scripted.on("GET", "/v2/", Answer(200, json={}))
    reported: list[object] = []
    plugins = Plugins(report=reported.append)
    plugins.register(Broken(), "a-broken", distribution="b")
    plugins.register(example_in("sonar_exchange"), "example")
    client = clients(scripted.host, plugins=plugins)
    for _ in range(2):
        client.request("GET").close()
    assert capsys.readouterr().out == f"GET {scripted.url}/v2/ 200\n" * 2
    assert [str(problem) for problem in reported] == ["plugin a-broken (b): sonar_exchange failed: RuntimeError: GET"]


def test_sonar_exchange_costs_nothing_where_nobody_wants_it() -> None:
    assert not Plugins().observes_exchanges
    plugins = Plugins()
    plugins.register(example_in("sonar_exchange"), "example")
    assert plugins.observes_exchanges
