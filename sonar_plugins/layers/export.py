"""The merged tree of an image as one tar archive: in the order of names, whatever layers the files came from.

Layers can't be read in that order, so what is seen of them is kept in a temporary file while they are read.
"""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

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


def export(sources: Sequence[LayerSource], *, budget: Budget | None = None) -> Iterator[bytes]:
    """The archive, in pieces of about 1 MiB. Equal trees give equal bytes.

    Nothing comes before all layers were read and verified. The temporary file takes as much as the files of the tree.
    Raises ContentError, and IntegrityError where a layer has not its diff ID.
    """
    with TemporaryFile(buffering=_PIECE) as file:
        spool = _Spool(file)
        unpack_layers(sources, spool, budget or Budget())
        file.flush()
        yield from _gathered(spool.archive())


def _gathered(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
    """Small pieces put together, since each one costs whoever takes it a call."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


class _Spool:
    """The sink of `unpack` that keeps entries in memory and content in a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = 0
        self._files = Layer()  # here `offset` is where the content lies in the file

    def file(self, entry: Entry, content: Iterator[memoryview]) -> None:
        start = self._end
        for piece in content:
            self._end += self._file.write(piece)
        if self._end == start:
            self._end += self._file.write(b"\0")  # two empty files are still two
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
        while start < end and (piece := os.pread(self._file.fileno(), min(end - start, _PIECE), start)):
            yield piece
            start += len(piece)
