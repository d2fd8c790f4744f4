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

from .claims import DECLARED, checked, key_of, words_for
from .entry_points import FoundEntryPoint, UnreadableDistribution, find_entry_points
from .errors import PluginError, SonarError
from .hookspecs import AuthScheme, Command, Endpoint, Hooks, StoreScheme
from .imports import load

if TYPE_CHECKING:
    from .auth_types import Credentials
    from .exchange import Exchange
    from .reference import Registry, Repository
    from .settings import Settings

GROUP = "sonar"
BUILTIN = "sonar-registry"
HOOKS = frozenset(name for name in vars(Hooks) if name.startswith("sonar_"))

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


class _Manager(pluggy.PluginManager):
    """pluggy's, which looks at every name of a plugin: without those of the interpreter, at a third of the cost."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        return None if name.startswith("__") else super().parse_hookimpl_opts(plugin, name)


class Plugins:
    """A set of plugins. Two sets side by side do not know of each other.

    `report` is called once for each Problem; unless given, problems go to the logger `sonar`.
    """

    def __init__(self, *, report: Callable[[Problem], None] = _warn) -> None:
        self._manager = _Manager(GROUP)
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
        for found in find_entry_points(GROUP, first=BUILTIN):
            if isinstance(found, UnreadableDistribution):
                plugins._problem(Plugin("unknown", found.name, "", ""), found.reason)
            elif wanted is None or found.entry.name in wanted:
                plugins._load(found, disabled=found.entry.name in left_out)
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

    def _load(self, found: FoundEntryPoint, *, disabled: bool) -> None:
        entry = found.entry
        record = Plugin(entry.name, found.distribution, found.version, entry.value, disabled=disabled)
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
        taken = self._plugins.get(record.name)
        try:
            if taken is not None:
                raise ValueError(f"the name is taken by a plugin of {taken.distribution}")
            if self._manager.is_registered(plugin):
                other = self._manager.get_name(plugin)
                raise ValueError(f"{record.module} is the plugin {other} already")
            self._manager.register(plugin, record.name)
            hooks = _hooks(self._manager, plugin)
        except Exception as error:
            if taken is None and self._manager.has_plugin(record.name):
                self._manager.unregister(name=record.name)
            message = describe(error) if not isinstance(error, ValueError) else str(error)
            raise PluginError(message, plugin=record.name, distribution=record.distribution) from error
        self._plugins[record.name] = record._replace(hooks=hooks)
        self._collected.clear()
        unknown = [name for name in hooks if name not in HOOKS]
        if unknown:
            self._failed(record, f"it implements {', '.join(unknown)}, which this sonar does not know; upgrade sonar")

    def _failed(self, record: Plugin, message: str) -> None:
        """Note what is wrong with a plugin; `plugin ls` shows all of it."""
        known = self._plugins.get(record.name, record)
        if message not in known.error.split("; "):
            self._plugins[record.name] = known._replace(error="; ".join(filter(None, (known.error, message))))
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
            except (Exception, SystemExit) as error:
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
        return {s.name.lower(): s for s in self._select("sonar_auth_schemes", AuthScheme)}

    def endpoint(self, name: str, registry: Registry) -> Endpoint | None:
        """The endpoint of that name for that registry: one that names it, else the general one."""
        general = None
        for endpoint in self._select("sonar_endpoints", Endpoint):
            if endpoint.name == name:
                if any(fnmatchcase(registry.host, pattern) for pattern in endpoint.registries):
                    return endpoint
                if not endpoint.registries:
                    general = endpoint
        return general

    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints."""
        return tuple(self._select("sonar_endpoints", Endpoint))

    def commands(self) -> tuple[Command, ...]:
        """All commands, by path."""
        return tuple(sorted(self._select("sonar_commands", Command), key=lambda c: c.path))

    def stores(self) -> dict[str, StoreScheme]:
        """The kinds of store by their prefix."""
        return {s.prefix: s for s in self._select("sonar_stores", StoreScheme)}

    def exchanged(self, exchange: Exchange) -> None:
        """Tell every plugin that wants to know of a finished exchange."""
        for plugin, call in self._implementations("sonar_exchange"):
            try:
                call(exchange=exchange)
            except (Exception, SystemExit) as error:
                self._failed(plugin, f"sonar_exchange failed: {describe(error)}")

    @property
    def observes_exchanges(self) -> bool:
        """Whether any plugin implements `sonar_exchange`."""
        return bool(self._manager.hook.sonar_exchange.get_hookimpls())

    def examine(self) -> None:
        """Collect all that plugins declare, so that `problems` and each plugin's `error` tell of every conflict."""
        for hook, kind in DECLARED.items():
            self._select(hook, kind)

    def owner(self, value: object) -> Plugin | None:
        """The plugin that declared `value` (a Command, an Endpoint, …)."""
        for claims in self._collected.values():
            for claim in claims:
                if claim.value is value:
                    return claim.plugin
        return None

    def load(self, value: object, target: Any) -> Any:
        """What `target`, an import string that is part of the declared `value`, names. Raises PluginError."""
        try:
            return load(target)
        except (Exception, SystemExit) as error:
            raise self.failure(value, f"does not load: {describe(error)}") from error

    def failure(self, value: object, what: str) -> PluginError:
        """The error that something declared by a plugin failed, with the plugin and its distribution."""
        owner = self.owner(value)
        name, distribution = (owner.name, owner.distribution) if owner else ("unknown", "unknown")
        message = f"plugin {name} ({distribution}): the {words_for(value)} {what}"
        return PluginError(message, plugin=name, distribution=distribution)

    def reject(self, value: object, why: str) -> None:
        """Note that something a plugin declared can't be used, and why."""
        owner = self.owner(value)
        if owner is not None:
            self._failed(owner, why)

    def adds(self, plugin: Plugin) -> tuple[str, ...]:
        """What a plugin adds, in words: `command tag ls`, `scheme Bearer`, …"""
        words: list[str] = []
        for hook, kind in DECLARED.items():
            words += [words_for(claim.value) for claim in self._claims(hook, kind) if claim.plugin.name == plugin.name]
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
                    values: list[Any] = [checked(value, kind) for value in call()]
                except (Exception, SystemExit) as error:
                    self._failed(plugin, f"{hook} failed: {describe(error)}")
                    continue
                claims += [_Claim(plugin, value) for value in values]
            self._collected[hook] = tuple(claims)
        return self._collected[hook]

    def _select(self, hook: str, kind: type[T]) -> list[T]:
        """What all plugins declared, without the names that more than one claims.

        A built-in keeps its name; between third parties neither has it. Both are named.
        """
        by_key: dict[object, list[_Claim]] = {}
        for claim in self._claims(hook, kind):
            by_key.setdefault(key_of(claim.value), []).append(claim)
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
                        f"it claims the {words_for(claim.value)}, which {others} claims too; its claim is left out",
                    )
        return chosen


def describe(error: BaseException) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _caller(implementation: Any) -> Callable[..., Any]:
    names = implementation.argnames

    def call(**arguments: Any) -> Any:
        return implementation.function(**{name: arguments[name] for name in names})

    return call


def _hooks(manager: pluggy.PluginManager, plugin: object) -> tuple[str, ...]:
    """The hooks that a plugin implements, but for those that it marks as optional and that do not exist.

    Raises ValueError for a wrapper: each implementation is called alone, there is nothing to wrap.
    """
    names = set()
    for caller in manager.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin is plugin:
                if implementation.wrapper or implementation.hookwrapper:
                    raise ValueError(f"its {caller.name} is a hook wrapper, which sonar does not call")
                if caller.has_spec() or not implementation.optionalhook:
                    names.add(caller.name)
    return tuple(sorted(names))
