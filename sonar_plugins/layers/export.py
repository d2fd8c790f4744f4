"""The merged tree of an image as one tar archive: in the order of names, whatever layers the files came from.

Layers can't be read in that order, so what is seen of them is kept in a temporary file while they are read.
"""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from .layer import Layer
from .limits import Budget
from .model import ROOT, Entry, Kind
from .sparse import expand
from .tarwrite import END, header, padding
from .unpack import unpack_layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .source import LayerSource

_PIECE = 1 << 20


def export(sources: Sequence[LayerSource], *, budget: Budget | None = None) -> Iterator[bytes | memoryview]:
    """The archive, piece by piece. Equal trees give equal bytes.

    Nothing comes before all layers were read and verified. The temporary file takes as much as the files of the tree.
    Raises ContentError, and IntegrityError where a layer has not its diff ID.
    """
    with TemporaryFile() as file:
        spool = _Spool(file.fileno())
        unpack_layers(sources, spool, budget or Budget())
        yield from spool.archive()


class _Spool:
    """The sink of `unpack` that keeps entries in memory and content in a file."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._end = 0
        self._files = Layer()  # here `offset` is where the content lies in the file

    def file(self, entry: Entry, content: Iterator[memoryview]) -> None:
        start = self._end
        for piece in content:
            rest = piece
            while rest:
                written = os.pwrite(self._file, rest, self._end)
                self._end += written
                rest = rest[written:]
        self._end = max(self._end, start + 1)  # two empty files are still two
        self._files.add(entry._replace(layer=0, offset=start))

    def other(self, entry: Entry) -> None:
        self._files.add(entry)

    def link(self, path: bytes, target: bytes) -> None:
        self._files.add(Entry(path, Kind.HARDLINK, target=target))

    def directory(self, entry: Entry) -> None:
        self._files.add(entry)

    def drop(self, entry: Entry) -> None:
        if entry.kind is not Kind.DIRECTORY or not self._files.directories.get(entry.path):
            self._files.remove(entry.path)

    def archive(self) -> Iterator[bytes | memoryview]:
        first: dict[int, bytes] = {}
        for entry in self._files.walk():
            if entry.path == ROOT and entry.implied:
                continue
            if entry.kind is Kind.FILE and entry.offset in self._files.linked:
                if entry.offset in first:
                    yield header(entry._replace(kind=Kind.HARDLINK, target=first[entry.offset], xattrs=()))
                    continue
                first[entry.offset] = entry.path
            yield header(entry)
            if entry.kind is Kind.FILE:
                yield from self._content(entry)
                yield padding(entry.size)
        yield END

    def _content(self, entry: Entry) -> Iterator[bytes | memoryview]:
        if entry.sparse is None:
            return self._stored(entry.offset, entry.size)
        stored = sum(length for _, length in entry.sparse)
        return expand(entry.sparse, entry.size, self._stored(entry.offset, stored))

    def _stored(self, start: int, size: int) -> Iterator[bytes]:
        end = start + size
        while start < end and (piece := os.pread(self._file, min(end - start, _PIECE), start)):
            yield piece
            start += len(piece)
