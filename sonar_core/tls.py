"""TLS: whom to trust, and the client's own certificate."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SettingsError

if TYPE_CHECKING:
    from .settings import Settings


class LazyContext:
    """The TLS context of one client, made when the first https connection needs it: it takes 10 ms and more.

    `sockets` is the class of its sockets.
    """

    def __init__(self, settings: Settings, sockets: type[ssl.SSLSocket]) -> None:
        self._settings = settings
        self._sockets = sockets
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def get(self) -> ssl.SSLContext:
        """The context. Raises SettingsError for a certificate or key that can't be read."""
        with self._lock:
            if self._context is None:
                context = make_context(self._settings)
                context.sslsocket_class = self._sockets
                self._context = context
            return self._context


def make_context(settings: Settings) -> ssl.SSLContext:
    """A context that trusts the system's authorities and those of `ca_file`, or everyone when `insecure`."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.ca_file is not None:
        _load("ca_file", settings.ca_file, lambda: context.load_verify_locations(str(settings.ca_file)))
    if settings.key is not None and settings.cert is None:
        raise SettingsError("a client key was given without its certificate", hint="add --cert FILE")
    if settings.cert is not None:
        key = str(settings.key) if settings.key else None
        # An encrypted key would make OpenSSL ask on the terminal: refuse instead.
        _load(
            "cert",
            settings.cert,
            lambda: context.load_cert_chain(str(settings.cert), key, password=_no_password),
        )
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted; decrypt it first")


def _load(name: str, path: Path, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        raise SettingsError(f"{name} {path} holds nothing usable: {error.reason or error}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"cannot use {name} {path}: {reason}") from error
