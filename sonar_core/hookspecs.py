"""Every hook that a plugin may implement, with the types that it declares.

A plugin is a module (or any object) with functions marked by `hookimpl`, named by an entry point of the group
`sonar`. Hooks *declare* what the plugin adds; the core selects by name and refuses two claims to one name.
Anything heavy is named by an import string, `"package.module:name"`, and imported when it is used.

pluggy passes arguments by name: an implementation may leave out those that it does not need.

This module is imported at every start, so it holds what plugins declare and no more: see `sonar_core.auth_types` for
what authentication talks in, `sonar_core.exchange` for what observers are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .auth_types import AuthContext, AuthFlow, Credentials
    from .exchange import Exchange
    from .reference import Registry, Repository
    from .settings import Settings

hookspec = pluggy.HookspecMarker("sonar")
hookimpl = pluggy.HookimplMarker("sonar")


# ── how I prove it ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class AuthScheme:
    """A way to prove who one is. `name` is the scheme of the challenge ("Bearer"), compared without case.

    `flow` (or the import string of one) takes an `AuthContext` and is a generator: it yields each
    `TokenRequest` that it wants sent, is sent the `TokenAnswer`, and returns a `Grant`. It does no I/O.
    Return `Grant({})` where there is nothing to offer, no credentials for instance; raise `AuthError` where
    something failed. When several are asked for, the highest `priority` wins.
    """

    name: str
    flow: str | Callable[[AuthContext], AuthFlow]
    priority: int = 0


# ── what can be done ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Endpoint:
    """Operations of a registry, as `client.NAME`. `factory` (or its import string) takes the `Client`.

    With `registries`, patterns as `*.gitlab.com` matched with the registry's host, it replaces there the
    endpoint of the same name that names none.
    """

    name: str
    factory: str | Callable[[Any], Any]
    registries: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Command:
    """A command of the program: `sonar tag ls` has the path `("tag", "ls")`.

    `function` (or its import string) is a plain function with typer annotations that returns data; parameters
    annotated with `Connect`, `Settings`, `Plugins` or `Report` of `sonar_core.command` are filled in.
    `text` (or its import string) turns one item of what it returns into what is shown; `str` unless given.
    `item` is what `--format` calls an item that is a plain string, and so has no fields: `{tag}`.
    """

    path: tuple[str, ...]
    function: str | Callable[..., Any]
    summary: str
    text: str | Callable[[Any], str] | None = None
    item: str = "value"


@dataclass(frozen=True, eq=False)
class StoreScheme:
    """A kind of store. `oci:DIR:TAG` has the prefix `oci`; a location that is a reference has the empty prefix.

    `open` (or its import string) takes what comes after the prefix and a `sonar_core.stores.Opening`; it returns a
    `sonar_core.stores.Store` and the name in it (a tag, a `Digest`, or None where the location names no image).
    """

    prefix: str
    open: str | Callable[..., Any]
    summary: str = ""


class Hooks:
    """The hooks of sonar. Each is called once for each plugin, alone: one that raises does not stop others."""

    @hookspec
    def sonar_credentials(
        self, registry: Registry, repository: Repository | None, settings: Settings
    ) -> Credentials | None:
        """Say who the user is at `registry`, or None where this source has nothing.

        Called when a registry asks for authentication, once for each repository. The first answer wins: third
        parties in name order, then the built-in ones. An exception makes the request fail: never silently anonymous.

            @hookimpl
            def sonar_credentials(registry):
                if registry.host == "registry.example.com":
                    return Credentials("robot", read_password(), source="the vault")
        """

    @hookspec
    def sonar_auth_schemes(self) -> Iterable[AuthScheme]:  # type: ignore[empty-body]
        """Add ways to answer a challenge.

        def flow(context):
            answer = yield TokenRequest(context.challenge.realm)
            return Grant({"Authorization": "Acme " + answer.body.decode()}, expires_in=300)

        @hookimpl
        def sonar_auth_schemes():
            return [AuthScheme("Acme", flow)]
        """

    @hookspec
    def sonar_endpoints(self) -> Iterable[Endpoint]:  # type: ignore[empty-body]
        """Add operations to every Client.

        @hookimpl
        def sonar_endpoints():
            return [Endpoint("quota", "acme.quota:Quota", registries=("*.example.com",))]
        """

    @hookspec
    def sonar_commands(self) -> Iterable[Command]:  # type: ignore[empty-body]
        """Add commands to the program, in a group of one's own or in one that exists.

        @hookimpl
        def sonar_commands():
            return [Command(("tag", "newest"), "acme.commands:newest", "The tag that was made last")]
        """

    @hookspec
    def sonar_stores(self) -> Iterable[StoreScheme]:  # type: ignore[empty-body]
        """Add places that hold images, named by a prefix.

        @hookimpl
        def sonar_stores():
            return [StoreScheme("acme", "acme.store:open_store", "images in the acme vault")]
        """

    @hookspec
    def sonar_exchange(self, exchange: Exchange) -> None:
        """Be told of each finished HTTP exchange: for tracing, metrics, counting. May be called by any thread.

        @hookimpl
        def sonar_exchange(exchange):
            print(exchange.method, exchange.url, exchange.status)
        """
