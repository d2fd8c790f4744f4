"""The core of sonar, a client for Docker and OCI registries.

    from sonar_core import Client

    with Client("localhost:5000") as client:
        for tag in client.tags.list("library/nginx"):
            print(tag)

Names are imported when they are first used, so that `import sonar_core` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .auth_types import AuthContext as AuthContext
    from .auth_types import AuthFlow as AuthFlow
    from .auth_types import Credentials as Credentials
    from .auth_types import Grant as Grant
    from .auth_types import TokenAnswer as TokenAnswer
    from .auth_types import TokenRequest as TokenRequest
    from .client import Client as Client
    from .command import Connect as Connect
    from .content import Descriptor as Descriptor
    from .content import Digest as Digest
    from .errors import AuthError as AuthError
    from .errors import BadReference as BadReference
    from .errors import ConnectionFailed as ConnectionFailed
    from .errors import ContentError as ContentError
    from .errors import Forbidden as Forbidden
    from .errors import IntegrityError as IntegrityError
    from .errors import Missing as Missing
    from .errors import NotFound as NotFound
    from .errors import PluginError as PluginError
    from .errors import ProtocolError as ProtocolError
    from .errors import RateLimited as RateLimited
    from .errors import ResponseError as ResponseError
    from .errors import SettingsError as SettingsError
    from .errors import SonarError as SonarError
    from .errors import TimedOut as TimedOut
    from .errors import TransportError as TransportError
    from .errors import Unauthorized as Unauthorized
    from .errors import Unsupported as Unsupported
    from .errors import UsageError as UsageError
    from .exchange import Exchange as Exchange
    from .hookspecs import AuthScheme as AuthScheme
    from .hookspecs import Command as Command
    from .hookspecs import Endpoint as Endpoint
    from .hookspecs import StoreScheme as StoreScheme
    from .hookspecs import hookimpl as hookimpl
    from .manifest import Manifest as Manifest
    from .platforms import Platform as Platform
    from .plugins import Plugins as Plugins
    from .reference import Reference as Reference
    from .reference import Registry as Registry
    from .reference import Repository as Repository
    from .settings import Settings as Settings

_HOMES = {
    "auth_types": ("AuthContext", "AuthFlow", "Credentials", "Grant", "TokenAnswer", "TokenRequest"),
    "client": ("Client",),
    "command": ("Connect",),
    "content": ("Descriptor", "Digest"),
    "errors": (
        "AuthError",
        "BadReference",
        "ConnectionFailed",
        "ContentError",
        "Forbidden",
        "IntegrityError",
        "Missing",
        "NotFound",
        "PluginError",
        "ProtocolError",
        "RateLimited",
        "ResponseError",
        "SettingsError",
        "SonarError",
        "TimedOut",
        "TransportError",
        "Unauthorized",
        "Unsupported",
        "UsageError",
    ),
    "exchange": ("Exchange",),
    "hookspecs": ("AuthScheme", "Command", "Endpoint", "StoreScheme", "hookimpl"),
    "manifest": ("Manifest",),
    "platforms": ("Platform",),
    "plugins": ("Plugins",),
    "reference": ("Reference", "Registry", "Repository"),
    "settings": ("Settings",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
