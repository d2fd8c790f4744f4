"""One file of an image: layers are asked from the top down, and read no further than the file.

What is read only in part can't be verified. `verify` reads each layer that is asked to its end, which also lets the
last of several entries for one path win, as everywhere else.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from sonar_core.errors import ContentError, Missing, UsageError

from .layer import Layer
from .limits import Budget
from .model import Entry, Kind
from .packed import DIRECTORY
from .paths import ancestors, show
from .source import file_content, named_errors, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .source import LayerSource
    from .tarstream import TarReader

_MOST_LINKS = 40  # MAXSYMLINKS of Linux


class Finder:
    """Finds files in the layers of an image, the lowest first, and remembers what it saw of them.

    A context manager, since it holds layers open.
    """

    def __init__(self, sources: Sequence[LayerSource], *, budget: Budget | None = None, verify: bool = False) -> None:
        budget = budget or Budget()
        self._sources = sources
        self._again = replace(budget)
        self._scans = [_Scan(source, index, budget, verify) for index, source in enumerate(sources)]
        self._links = 0

    def __enter__(self) -> Finder:
        return self

    def __exit__(self, *_: object) -> None:
        for scan in self._scans:
            scan.close()

    def find(self, path: bytes) -> Entry:
        """The entry that `path` leads to, all links followed inside the image.

        Raises Missing where there is none, ContentError for a loop of links and for a damaged layer.
        """
        self._links = 0
        return self._find(path)

    def read(self, entry: Entry) -> Iterator[bytes | memoryview]:
        """The content of a file that was found last, holes as zeros. Raises UsageError for what is no file."""
        if entry.kind is not Kind.FILE:
            raise UsageError(f"{show(entry.path)} is not a file but a {entry.kind}")
        scan = self._scans[entry.layer]
        if scan.stands_at(entry):
            return scan.content()
        return self._read_again(entry)

    def _find(self, path: bytes) -> Entry:
        while True:
            entry = self._look(path, len(self._scans))
            if entry.kind is not Kind.SYMLINK:
                if entry.path != path:
                    raise Missing(f"the image has no {show(path)}: {show(entry.path)} is a {entry.kind}")
                return entry
            self._links += 1
            if self._links > _MOST_LINKS:
                raise ContentError(f"{show(path)} leads through too many links", hint="they may form a loop")
            path = self._behind(entry, path[len(entry.path) + 1 :])

    def _look(self, path: bytes, below: int) -> Entry:
        """The entry at `path`, or at the first part of it that is no directory, in the layers lower than `below`."""
        for scan in reversed(self._scans[:below]):
            entry = scan.look(path)
            if entry is not None:
                if entry.kind is not Kind.HARDLINK:
                    return entry
                named = self._look(entry.target, scan.layer.index)
                if named.path == entry.target:
                    return named._replace(path=entry.path)
                break
            if scan.layer.hides(path):
                break
        raise Missing(f"the image has no {show(path)}")

    def _behind(self, link: Entry, rest: bytes) -> bytes:
        """Where a link leads, with what comes after it in the path."""
        real = [] if link.target.startswith(b"/") else link.path.split(b"/")[:-1]
        names: list[bytes] = []
        for part in link.target.split(b"/") + rest.split(b"/"):
            if part == b"..":
                if names:  # one of them may be a link, whose parent is another one than it seems
                    real = self._find(b"/".join(real + names)).path.split(b"/")
                    names = []
                del real[-1:]
            elif part not in (b"", b"."):
                names.append(part)
        return b"/".join(real + names)

    def _read_again(self, wanted: Entry) -> Iterator[bytes | memoryview]:
        with opened(self._sources[wanted.layer], wanted.layer, replace(self._again)) as archive:
            for entry in archive:
                if entry.offset == wanted.offset:
                    yield from file_content(entry, archive)
                    return


class _Scan:
    """One layer, opened when it is first asked and read as far as was needed."""

    def __init__(self, source: LayerSource, index: int, budget: Budget, verify: bool) -> None:
        self.layer = Layer(index)
        self._source = source
        self._budget = budget
        self._verify = verify
        self._stack = ExitStack()
        self._archive: TarReader | None = None
        self._entries: Iterator[Entry] = iter(())
        self._current: Entry | None = None
        self._placed: bytes | None = None

    def look(self, path: bytes) -> Entry | None:
        """What this layer has at `path`, or at a part of it that is no directory; None once all was read."""
        on_the_way = [*ancestors(path), path]
        if (found := self._seen(on_the_way)) is not None:
            return found
        with named_errors(self._source, self.layer.index):
            while self._next():
                if self._placed in on_the_way and (found := self._seen(on_the_way)) is not None:
                    return found
        return self._seen(on_the_way)

    def stands_at(self, entry: Entry) -> bool:
        """Whether the content of this entry is what comes next."""
        return self._current is not None and self._current.offset == entry.offset

    def content(self) -> Iterator[bytes | memoryview]:
        """The content of the current entry, once."""
        current, self._current = self._current, None
        if current is not None and self._archive is not None:
            with named_errors(self._source, self.layer.index):
                yield from file_content(current, self._archive)

    def close(self) -> None:
        self._stack.close()

    def _seen(self, on_the_way: list[bytes]) -> Entry | None:
        for path in on_the_way:
            packed = self.layer.packed(path)
            if packed is not None and (packed[0] != DIRECTORY or path is on_the_way[-1]):
                return self.layer.get(path)
        return None

    def _next(self) -> bool:
        """Read one entry, or all of them to verify the layer; False at the end."""
        if self._archive is None:
            self._archive = self._stack.enter_context(opened(self._source, self.layer.index, self._budget))
            self._entries = iter(self._archive)
            if self._verify:
                for entry in self._entries:
                    self.layer.add(entry)
        self._current = next(self._entries, None)
        if self._current is None:
            return False
        self._placed = self.layer.add(self._current)
        return True
