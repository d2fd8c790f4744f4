"""One run of one command: the settings in force and the Clients that were opened."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sonar_core.command import Connect, Progress, Report
from sonar_core.errors import UsageError
from sonar_core.hookspecs import hookimpl
from sonar_core.plugins import Plugins
from sonar_core.settings import Settings

from . import options
from .failures import tell

if TYPE_CHECKING:
    from types import TracebackType

    from sonar_core.client import Client
    from sonar_core.exchange import Exchange
    from sonar_core.progress import Event
    from sonar_core.reference import Registry

    from .progress import Display


class _Verbose:
    """One redacted line on stderr for each exchange: a plugin like any other."""

    @hookimpl
    def sonar_exchange(self, exchange: Exchange) -> None:
        outcome = str(exchange.status) if exchange.status is not None else f"failed: {exchange.error}"
        moved = [f"{count} B {way}" for way, count in (("out", exchange.sent), ("in", exchange.received)) if count]
        details = ", ".join([f"{exchange.seconds * 1000:.0f} ms", *moved])
        print(f"{exchange.method} {exchange.url} {outcome} ({details})", file=sys.stderr, flush=True)


class Session:
    """What one run of a command has in common. A context manager: closes the Clients at its end."""

    def __init__(self, plugins: Plugins, common: options.Common) -> None:
        self._plugins = plugins
        self._common = common
        self._clients: dict[Registry, Client] = {}
        self._display: Display | None = None
        if common.format is not None and common.output == "json":
            raise UsageError("--format and --output json exclude one another")
        chosen = {name: getattr(common, name) for name in options.SETTINGS}
        self._settings = Settings.load(common.config).with_options(**chosen)
        if common.verbose:
            plugins.register(_Verbose(), "--verbose", distribution="sonar")

    def provide(self, kind: type) -> Any:
        """What a parameter annotated with `kind` gets."""
        provided: dict[Any, Any] = {
            Connect: self.connect,
            Report: self.report,
            Progress: self.progress,
            Settings: self._settings,
            Plugins: self._plugins,
        }
        return provided[kind]

    def connect(self, registry: Registry) -> Client:
        """The Client of `registry`; the same one each time."""
        from sonar_core.client import Client

        if registry not in self._clients:
            self._clients[registry] = Client(registry, settings=self._settings, plugins=self._plugins)
        return self._clients[registry]

    def progress(self, event: Event) -> None:
        """Show how far the work is."""
        if self._display is None:
            from .progress import make_progress

            self._display = make_progress(self._common)
        self._display(event)

    def report(self, message: str) -> None:
        """One line on stderr, unless the user wants it quiet."""
        if not self._common.quiet:
            tell(message)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.close()
        for client in self._clients.values():
            client.close()
