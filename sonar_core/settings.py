"""What is in force, and from where: the command line, the environment, the config file, the defaults.

Precedence, highest first: options of the command line, `SONAR_*` variables, `[registry."HOST"]` in the config file,
the top of the config file, the default. The file is TOML, at `--config`, else `SONAR_CONFIG`, else
`$XDG_CONFIG_HOME/sonar/config.toml` (`~/.config/sonar/config.toml`):

    timeout = 10

    [registry."registry.example.com"]
    ca_file = "/etc/ssl/example.pem"

    [plugin.acme]
    anything = "that the plugin understands"
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import SettingsError

if TYPE_CHECKING:
    from .reference import Registry

MIB = 1024 * 1024


def _option(default: Any, about: str, *, kind: type, least: float | None = None) -> Any:
    return field(default=default, metadata={"about": about, "kind": kind, "least": least})


@dataclass(frozen=True)
class Settings:
    """Everything that can be set. Frozen: `with_options`, `for_registry` return new ones."""

    timeout: float = _option(
        30.0, "seconds to wait for a connection, for the headers, for the next bytes", kind=float, least=0.01
    )
    attempts: int = _option(5, "how often a request is tried", kind=int, least=1)
    retry_after_max: float = _option(60.0, "longest wait in seconds that a registry may ask for", kind=float, least=0)
    backoff: float = _option(0.2, "first wait between two attempts, in seconds; doubles", kind=float, least=0)
    redirects: int = _option(10, "redirects followed for one request", kind=int, least=0)
    connections: int = _option(8, "connections kept for each host", kind=int, least=1)
    jobs: int = _option(6, "transfers at the same time", kind=int, least=1)
    requests_per_second: float = _option(0.0, "upper bound for each registry; 0: no bound", kind=float, least=0)
    manifest_bytes: int = _option(4 * MIB, "largest manifest or config that is read", kind=int, least=1)
    answer_bytes: int = _option(32 * MIB, "largest page of a list, or other JSON, that is read", kind=int, least=1)
    token_bytes: int = _option(1 * MIB, "largest answer of a token server that is read", kind=int, least=1)
    pages: int = _option(10_000, "pages of one list that are followed", kind=int, least=1)
    depth: int = _option(8, "indexes inside of indexes that are followed", kind=int, least=1)
    plain_http: bool = _option(False, "speak http instead of https", kind=bool)
    insecure: bool = _option(False, "do not verify TLS certificates", kind=bool)
    ca_file: Path | None = _option(None, "certificate authorities to trust, PEM", kind=Path)
    cert: Path | None = _option(None, "client certificate, PEM", kind=Path)
    key: Path | None = _option(None, "key of the client certificate, PEM", kind=Path)
    certs_dir: Path = _option(
        Path("/etc/docker/certs.d"), "directory of directories of certificates, named HOST or HOST:PORT", kind=Path
    )
    allow_private: bool = _option(
        False, "follow redirects and realms of a public registry to private addresses", kind=bool
    )
    registries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    pinned: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def load(cls, path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the config file (a missing one is empty, unless it was named) and the environment.

        Raises SettingsError for an unknown key, a bad value or a file that is not TOML.
        """
        environ = os.environ if environ is None else environ
        settings = cls()
        found = _config_file(path, environ)
        if found is not None:
            settings = _from_file(settings, found)
        values, sources = {}, {}
        for name in option_names():
            variable = f"SONAR_{name.upper()}"
            if environ.get(variable, "") != "":
                values[name] = _convert(name, environ[variable], variable)
                sources[name] = variable
        return settings._put(values, sources, pin=True)

    def with_options(self, **options: Any) -> Settings:
        """These settings with options of the command line on top; None means: not given."""
        given = {name: value for name, value in options.items() if value is not None}
        flags = {name: "--" + name.replace("_", "-") for name in given}
        converted = {name: _convert(name, value, flags[name]) for name, value in given.items()}
        return self._put(converted, flags, pin=True)

    def for_registry(self, registry: Registry) -> Settings:
        """These settings with what the config file says of `registry` alone."""
        section = self.registries.get(registry.key) or self.registries.get(registry.host) or {}
        where = f'{self.sources.get("", "config")} [registry."{registry.host}"]'
        values = {name: _convert(name, value, where) for name, value in section.items() if name not in self.pinned}
        return self._put(values, dict.fromkeys(values, where), pin=False)

    def plugin(self, name: str) -> Mapping[str, Any]:
        """The table `[plugin.NAME]` of the config file; empty where there is none."""
        return self.plugins.get(name, {})

    def _put(self, values: Mapping[str, Any], sources: Mapping[str, str], *, pin: bool) -> Settings:
        if not values:
            return self
        pinned = self.pinned | set(values) if pin else self.pinned
        return replace(self, **values, sources={**self.sources, **sources}, pinned=pinned)


def option_names() -> tuple[str, ...]:
    """The names of the single settings, in their order."""
    return tuple(option.name for option in fields(Settings) if option.metadata)


def about(name: str) -> str:
    """One line on what the setting `name` does."""
    return str(_metadata(name)["about"])


def _metadata(name: str) -> Mapping[str, Any]:
    return Settings.__dataclass_fields__[name].metadata


def _config_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = path or (Path(environ["SONAR_CONFIG"]) if environ.get("SONAR_CONFIG") else None)
    if named is not None:
        return _expanded(named)
    home = environ.get("XDG_CONFIG_HOME") or str(_expanded(environ.get("HOME", "~")) / ".config")
    usual = Path(home) / "sonar" / "config.toml"
    return usual if usual.is_file() else None


def _expanded(path: str | Path) -> Path:
    """`path` with its `~` put in; as it is where there is no such home (in a container, say). Raises TypeError."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises RuntimeError there


def _from_file(settings: Settings, path: Path) -> Settings:
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the config file {path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the config file {path} is not TOML: {error}") from error
    registries = _tables(document.pop("registry", {}), "registry", path)
    plugins = _tables(document.pop("plugin", {}), "plugin", path)
    for host, section in registries.items():
        _check_host(host, path)
        for name, value in section.items():
            _convert(name, value, f'{path} [registry."{host}"]')
    values = {name: _convert(name, value, str(path)) for name, value in document.items()}
    settings = settings._put(values, dict.fromkeys(values, str(path)), pin=False)
    sources = {**settings.sources, "": str(path)}
    return replace(settings, registries=registries, plugins=plugins, sources=sources)


def _check_host(host: str, path: Path) -> None:
    """A section is found by the registry's name: under any other name it would never be in force, silently."""
    from .errors import BadReference
    from .reference import Registry

    where = f'{path} [registry."{host}"]'
    try:
        registry = Registry.parse(host)
    except BadReference as error:
        raise SettingsError(f"{where}: {error}") from error
    if host not in (registry.key, registry.host):
        raise SettingsError(f"{where}: that is no name of a registry", hint=f'write [registry."{registry.key}"]')


def _tables(value: Any, name: str, path: Path) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise SettingsError(f'{path}: `{name}` must hold tables, as [{name}."NAME"]')
    return value


_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


def _convert(name: str, value: Any, where: str) -> Any:
    if name not in option_names():
        from difflib import get_close_matches

        near = get_close_matches(name, option_names(), n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`sonar config show` lists those that exist"
        raise SettingsError(f"{where}: there is no setting `{name}`", hint=hint)
    metadata = _metadata(name)
    kind: type = metadata["kind"]
    try:
        if kind is bool:
            return _boolean(value)
        if kind is Path:
            return _expanded(value)
        if isinstance(value, bool):
            raise ValueError("a number is wanted")
        number = kind(value)
        if kind is int and float(value) != number:
            raise ValueError("a whole number is wanted")
    except (TypeError, ValueError, OverflowError) as error:
        wanted: dict[type, str] = {
            bool: "true or false",
            Path: "a path",
            int: "a whole number",
            float: "a number",
        }
        raise SettingsError(f"{where}: `{name}` is {value!r}; {wanted[kind]} is wanted") from error
    least = metadata["least"]
    if not (least is None or number >= least) or number == float("inf"):
        raise SettingsError(f"{where}: `{name}` is {value!r}; at least {least:g} is wanted")
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(word)
    return word in _TRUE
