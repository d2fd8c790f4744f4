"""The plugins: found through entry points, kept apart from one another, one typed call for each hook.

pluggy calls all implementations of a hook at once and stops at the first that raises; here each is called on its
own, so that one broken plugin is named and the rest goes on.

Records are named tuples here: a frozen dataclass takes ten times as long to define, and this is paid at every start.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pluggy

from .errors import PluginError, SonarError
from .hookspecs import AuthScheme, Command, Endpoint, Hooks, StoreScheme

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from .auth_types import Credentials
    from .exchange import Exchange
    from .reference import Registry, Repository
    from .settings import Settings

GROUP = "sonar"
BUILTIN = "sonar-registry"

T = TypeVar("T")


class Plugin(NamedTuple):
    """One plugin: its entry-point name, who brought it, and how loading it went."""

    name: str
    distribution: str
    version: str
    module: str
    hooks: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""
    disabled: bool = False

    @property
    def builtin(self) -> bool:
        """Whether it came with sonar itself."""
        return self.distribution == BUILTIN


class Problem(NamedTuple):
    """Something that is wrong with a plugin, while the rest goes on."""

    plugin: str
    distribution: str
    message: str

    def __str__(self) -> str:
        return f"plugin {self.plugin} ({self.distribution}): {self.message}"


def _warn(problem: Problem) -> None:
    import logging

    logging.getLogger("sonar").warning("%s", problem)


class _Claim(NamedTuple):
    plugin: Plugin
    value: Any


class Plugins:
    """A set of plugins. Two sets side by side do not know of each other.

    `report` is called once for each Problem; unless given, problems go to the logger `sonar`.
    """

    def __init__(self, *, report: Callable[[Problem], None] = _warn) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(Hooks)
        self._plugins: dict[str, Plugin] = {}
        self._problems: dict[Problem, None] = {}
        self._report = report
        self._collected: dict[str, tuple[_Claim, ...]] = {}

    @classmethod
    def discover(
        cls,
        *,
        only: Iterable[str] | None = None,
        disabled: Iterable[str] = (),
        report: Callable[[Problem], None] = _warn,
    ) -> Plugins:
        """All installed plugins, but for those in `disabled` and in `SONAR_DISABLE_PLUGINS` (names, comma-separated).

        With `only`, those named and no others. Never raises: what does not load is in `problems`.
        """
        plugins = cls(report=report)
        wanted = None if only is None else frozenset(only)
        from_environment = (name.strip() for name in os.environ.get("SONAR_DISABLE_PLUGINS", "").split(","))
        left_out = frozenset(disabled) | frozenset(name for name in from_environment if name)
        for entry, distribution, version in _entry_points():
            if wanted is None or entry.name in wanted:
                plugins._load(entry, distribution, version, disabled=entry.name in left_out)
        return plugins

    # ── what there is ───────────────────────────────────────────────────────────────────────────────────

    def __iter__(self) -> Iterator[Plugin]:
        return iter(self._plugins.values())

    def __len__(self) -> int:
        return len(self._plugins)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What went wrong so far."""
        return tuple(self._problems)

    def register(self, plugin: object, name: str, *, distribution: str = "", version: str = "") -> None:
        """Add a module or an object with hook implementations. Raises PluginError where it does not fit."""
        record = Plugin(name, distribution or f"{name} (registered)", version, type(plugin).__name__)
        self._add(plugin, record)

    def _load(self, entry: EntryPoint, distribution: str, version: str, *, disabled: bool) -> None:
        record = Plugin(entry.name, distribution, version, entry.value, disabled=disabled)
        if entry.name in self._plugins:
            other = self._plugins[entry.name].distribution
            self._problem(record, f"the name is taken by a plugin of {other}; this one is left out")
            return
        if disabled:
            self._plugins[entry.name] = record
            return
        started = time.perf_counter()
        try:
            module = entry.load()
            record = record._replace(seconds=time.perf_counter() - started)
            self._add(module, record)
        except PluginError as error:
            self._failed(record, error.message)
        except (Exception, SystemExit) as error:
            self._failed(record, f"import failed: {describe(error)}")

    def _add(self, plugin: object, record: Plugin) -> None:
        try:
            self._manager.register(plugin, record.name)
            unknown = _unknown_hooks(self._manager, plugin)
        except (ValueError, pluggy.PluginValidationError) as error:
            if self._manager.has_plugin(record.name):
                self._manager.unregister(name=record.name)
            raise PluginError(
                str(error).splitlines()[-1], plugin=record.name, distribution=record.distribution
            ) from error
        hooks = tuple(sorted(caller.name for caller in self._manager.get_hookcallers(plugin) or ()))
        self._plugins[record.name] = record._replace(hooks=hooks)
        self._collected.clear()
        if unknown:
            message = f"it implements {', '.join(unknown)}, which this sonar does not know; upgrade sonar"
            self._plugins[record.name] = self._plugins[record.name]._replace(error=message)
            self._problem(record, message)

    def _failed(self, record: Plugin, message: str) -> None:
        self._plugins[record.name] = record._replace(error=message)
        self._problem(record, message)

    def _problem(self, record: Plugin, message: str) -> None:
        problem = Problem(record.name, record.distribution, message)
        if problem not in self._problems:
            self._problems[problem] = None
            self._report(problem)

    # ── the hooks ───────────────────────────────────────────────────────────────────────────────────────

    def credentials(self, registry: Registry, repository: Repository | None, settings: Settings) -> Credentials | None:
        """The first answer of the credential sources. Raises PluginError where a source raises."""
        from .auth_types import Credentials

        for plugin, call in self._implementations("sonar_credentials"):
            try:
                found = call(registry=registry, repository=repository, settings=settings)
            except SonarError:
                raise
            except Exception as error:
                raise PluginError(
                    f"plugin {plugin.name} ({plugin.distribution}) failed to give credentials "
                    f"for {registry.host}: {type(error).__name__}",
                    plugin=plugin.name,
                    distribution=plugin.distribution,
                    hint=f"leave it out with --no-plugin {plugin.name}",
                ) from error
            if found is not None:
                if not isinstance(found, Credentials):
                    raise PluginError(
                        f"plugin {plugin.name} ({plugin.distribution}) returned {type(found).__name__} as credentials",
                        plugin=plugin.name,
                        distribution=plugin.distribution,
                    )
                return found
        return None

    def auth_schemes(self) -> dict[str, AuthScheme]:
        """The auth schemes by their name in lower case."""
        return {s.name.lower(): s for s in self._select("sonar_auth_schemes", AuthScheme, _scheme_key)}

    def endpoint(self, name: str, registry: Registry) -> Endpoint | None:
        """The endpoint of that name for that registry: one that names it, else the general one."""
        general = None
        for endpoint in self._select("sonar_endpoints", Endpoint, _endpoint_key):
            if endpoint.name == name:
                if any(fnmatchcase(registry.host, pattern) for pattern in endpoint.registries):
                    return endpoint
                if not endpoint.registries:
                    general = endpoint
        return general

    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints."""
        return tuple(self._select("sonar_endpoints", Endpoint, _endpoint_key))

    def commands(self) -> tuple[Command, ...]:
        """All commands, by path."""
        return tuple(sorted(self._select("sonar_commands", Command, _command_key), key=lambda c: c.path))

    def stores(self) -> dict[str, StoreScheme]:
        """The kinds of store by their prefix."""
        return {s.prefix: s for s in self._select("sonar_stores", StoreScheme, lambda s: s.prefix)}

    def exchanged(self, exchange: Exchange) -> None:
        """Tell every plugin that wants to know of a finished exchange."""
        for plugin, call in self._implementations("sonar_exchange"):
            try:
                call(exchange=exchange)
            except Exception as error:
                self._problem(plugin, f"sonar_exchange failed: {describe(error)}")

    @property
    def observes_exchanges(self) -> bool:
        """Whether any plugin implements `sonar_exchange`."""
        return bool(self._manager.hook.sonar_exchange.get_hookimpls())

    def owner(self, value: object) -> Plugin | None:
        """The plugin that declared `value` (a Command, an Endpoint, …)."""
        for claims in self._collected.values():
            for claim in claims:
                if claim.value is value:
                    return claim.plugin
        return None

    def reject(self, value: object, why: str) -> None:
        """Note that something a plugin declared can't be used, and why."""
        owner = self.owner(value)
        if owner is not None:
            self._failed(owner, why)

    def adds(self, plugin: Plugin) -> tuple[str, ...]:
        """What a plugin adds, in words: `command tag ls`, `scheme Bearer`, …"""
        words: list[str] = []
        for hook, kind, key, word in (
            ("sonar_auth_schemes", AuthScheme, lambda s: s.name, "scheme"),
            ("sonar_endpoints", Endpoint, lambda e: e.name, "endpoint"),
            ("sonar_commands", Command, lambda c: " ".join(c.path), "command"),
            ("sonar_stores", StoreScheme, lambda s: s.prefix, "store"),
        ):
            claims = self._claims(hook, kind)
            words += [f"{word} {key(claim.value)}" for claim in claims if claim.plugin.name == plugin.name]
        if "sonar_credentials" in plugin.hooks:
            words.append("credentials")
        if "sonar_exchange" in plugin.hooks:
            words.append("exchange observer")
        return tuple(words)

    def _implementations(self, hook: str) -> list[tuple[Plugin, Callable[..., Any]]]:
        """The implementations of a hook with their plugins: third parties before built-ins, then by name.

        Within these, pluggy's `tryfirst` and `trylast` have their usual meaning.
        """
        found = []
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            plugin = self._plugins.get(implementation.plugin_name)
            if plugin is not None:
                order = (
                    plugin.builtin,
                    not implementation.tryfirst,
                    implementation.trylast,
                    plugin.name,
                )
                found.append((order, plugin, _caller(implementation)))
        found.sort(key=lambda item: item[0])
        return [(plugin, call) for _, plugin, call in found]

    def _claims(self, hook: str, kind: type) -> tuple[_Claim, ...]:
        if hook not in self._collected:
            claims: list[_Claim] = []
            for plugin, call in self._implementations(hook):
                try:
                    values = list(call())
                    wrong = [value for value in values if not isinstance(value, kind)]
                    if wrong:
                        raise TypeError(f"{wrong[0]!r} is no {kind.__name__}")
                except Exception as error:
                    self._failed(plugin, f"{hook} failed: {describe(error)}")
                    continue
                claims += [_Claim(plugin, value) for value in values]
            self._collected[hook] = tuple(claims)
        return self._collected[hook]

    def _select(self, hook: str, kind: type[T], key: Callable[[T], object]) -> list[T]:
        """What all plugins declared, without the names that more than one claims.

        A built-in keeps its name; between third parties neither has it. Both are named.
        """
        by_key: dict[object, list[_Claim]] = {}
        for claim in self._claims(hook, kind):
            by_key.setdefault(key(claim.value), []).append(claim)
        chosen: list[T] = []
        for claims in by_key.values():
            if len(claims) == 1:
                chosen.append(claims[0].value)
                continue
            builtin = [claim for claim in claims if claim.plugin.builtin]
            if len(builtin) == 1:
                chosen.append(builtin[0].value)
            for claim in claims:
                if claim not in builtin or len(builtin) > 1:
                    others = ", ".join(
                        f"{other.plugin.name} ({other.plugin.distribution})" for other in claims if other is not claim
                    )
                    self._failed(
                        claim.plugin,
                        f"it claims {_name(claim.value)}, which {others} claims too; its claim is left out",
                    )
        return chosen


def describe(error: BaseException) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _scheme_key(scheme: AuthScheme) -> str:
    return scheme.name.lower()


def _endpoint_key(endpoint: Endpoint) -> object:
    return endpoint.name, endpoint.registries


def _command_key(command: Command) -> tuple[str, ...]:
    return command.path


def _name(value: Any) -> str:
    if isinstance(value, Command):
        return f"the command `{' '.join(value.path)}`"
    if isinstance(value, StoreScheme):
        return f"the store `{value.prefix}`"
    return f"the {type(value).__name__} `{value.name}`"


def _caller(implementation: Any) -> Callable[..., Any]:
    names = implementation.argnames

    def call(**arguments: Any) -> Any:
        return implementation.function(**{name: arguments[name] for name in names})

    return call


def _unknown_hooks(manager: pluggy.PluginManager, plugin: object) -> tuple[str, ...]:
    callers = manager.get_hookcallers(plugin) or []
    return tuple(
        sorted(
            caller.name
            for caller in callers
            if not caller.has_spec()
            and not all(impl.optionalhook for impl in caller.get_hookimpls() if impl.plugin is plugin)
        )
    )


def _entry_points() -> list[tuple[EntryPoint, str, str]]:
    """The entry points of the group, each with its distribution's name and version.

    Built-ins first (they keep their names), then by distribution and name: the order of the file system is none.
    """
    from importlib.metadata import distributions

    found: dict[tuple[str, str, str], tuple[EntryPoint, str, str]] = {}
    seen: set[str] = set()
    for distribution in distributions():
        # Looked at as text first: parsing what every installed package declares takes longer than all else here.
        if f"[{GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
            continue
        metadata = distribution.metadata
        name, version = metadata["Name"] or "unknown", metadata["Version"] or ""
        if name not in seen:  # a second one further down the path is hidden by the first, as for imports
            seen.add(name)
            for entry in distribution.entry_points.select(group=GROUP):
                found[name, entry.name, entry.value] = (entry, name, version)
    return [found[key] for key in sorted(found, key=lambda key: (key[0] != BUILTIN, *key))]
