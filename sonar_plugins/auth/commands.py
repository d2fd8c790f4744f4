"""`sonar auth login`, `logout`, `whoami` and `token`."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated

import typer

from sonar_core.auth_types import Credentials
from sonar_core.cli.arguments import RegistryArgument, RepositoryArgument
from sonar_core.client import Client
from sonar_core.command import Connect, Report, default_registry
from sonar_core.errors import AuthError, SonarError, UsageError
from sonar_core.plugins import Plugins
from sonar_core.reference import Registry, Repository
from sonar_core.settings import Settings

from . import logins


@dataclass(frozen=True)
class Login:
    """Who is logged in where, and where that is kept."""

    registry: Registry
    username: str
    stored: str


@dataclass(frozen=True)
class Logout:
    """A registry, and the places that a login was removed from: none where there was none."""

    registry: Registry
    removed: tuple[str, ...]


@dataclass(frozen=True)
class Identity:
    """Who one is at a registry, without the secret. `kind`: "password", "identity token" or "token"."""

    registry: Registry
    username: str
    kind: str
    source: str


@dataclass(frozen=True)
class Token:
    """A bearer token. `expires_in` counts seconds from now; None: not known."""

    token: str = field(repr=False)
    expires_in: int | None


def login(
    settings: Settings,
    plugins: Plugins,
    report: Report,
    registry: RegistryArgument = None,
    username: Annotated[
        str | None, typer.Option("--username", "-u", metavar="USER", help="The user; asked for unless given.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from stdin instead of asking for it.")
    ] = False,
) -> Login:
    """Check credentials against a registry and keep them.

    They go to the credential helper that docker's config.json names for the registry, else into config.json itself:
    where docker, podman and skopeo find them, too.
    """
    where = registry or default_registry()
    who = _read_credentials(where, username, password_stdin)
    with Client(where, settings=settings, plugins=plugins, credentials=who) as client:
        if client.registry.scheme == "http" and not client.registry.is_loopback:
            report(f"warning: {client.registry.host} is spoken to over plain http, which shows the password to others")
        client.request("GET").close()
        if not client.auth.challenges:
            report(f"warning: {where} asks nobody for credentials, so these could not be checked")
    stored = logins.keep(where, who, seconds=settings.timeout)
    if stored.plain:
        report(f"warning: the password is in {stored.place} as plain text; a credential helper keeps it safer")
    with suppress(SonarError):  # a source that fails now is not what was asked about
        found = plugins.credentials(where, None, settings)
        if found is not None and (found.username, found.password) != (who.username, who.password):
            report(f"warning: {found.source} comes first, and has other credentials for {where}")
    return Login(where, who.username, stored.place)


def login_text(result: Login) -> str:
    """One line."""
    return f"logged in to {result.registry} as {result.username}, kept in {result.stored}"


def _read_credentials(registry: Registry, username: str | None, password_stdin: bool) -> Credentials:
    """From stdin, or asked for on a terminal, without showing what is typed. Raises UsageError."""
    if password_stdin and not username:
        raise UsageError("--password-stdin needs the user", hint="add --username USER")
    if not password_stdin and (sys.stdin is None or not sys.stdin.isatty()):
        raise UsageError("there is no terminal to ask for a password", hint="give it with --password-stdin")
    username = username or _ask(f"User at {registry}: ")
    if not username or ":" in username:
        raise UsageError("a user name can't hold a colon (RFC 7617)" if username else "the user is empty")
    password = _password_on_stdin() if password_stdin else _ask_password(f"Password of {username} at {registry}: ")
    if not password:
        raise UsageError("the password is empty")
    return Credentials(username, password, source="this login")


def _ask(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def _ask_password(prompt: str) -> str:
    import getpass

    try:
        return getpass.getpass(prompt)
    except EOFError:
        return ""


def _password_on_stdin() -> str:
    try:
        return sys.stdin.buffer.read(64 * 1024).decode().rstrip("\r\n") if sys.stdin else ""
    except UnicodeDecodeError:
        raise UsageError("the password on stdin is not UTF-8") from None


def logout(settings: Settings, plugins: Plugins, report: Report, registry: RegistryArgument = None) -> Logout:
    """Remove what `sonar auth login` or `docker login` keeps for a registry, and nothing else."""
    where = registry or default_registry()
    removed = logins.forget(where, seconds=settings.timeout)
    with suppress(SonarError):  # a source that fails now is not what was asked about
        found = plugins.credentials(where, None, settings)
        if found is not None:
            report(f"warning: {found.source} still has credentials for {where}")
    return Logout(where, removed)


def logout_text(result: Logout) -> str:
    """One line."""
    if not result.removed:
        return f"there was no login for {result.registry}"
    return f"logged out of {result.registry}, removed from {' and '.join(result.removed)}"


def whoami(
    settings: Settings,
    plugins: Plugins,
    registry: Annotated[
        str | None,
        typer.Argument(
            metavar="[REGISTRY[/PATH]]",
            help="A host, as ghcr.io, or a repository. [$SONAR_REGISTRY, else localhost]",
            show_default=False,
        ),
    ] = None,
) -> Identity:
    """Show who one is at a registry, and which source says so. The secret is not shown, and nothing is sent.

    With a path, for that repository: some sources have credentials for parts of a registry. Exit code 4: nobody.
    """
    where, repository = _place(registry)
    found = plugins.credentials(where, repository, settings.for_registry(where))
    if found is None:
        raise AuthError(f"no credentials for {repository or where}", hint=f"sonar auth login {where}")
    kind = "token" if found.token else "identity token" if found.identity_token else "password"
    return Identity(where, found.username, kind, found.source)


def _place(text: str | None) -> tuple[Registry, Repository | None]:
    if text is None:
        return default_registry(), None
    _, _, path = text.rpartition("://")[2].partition("/")
    if path.strip("/") in ("", "v2"):
        return Registry.parse(text), None
    repository = Repository.parse(text)
    return repository.registry, repository


def token(
    repository: RepositoryArgument,
    connect: Connect,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE",
            help="What it shall allow: actions, as pull,push, or a whole scope, as registry:catalog:*; "
            "may be repeated. [pull]",
        ),
    ] = None,
) -> Token:
    """Print a bearer token for a repository, as the registry's token server gives it to this user.

    For scripts: curl -H "Authorization: Bearer $(sonar auth token REPO)" …
    """
    scopes = [one if ":" in one else f"repository:{repository.path}:{one}" for one in scope or ["pull"]]
    grant = connect(repository.registry).auth.grant(frozenset(scopes))
    kind, _, value = grant.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not value:
        raise AuthError(f"{repository.registry} does not work with bearer tokens")
    return Token(value, None if grant.expires_in is None else round(grant.expires_in))


def token_text(result: Token) -> str:
    """The token alone."""
    return result.token
