"""The shell: makes a command of the program out of a plain function, and runs it.

It adds the common options to the function's own, fills in what the function asks for (`sonar_core.command`), shows
what comes back, and turns errors into one line and an exit code.
"""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

import typer
import typer.core
import typer.main

from sonar_core.command import Connect, Progress, Report
from sonar_core.hookspecs import Command
from sonar_core.plugins import Plugins, describe
from sonar_core.settings import Settings

from . import options, signals
from .failures import exit_code_for
from .session import Session

_INJECTED = (Connect, Report, Progress, Settings, Plugins)


class SonarCommand(typer.core.TyperCommand):
    """A command whose help shows its own options before the common ones, and its arguments without braces."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.removeprefix("{").removesuffix("}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                (common if parameter.name in options.NAMES else own).append(record)
        for title, records in (("Arguments and options", own), ("Common options", common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records, col_max=min(30, formatter.width // 2))


class Shell:
    """Builds and runs the commands of one set of plugins."""

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self._built: dict[tuple[str, ...], Any] = {}

    def build(self, command: Command) -> Any:
        """The typer command for what a plugin declared; its module is imported now. Raises PluginError."""
        if command.path not in self._built:
            app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
            function = self.plugins.load(command, command.function)
            try:
                wrapped = self._wrap(command, function)
                app.command(
                    command.path[-1],
                    cls=SonarCommand,
                    help=inspect.getdoc(function) or command.summary,
                    short_help=command.summary,
                    context_settings={"help_option_names": ["-h", "--help"]},
                )(wrapped)
                self._built[command.path] = typer.main.get_command(app)
            except Exception as error:
                raise self.plugins.failure(command, f"is no function for typer: {describe(error)}") from error
        return self._built[command.path]

    def _wrap(self, command: Command, function: Callable[..., Any]) -> Callable[..., None]:
        """`function` as typer shall see it: without what is filled in, with the common options."""
        hints = get_type_hints(function, include_extras=True)
        own, injected = [], {}
        for parameter in inspect.signature(function).parameters.values():
            kind = hints.get(parameter.name)
            if kind in _INJECTED:
                injected[parameter.name] = kind
            else:
                keyword = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=kind or str)
                own.append(keyword)
        taken = frozenset(parameter.name for parameter in own)
        common = options.parameters(without=taken)

        def run(**values: Any) -> None:
            common_values = {name: values.pop(name) for name in options.NAMES if name in values and name not in taken}
            code = self._run(command, function, injected, options.Common(**common_values), values)
            if code:
                sys.exit(code)

        run.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *common]}
        run.__doc__ = function.__doc__
        return run

    def _run(
        self,
        command: Command,
        function: Callable[..., Any],
        injected: dict[str, type],
        common: options.Common,
        values: dict[str, Any],
    ) -> int:
        from .render import Renderer

        signals.begin()
        try:
            with Session(self.plugins, common) as session:
                values.update({name: session.provide(kind) for name, kind in injected.items()})
                text = self.plugins.load(command, command.text) if command.text else None
                renderer = Renderer(common, text, command.item)
                gc.freeze()
                gc.enable()
                renderer.show(function(**values))
        except SystemExit:
            raise
        except BaseException as error:
            return exit_code_for(error)
        return 0
