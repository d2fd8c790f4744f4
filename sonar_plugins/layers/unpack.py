"""The merged tree with its content, as a stream of orders: each layer read once, from the top down.

Only a file whose content passed by before a seen hard link to it was known makes its layer be read once more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sonar_core.errors import ContentError, Missing

from .layer import Layer
from .mask import Mask
from .model import Entry, Kind
from .packed import DIRECTORY, FILE, HARDLINK, identity_of, unpack
from .paths import show
from .source import opened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from .limits import Budget
    from .source import LayerSource


class Sink(Protocol):
    """Takes the merged tree. Each path is free when it is given; parents may be missing until `directory`."""

    def file(self, entry: Entry, content: Iterator[memoryview]) -> None:
        """A regular file, with its stored bytes (see `Entry.sparse`)."""

    def other(self, entry: Entry) -> None:
        """A symbolic link, a device or a FIFO."""

    def link(self, path: bytes, target: bytes) -> None:
        """One more name for what was given at `target`."""

    def directory(self, entry: Entry) -> None:
        """A directory, after what lies in it; once more where a lower layer knows more about it."""

    def drop(self, entry: Entry) -> None:
        """What was given at this path, and maybe an empty directory, is gone."""


class Selection:
    """Some paths with all that lies below them, or everything."""

    def __init__(self, paths: Collection[bytes] = ()) -> None:
        self._paths = frozenset(paths)
        self._below = tuple(path + b"/" for path in paths)
        self._all = not paths or b"" in self._paths
        self._missing = set(paths) - {b""}

    def has(self, path: bytes) -> bool:
        """Whether `path` is wanted."""
        if self._all:
            return True
        self._missing.discard(path)
        return path in self._paths or path.startswith(self._below)

    def has_directory(self, path: bytes) -> bool:
        """Whether the directory `path` is wanted, or lies above something that is."""
        return self.has(path) or not path or any(below.startswith(path + b"/") for below in self._below)

    def check(self) -> None:
        """Raise Missing for a path that never came."""
        for path in sorted(self._missing):
            raise Missing(f"the image has no {show(path)}", hint="links in a path are not followed here")


def unpack_layers(
    sources: Sequence[LayerSource], sink: Sink, budget: Budget, selection: Selection | None = None
) -> None:
    """Give the merged tree of the layers, the lowest first, to the sink.

    Raises ContentError, IntegrityError (a diff ID), Missing (a selected path), and what the sink raises.
    """
    selection = selection or Selection()
    again = replace(budget)
    work = _Unpacking(sink, selection)
    for index in reversed(range(len(sources))):
        work.read(sources[index], index, budget)
    work.check()
    selection.check()
    for index, wanted in work.wanted.items():
        if wanted:
            _read_again(sources[index], index, again, wanted, sink)


class _Unpacking:
    def __init__(self, sink: Sink, selection: Selection) -> None:
        self.wanted: dict[int, dict[int, list[bytes]]] = {}
        """Names whose content must be read once more: layer → offset → paths."""
        self._sink = sink
        self._selection = selection
        self._mask = Mask()
        self._links_below: list[tuple[bytes, bytes, bool]] = []
        """Hard links whose target is in a layer still to come: path, target, whether the path is seen."""
        self._layer = Layer()

    def read(self, source: LayerSource, index: int, budget: Budget) -> None:
        """Unpack one layer below those that were read before."""
        layer = self._layer = Layer(index, self._drop)
        with opened(source, index, budget) as archive:
            for entry in archive:
                target = layer.target(entry) if entry.kind is Kind.HARDLINK else b""
                path = layer.add(entry)
                if path is None or entry.kind is Kind.DIRECTORY or not self._shows(path):
                    continue
                if entry.kind is Kind.HARDLINK:
                    packed = layer.packed(path)
                    if packed is not None and packed[0] != HARDLINK:
                        self._link(path, target, packed)
                elif entry.kind is Kind.FILE:
                    self._sink.file(entry._replace(path=path), archive.content())
                else:
                    self._sink.other(entry._replace(path=path))
            self._link_to(layer)
        for path, packed in layer.walk_packed():
            if packed[0] == DIRECTORY and self._shows_directory(path):
                self._sink.directory(unpack(path, packed))
        if index:
            self._mask.add(layer)

    def check(self) -> None:
        """Raise ContentError for a hard link to nothing."""
        for path, target, _ in self._links_below:
            raise _no_target(path, target)

    def _shows(self, path: bytes) -> bool:
        return self._mask.shows(path) and self._selection.has(path)

    def _shows_directory(self, path: bytes) -> bool:
        return self._mask.shows_directory(path) and self._selection.has_directory(path)

    def _link(self, path: bytes, target: bytes, packed: bytes) -> None:
        """`path` is one more name of the current layer's `packed`, which is at `target`."""
        layer, offset = identity_of(packed)
        wanted = self.wanted.get(layer, {}).get(offset)
        if wanted is not None:
            wanted.append(path)
        elif self._shows(target):
            self._sink.link(path, target)
        elif packed[0] == FILE:
            self.wanted.setdefault(layer, {})[offset] = [path]
        else:
            self._sink.other(unpack(path, packed))

    def _link_to(self, layer: Layer) -> None:
        """Look in this layer for what hard links of higher ones name."""
        waiting, self._links_below = self._links_below, []
        for path, target, shown in waiting:
            packed = layer.packed(target)
            if packed is None and not layer.hides(target):
                self._links_below.append((path, target, shown))
            elif packed is None or packed[0] == DIRECTORY:
                raise _no_target(path, target)
            elif packed[0] == HARDLINK:
                self._links_below.append((path, layer.links_below[target], shown))
            elif shown:
                self._link(path, target, packed)
        self._links_below += [(path, target, self._shows(path)) for path, target in layer.links_below.items()]

    def _drop(self, entry: Entry) -> None:
        """A later entry of the same layer replaces this one."""
        wanted = self.wanted.get(entry.layer, {}).get(entry.offset, [])
        if entry.path in wanted:
            wanted.remove(entry.path)
        elif entry.kind is Kind.DIRECTORY:
            if self._mask.shows(entry.path):  # no higher layer has anything in it
                self._sink.drop(entry)
        elif entry.kind is not Kind.HARDLINK and self._shows(entry.path):
            self._sink.drop(entry)


def _read_again(source: LayerSource, index: int, budget: Budget, wanted: dict[int, list[bytes]], sink: Sink) -> None:
    missing = {offset for offset, paths in wanted.items() if paths}
    with opened(source, index, budget) as archive:
        for entry in archive:
            if not missing:
                return
            if entry.offset in missing:
                missing.discard(entry.offset)
                first, *others = wanted[entry.offset]
                sink.file(entry._replace(path=first), archive.content())
                for path in others:
                    sink.link(path, first)


def _no_target(path: bytes, target: bytes) -> ContentError:
    return ContentError(f"{show(path)} is a hard link to {show(target)}, which is no file")
