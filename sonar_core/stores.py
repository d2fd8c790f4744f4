"""Stores: places that hold images. A registry is one, a directory or an archive another.

A location says which: `oci:DIR:TAG` is opened by the plugin that declared the prefix `oci` (`StoreScheme`), a location
without a prefix by the one that declared the empty prefix, the registry's. What opening gives is a `Place`: a store,
and a name in it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from .content import Descriptor, Digest
from .errors import BadReference, Missing, UsageError
from .imports import load
from .quoting import quoted

if TYPE_CHECKING:
    from types import TracebackType

    from .client import Client
    from .command import Connect
    from .manifest import Manifest
    from .plugins import Plugins
    from .reference import Registry
    from .settings import Settings

Name = str | Digest | None  # a tag, a digest, or the only image that there is


class Incomplete(Missing):
    """A store refused a manifest, because it lacks something that the manifest names."""


class Store(Protocol):
    """A place that holds manifests, blobs and tags: one repository, one layout, one archive.

    Thread-safe. Content is found by its digest; names are tags, or whatever a layout calls its images. What is not
    there raises Missing; what is damaged ContentError; content that is not what its digest says IntegrityError.
    """

    @property
    def key(self) -> str:
        """What tells it from other stores: two objects with the same key are one place."""
        ...

    @property
    def verifies(self) -> bool:
        """Whether `put_blob` checks digest and size itself. If it does not, the copy checks what it hands over."""
        ...

    @property
    def full_names(self) -> bool:
        """Whether it calls images HOST/NAME:TAG, as an archive for `docker load` does, and not by a tag."""
        ...

    def full_name(self, tag: str) -> str:
        """What such a store is to call the image that is `tag` here: HOST/NAME:TAG, if it has such a name."""
        ...

    def resolve(self, name: Name) -> Descriptor:
        """What a name stands for, without annotations."""
        ...

    def manifest(self, name: Name) -> Manifest:
        """The manifest of a name or a digest, verified."""
        ...

    def has_manifest(self, digest: Digest) -> bool:
        """Whether the manifest is there, and may be named by a tag or an index."""
        ...

    def has_blob(self, blob: Descriptor) -> bool:
        """Whether the blob is there, whole."""
        ...

    def open_blob(self, blob: Descriptor, start: int = 0, stop: int | None = None) -> Generator[bytes, None, None]:
        """The bytes of a blob from `start` up to `stop` (its end), in pieces of about 1 MiB; not verified.

        Raises Unsupported where `stop` is given and the store can't do that. Closing the iterator ends it.
        """
        ...

    def put_blob(self, blob: Blob) -> None:
        """Take a blob in. After an error there is nothing of it under its digest."""
        ...

    def mounts_from(self, source: Store) -> bool:
        """Whether it is worth a try to take blobs over from that store without their bytes being sent."""
        ...

    def mount(self, blob: Descriptor, source: Store) -> bool:
        """Take a blob over without its bytes being sent. False: that is not possible."""
        ...

    def put_manifest(self, manifest: Manifest, tag: str | None = None, *, part: bool = False) -> None:
        """Take a manifest in, and let `tag` name it. `part`: an index that comes later names it.

        Raises Incomplete where something that it names is not there.
        """
        ...

    def tags(self) -> Iterator[str]:
        """The names of the images."""
        ...

    def referrers(self, digest: Digest) -> Iterator[Descriptor]:
        """The manifests whose `subject` this is: signatures, attestations, SBOMs."""
        ...

    def delete_tag(self, tag: str) -> None:
        """Take a name away. What it named stays. Raises Unsupported or UsageError where that can't be done."""
        ...

    def delete_manifest(self, digest: Digest) -> None:
        """Take a manifest away, and every name that it had."""
        ...

    def interrupt(self, seconds: float, *, wake: bool) -> None:
        """Let only what takes back begin in the next `seconds`. `wake`: whoever waits gets an error now."""
        ...

    def close(self) -> None:
        """Finish what was put in, if it needs finishing, and let go of it. May be called again."""
        ...

    def abandon(self) -> None:
        """Let go of it as after an error: what can't be finished is removed."""
        ...


Reader = Callable[[int, int | None], Generator[bytes, None, None]]  # from where, and up to where (None: the end)


@dataclass(frozen=True)
class Blob:
    """A blob on its way into a store: what it is, how it is read, and who is told of its bytes.

    `read` may be called several times, as `Store.open_blob`; `origin` names where it comes from. `lanes()` is how many
    streams of it may be open at this moment. `advance` is called with each number of bytes that arrived; it raises
    when the transfer is to end.
    """

    descriptor: Descriptor
    read: Reader = field(repr=False)
    origin: str = ""
    lanes: Callable[[], int] = field(default=lambda: 1, repr=False)
    advance: Callable[[int], None] = field(default=lambda count: None, repr=False)

    def open(self, offset: int = 0) -> Generator[bytes, None, None]:
        """The bytes from `offset` to the end, told to `advance` as they go: a `sonar_core.sources.Source`."""
        return self.range(offset, None)

    def range(self, start: int, stop: int | None) -> Generator[bytes, None, None]:
        """The bytes from `start` up to `stop`, told to `advance` as they go. Raises as `Store.open_blob`."""
        with closing(self.read(start, stop)) as blocks:
            for block in blocks:
                self.advance(len(block))
                yield block


@dataclass(frozen=True)
class Place:
    """A store and a name in it. `location` is what the user wrote."""

    store: Store
    name: Name
    location: str

    def __str__(self) -> str:
        return self.location


@dataclass(frozen=True)
class Opening:
    """What a `StoreScheme` has to open a location with. `write`: it is going to be written to.

    `shared(key, make)` gives the store of that key, made at its first use: several images go into one archive.
    """

    connect: Connect
    write: bool
    shared: Callable[[str, Callable[[], Store]], Store]


class Stores:
    """Opens locations. A context manager: at its end the stores are closed, or abandoned after an error."""

    def __init__(self, connect: Connect, plugins: Plugins) -> None:
        self._connect = connect
        self._plugins = plugins
        self._open: dict[tuple[str, str, bool], Store] = {}

    def open(self, location: str, *, write: bool = False) -> Place:
        """The place that `location` names. None of its images is looked at yet.

        Raises BadReference where it is malformed; UsageError, Missing, ContentError where it can't be opened.
        """
        schemes = self._plugins.stores()
        prefix, rest = split_location(location, schemes)
        if prefix not in schemes:
            raise UsageError(f"no plugin opens {quoted(location)}", hint="`sonar plugin ls` shows what is installed")

        def shared(key: str, make: Callable[[], Store]) -> Store:
            known = (prefix, key, write)
            if known not in self._open:
                self._open[known] = make()
            return self._open[known]

        store, name = load(schemes[prefix].open)(rest, Opening(self._connect, write, shared))
        return Place(store, name, location)

    def close(self) -> None:
        """Finish every store."""
        while self._open:
            self._open.popitem()[1].close()

    def abandon(self) -> None:
        """Give every store up."""
        while self._open:
            self._open.popitem()[1].abandon()

    def __enter__(self) -> Stores:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.abandon()


def split_location(location: str, prefixes: Container[str]) -> tuple[str, str]:
    """The prefix of a location and the rest; the prefix is empty where it is a reference."""
    prefix, colon, rest = location.partition(":")
    if colon and prefix and prefix in prefixes:
        return prefix, rest
    return "", location


def split_path(rest: str, prefix: str) -> tuple[str, Name]:
    """`PATH`, `PATH:NAME` or `PATH@DIGEST`, as archives and layouts write it. Raises BadReference.

    A path holds no colon, which is how skopeo and podman read it, too.
    """
    path, at, digest = rest.rpartition("@")
    name: Name = None
    if at and digest.startswith(("sha256:", "sha512:")) and ":" not in path:
        name = Digest.parse(digest)
    else:
        path, colon, text = rest.partition(":")
        if colon and not text:
            raise BadReference(f"{quoted(f'{prefix}:{rest}')} ends where a name belongs")
        name = text or None
    if not path:
        raise BadReference(
            f"{quoted(f'{prefix}:{rest}')} has no path", hint=f"write {prefix}:PATH or {prefix}:PATH:TAG"
        )
    return path, name


class Connections:
    """A `Connect` for programs: a Client for each registry, closed together.

    `settings` and `plugins`: those of the config file and of the installed packages, unless given.
    """

    def __init__(self, *, settings: Settings | None = None, plugins: Plugins | None = None) -> None:
        from .plugins import Plugins
        from .settings import Settings

        self.settings = settings or Settings.load()
        self.plugins = Plugins.discover() if plugins is None else plugins
        self._clients: dict[Registry, Client] = {}

    def __call__(self, registry: Registry) -> Client:
        """The Client of `registry`; the same one each time."""
        from .client import Client

        if registry not in self._clients:
            self._clients[registry] = Client(registry, settings=self.settings, plugins=self.plugins)
        return self._clients[registry]

    def close(self) -> None:
        """Close the Clients."""
        while self._clients:
            self._clients.popitem()[1].close()

    def __enter__(self) -> Connections:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
