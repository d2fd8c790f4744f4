"""TLS: whom to trust, and the client's own certificate.

Besides the settings there is docker's `certs.d`: a directory for each host, as `/etc/docker/certs.d/HOST[:PORT]/`, with
`*.crt` (authorities to trust) and pairs of `NAME.cert` and `NAME.key` (the client's certificate and its key).
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SettingsError

if TYPE_CHECKING:
    from .settings import Settings


class Contexts:
    """The TLS contexts of one client, each made when the first https connection needs it: it takes 10 ms and more.

    `home` is host and port of the registry, the only one that is shown the certificate of the settings: who one is
    is nobody else's business. `sockets` is the class of the sockets.
    """

    def __init__(self, settings: Settings, home: tuple[str, int], sockets: type[ssl.SSLSocket]) -> None:
        self._settings = settings
        self._home = home
        self._sockets = sockets
        self._lock = threading.Lock()
        self._made: dict[tuple[bool, Path | None], ssl.SSLContext] = {}

    def get(self, host: str = "", port: int = 443) -> ssl.SSLContext:
        """The context for a server. Raises SettingsError for a certificate or key that can't be read."""
        host = host.strip("[]").lower()
        wanted = (host, port) == self._home, certificates_of(self._settings.certs_dir, host, port)
        with self._lock:
            if wanted not in self._made:
                context = make_context(self._settings, own=wanted[0], directory=wanted[1])
                context.sslsocket_class = self._sockets
                self._made[wanted] = context
            return self._made[wanted]


def certificates_of(certs_dir: Path, host: str, port: int) -> Path | None:
    """The directory in `certs_dir` for a server: `HOST:PORT`, or for port 443 also `HOST`; None where there is none."""
    if not host:
        return None
    name = f"[{host}]" if ":" in host else host
    names = [f"{name}:{port}", *([name] if port == 443 else [])]
    return next((certs_dir / each for each in names if (certs_dir / each).is_dir()), None)


def make_context(settings: Settings, *, own: bool = True, directory: Path | None = None) -> ssl.SSLContext:
    """A context that trusts the system's authorities and those of `ca_file`, or everyone when `insecure`.

    `own`: with the client certificate of the settings. `directory`: with what is in that directory of `certs.d`; its
    certificate gives way to that of the settings.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.ca_file is not None:
        _load("ca_file", settings.ca_file, lambda: context.load_verify_locations(str(settings.ca_file)))
    if settings.key is not None and settings.cert is None:
        raise SettingsError("a client key was given without its certificate", hint="add --cert FILE")
    own_cert = settings.cert if own else None
    if directory is not None:
        _load_directory(context, directory, authorities_only=own_cert is not None)
    if own_cert is not None:
        _load_pair(context, own_cert, settings.key)
    return context


def _load_directory(context: ssl.SSLContext, directory: Path, *, authorities_only: bool) -> None:
    try:
        files = sorted(directory.iterdir())
    except OSError as error:
        raise SettingsError(f"cannot read the certificates in {directory}: {error.strerror}") from error
    for file in files:
        if file.suffix == ".crt":
            _load("authority", file, lambda: context.load_verify_locations(str(file)))  # noqa: B023 - called at once
        elif file.suffix == ".cert" and not authorities_only:
            key = file.with_suffix(".key")
            if key not in files:
                hint = "the certificate of an authority is named *.crt"
                raise SettingsError(f"the client certificate {file} has no key {key.name} beside it", hint=hint)
            _load_pair(context, file, key)


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    for name, file in (("cert", cert), ("key", key or cert)):
        _load(name, file, lambda: file.open("rb").close())  # noqa: B023 - called at once
    # An encrypted key would make OpenSSL ask on the terminal: refuse instead.
    chain = (str(cert), str(key) if key else None)
    _load("cert", cert, lambda: context.load_cert_chain(*chain, password=_no_password))


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
