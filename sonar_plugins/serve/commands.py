"""`sonar serve`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sonar_core.command import Report
from sonar_core.errors import BadReference, UsageError
from sonar_core.reference import Registry

from .disk import DiskStorage
from .memory import MemoryStorage
from .messages import Exchange
from .server import EmbeddedRegistry

HOST, PORT = "127.0.0.1", 5000


@dataclass(frozen=True)
class Listening:
    """Where the registry is: `host` as 127.0.0.1:5000. `root` is None where it keeps everything in memory."""

    host: str
    url: str
    root: str | None
    read_only: bool


def serve(
    report: Report,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 is any free one.")
    ] = f"{HOST}:{PORT}",
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the content there, as OCI layouts; else in memory.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every push and delete.")] = False,
    sparse: Annotated[
        bool, typer.Option("--sparse", help="Take manifests even if what they point to is missing.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="One line for each request, on stderr.")] = False,
) -> Iterator[Listening]:
    """Run a registry until Ctrl-C: for trying things, for CI jobs and for tests.

    It is not for production: no TLS, no accounts, no garbage collection. With --root every repository is an OCI image
    layout, which other tools can read: DIR/library/hello is `oci:DIR/library/hello`.
    """
    host, port = _parse(address)

    def tell(exchange: Exchange) -> None:
        moved = f"{exchange.bytes_in} B in, {exchange.bytes_out} B out"
        report(f"{exchange.method} {exchange.path} {exchange.status} ({moved})")

    registry = EmbeddedRegistry(
        DiskStorage(root) if root else MemoryStorage(),
        address=(host.hostname, port),
        read_only=read_only,
        sparse=sparse,
        observer=tell if verbose else None,
    )
    with _until_stopped() as wait, registry:
        if not host.is_loopback:
            report("everyone who can reach this address can push and delete")
        yield Listening(registry.host, registry.url, str(root) if root else None, read_only)
        wait()
        report("stopped")


@contextmanager
def _until_stopped() -> Iterator[Callable[[], object]]:
    """What it gives waits for Ctrl-C or SIGTERM. They are held back from now on, so that none comes at a bad moment."""
    stops = {signal.SIGTERM}
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is in a shell script's background
        stops.add(signal.SIGINT)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        yield lambda: signal.sigwait(stops)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def text(listening: Listening) -> str:
    """One line: where it listens and where the content is."""
    place = f"with its content in {listening.root}" if listening.root else "with its content in memory"
    return (
        f"a registry{', read-only,' if listening.read_only else ''} listens on {listening.host} {place}; Ctrl-C ends it"
    )


def _parse(address: str) -> tuple[Registry, int]:
    """`HOST:PORT`, `HOST`, `:PORT`, `[IPV6]:PORT`: the host as a registry, and the port. Raises UsageError."""
    colon = address.rfind(":", address.rfind("]") + 1)
    host, port = (address[:colon], address[colon + 1 :]) if colon >= 0 else (address, "")
    wrong = f"--address {address}: {port!r} is not a port"
    try:
        if not port or (port.isascii() and port.isdigit() and int(port) <= 65535):
            return Registry.parse(host or HOST), int(port or PORT)
    except BadReference as error:
        wrong = f"--address {address}: {error.message}"
    raise UsageError(wrong, hint=f"it looks like {HOST}:{PORT}")
