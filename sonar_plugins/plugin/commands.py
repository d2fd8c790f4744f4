"""`sonar plugin ls`."""

from __future__ import annotations

from dataclasses import dataclass

from sonar_core.plugins import Plugins
from sonar_core.redaction import printable


@dataclass(frozen=True)
class PluginRow:
    """One plugin. `state`: "ok", "disabled" or "error"; `import_ms`: milliseconds that importing it took."""

    name: str
    distribution: str
    version: str
    state: str
    import_ms: float
    adds: tuple[str, ...]
    error: str


def ls(plugins: Plugins) -> list[PluginRow]:
    """Show the plugins: name, distribution, what each adds, how long importing it took, and errors.

    To leave one out: --no-plugin NAME, or SONAR_DISABLE_PLUGINS=NAME,NAME.
    """
    plugins.examine()
    adds = {plugin.name: plugins.adds(plugin) for plugin in plugins}
    return [
        PluginRow(
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            state="error" if plugin.error else "disabled" if plugin.disabled else "ok",
            import_ms=round(plugin.seconds * 1000, 1),
            adds=adds[plugin.name],
            error=plugin.error,
        )
        for plugin in sorted(plugins, key=lambda plugin: (not plugin.builtin, plugin.name))
    ]


def text(row: PluginRow) -> str:
    """One line, and a second one for an error."""
    origin = printable(f"{row.distribution} {row.version}")
    state = "" if row.state == "ok" else f" [{row.state}]"
    line = f"{printable(row.name)}{state} ({origin}, {row.import_ms} ms): {printable(', '.join(row.adds) or 'nothing')}"
    return f"{line}\n    {printable(row.error)}" if row.error else line
