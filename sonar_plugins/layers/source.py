"""A layer where it lies: how to open it, and what its bytes must be. Read into a Layer, or entry by entry."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonar_core.errors import ContentError, SonarError
from sonar_core.hashing import verified

from .ahead import read_ahead
from .decompress import decompress
from .layer import Layer
from .model import Entry, Kind
from .packed import MAX_LAYERS
from .sparse import expand
from .tarstream import TarReader
from .tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from sonar_core.content import Digest

    from .limits import Budget

_AT_ONCE = 3


@dataclass(frozen=True)
class LayerSource:
    """One layer of an image. `open()` gives its bytes in blocks, from the start each time, in a context that ends it.

    `diff_id` is the digest of the unpacked archive (OCI image-spec, config.md, "Layer DiffID").
    """

    name: str
    """For messages: its digest."""
    open: Callable[[], AbstractContextManager[Iterable[bytes]]]
    media_type: str | None = None
    diff_id: Digest | None = None


@contextmanager
def opened(source: LayerSource, index: int, budget: Budget, *, verify: bool = True) -> Iterator[TarReader]:
    """The layer as entries. A ContentError inside the context gets the layer's name.

    With `verify` an archive that has not its diff ID is an IntegrityError, when it is read to its end.
    """
    if index >= MAX_LAYERS:
        raise ContentError(f"the image has more than {MAX_LAYERS} layers")
    pieces = _unpacked(source)
    if verify and source.diff_id is not None:
        pieces = verified(pieces, source.diff_id, what=f"layer {source.name} unpacks to something else:")
    with named_errors(source, index), read_ahead(pieces) as ahead:
        yield TarReader(ahead, layer=index, budget=budget)


@contextmanager
def named_errors(source: LayerSource, index: int) -> Iterator[None]:
    """An error about what is in the layer gets the layer's number and name, once."""
    try:
        yield
    except SonarError as error:
        where = f"layer {index} ({source.name}): "
        if type(error) not in (SonarError, ContentError) or error.message.startswith(where):
            raise
        raise type(error)(where + error.message, hint=error.hint) from error


def _unpacked(source: LayerSource) -> Generator[bytes]:
    # Opened and closed in here, so that both happen in the thread that reads.
    with source.open() as blocks:
        try:
            yield from decompress(blocks, source.media_type)
        except OSError as error:
            raise SonarError(f"it can't be read: {error.strerror or error}") from error


def read_layer(source: LayerSource, index: int, budget: Budget, *, digests: bool = False) -> Layer:
    """The whole layer, without content; with the SHA-256 of each file's if `digests`.

    The diff ID is not checked: a tenth of the time, for what the digest of the blob says already.
    """
    layer = Layer(index)
    with opened(source, index, budget, verify=False) as archive:
        for entry in archive:
            if digests and entry.kind is Kind.FILE:
                entry = entry._replace(digest=_digest(entry, archive))
            layer.add(entry)
        layer.archive_size = archive.taken
    return layer


def _digest(entry: Entry, archive: TarReader) -> bytes:
    hasher = hashlib.sha256()
    for piece in file_content(entry, archive):
        hasher.update(piece)
    return hasher.digest()


def file_content(entry: Entry, archive: TarReader) -> Iterator[bytes | memoryview]:
    """The content of the archive's current entry, holes as zeros."""
    if entry.sparse is None:
        return archive.content()
    return expand(entry.sparse, entry.size, archive.content())


def read_tree(sources: Sequence[LayerSource], budget: Budget, *, first: int = 0, digests: bool = False) -> Tree:
    """The merged tree of the layers, the lowest first. They are fetched and read a few at a time.

    `first` is the number of the first one, where those below are left out.
    """
    from concurrent.futures import ThreadPoolExecutor

    tree = Tree(partial=first > 0)
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sonar-layer")
    try:
        layers = [
            pool.submit(read_layer, source, index, budget, digests=digests)
            for index, source in enumerate(sources, first)
        ]
        for layer in layers:
            tree.stack(layer.result())
    except BaseException:
        budget.close()  # those that are still reading stop at their next piece
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return tree
