"""The commands as a tree of groups. A command's module is imported when the command runs, not before."""

from __future__ import annotations

import os
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
import typer.main

from sonar_core._version import __version__
from sonar_core.hookspecs import Command
from sonar_core.plugins import Plugins, Problem

from .failures import tell
from .shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterable

_EPILOG = "Each command has --help. Plugins add commands: `sonar plugin ls` shows what is installed."
# Help is laid out for at least 50 columns, unless the terminal says that it has fewer.
_COLUMNS = get_terminal_size().columns
_HELP: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "terminal_width": _COLUMNS - 1 if _COLUMNS < 52 else None,
}


class Group(typer.core.TyperGroup):
    """A group whose commands are built when they are asked for; its help needs their summaries only."""

    shell: Shell

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.entries: dict[str, Command | Group] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = self.entries.get(cmd_name)
        return self.shell.build(entry) if isinstance(entry, Command) else entry

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [(name, _summary(self.entries[name])) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands = dict.fromkeys(self.entries, None)  # type: ignore[assignment]  # what a typo is compared with
        word = args[0]
        if word not in self.entries and not ctx.resilient_parsing:
            below = [name for name, entry in self.entries.items() if isinstance(entry, Group) and word in entry.entries]
            if below:
                meant = " or ".join(f"'{name} {word}'" for name in sorted(below))
                ctx.fail(f"No such command '{word}'. Did you mean {meant}?")
        return super().resolve_command(ctx, args)


def _summary(entry: Command | Group) -> str:
    return entry.summary if isinstance(entry, Command) else ", ".join(sorted(entry.entries))


def build_tree(left_out: Iterable[str] = ()) -> Group:
    """The whole program: the root group with all commands of all plugins but those `left_out`."""
    plugins = Plugins.discover(disabled=left_out, report=_warn)
    for name in set(left_out) - {plugin.name for plugin in plugins}:
        tell(f"warning: --no-plugin {name}: there is none of that name; `sonar plugin ls` shows what is installed")
    shell = Shell(plugins)
    root = _root(shell)
    for command in _builtins_first(plugins):
        group = root
        for word in command.path[:-1]:
            below = group.entries.get(word)
            if below is None:
                below = group.entries[word] = _below(shell, word)
            if isinstance(below, Command):
                plugins.reject(command, f"`{' '.join(command.path)}` stands below `{word}`, which is a command itself")
                break
            group = below
        else:
            if command.path[-1] in group.entries:
                plugins.reject(command, f"`{' '.join(command.path)}` is a group of commands already")
            else:
                group.entries[command.path[-1]] = command
    return root


def _builtins_first(plugins: Plugins) -> list[Command]:
    """The commands, by path; those of sonar's first, so that no plugin's `tag` hides `tag ls`."""

    def is_foreign(command: Command) -> bool:
        owner = plugins.owner(command)
        return owner is None or not owner.builtin

    return sorted(plugins.commands(), key=is_foreign)


def _root(shell: Shell) -> Group:
    """The group `sonar` itself, with the options that stand before all commands."""
    app = typer.Typer(
        cls=Group,
        rich_markup_mode=None,
        no_args_is_help=True,
        epilog=_EPILOG,
        context_settings=_HELP,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    root = typer.main.get_command(app)
    if not isinstance(root, Group):
        raise TypeError(f"typer made {type(root).__name__} of a group")
    root.shell = shell
    return root


def _below(shell: Shell, name: str) -> Group:
    """A group of commands. Without `typer.Typer`, which takes ten times as long."""
    group = Group(name=name, rich_markup_mode=None, no_args_is_help=True, context_settings=_HELP)
    group.shell = shell
    return group


def _options(
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and exit.", is_eager=True)] = False,
    no_plugin: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Leave out a plugin.")] = None,
) -> None:
    """A client for Docker and OCI registries."""
    if version:
        typer.echo(f"sonar {__version__}")
        raise typer.Exit


def _warn(problem: Problem) -> None:
    if "_SONAR_COMPLETE" in os.environ:
        return  # a shell asks for completions: it would be written into the line that is typed
    tell(f"warning: {problem}")
