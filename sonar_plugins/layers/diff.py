"""Two merged trees compared, path by path."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

from .model import Entry, Kind
from .source import file_content, opened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from .limits import Budget
    from .source import LayerSource
    from .tree import Tree

_LARGEST_TEXT = 1 << 20
_MOST_TEXT = 128 << 20


@dataclass(frozen=True)
class Difference:
    """A path that two trees do not have alike. Times are not compared: a rebuild changes them all."""

    path: bytes
    kind: Literal["added", "removed", "changed"]
    before: Entry | None = None
    after: Entry | None = None
    what: tuple[str, ...] = ()
    """What changed: of `type`, `content`, `mode`, `owner`, `target`, `device`, `xattrs`."""


class _State(NamedTuple):
    """What one tree says of a path; without an entry: that it removed what a lower layer, not read, has there."""

    order: list[bytes]
    path: bytes
    entry: Entry | None


def compare(before: Tree, after: Tree) -> Iterator[Difference]:
    """What differs between two trees that were read with digests, in the order of names.

    Layers that both images share may be left out of both trees. A file that only one image wrote above them is then
    called added or removed even if the shared layers have it too, since they were not read. What only one image removed
    of them is told without an entry. A directory that only one image wrote is not told: builders write those above a
    new file again.
    """
    partial = before.partial or after.partial
    for old, new in _side_by_side(_states(before), _states(after)):
        old_entry, new_entry = old and old.entry, new and new.entry
        path = old.path if old else new.path if new else b""
        only = old_entry or new_entry
        if old_entry and new_entry:
            what = _changes(old_entry, new_entry)
            if what:
                yield Difference(path, "changed", old_entry, new_entry, what)
        elif partial and only and only.kind is Kind.DIRECTORY and not (old and new):
            continue
        elif old_entry or (new and not new_entry and not old):
            yield Difference(path, "removed", old_entry)
        elif new_entry or (old and not new):
            yield Difference(path, "added", None, new_entry)


def _states(tree: Tree) -> Iterator[_State]:
    entries = (_State(entry.path.split(b"/"), entry.path, entry) for entry in tree.walk())
    removals = sorted(_State(path.split(b"/"), path, None) for path in tree.whiteouts)
    return heapq.merge(entries, removals, key=itemgetter(0))


def _side_by_side(before: Iterator[_State], after: Iterator[_State]) -> Iterator[tuple[_State | None, _State | None]]:
    """Pairs for the same path; None where one side does not have it."""
    old, new = next(before, None), next(after, None)
    while old or new:
        takes_old = old is not None and (new is None or old.order <= new.order)
        takes_new = new is not None and (old is None or new.order <= old.order)
        yield old if takes_old else None, new if takes_new else None
        if takes_old:
            old = next(before, None)
        if takes_new:
            new = next(after, None)


def _changes(old: Entry, new: Entry) -> tuple[str, ...]:
    if old.kind is not new.kind:
        return ("type",)
    if old.implied or new.implied:
        return ()  # nobody knows the owner and mode of a directory that has no entry
    pairs = {
        "content": (old.digest != new.digest or old.size != new.size) and old.kind is Kind.FILE,
        "mode": old.mode != new.mode and old.kind is not Kind.SYMLINK,
        "owner": (old.uid, old.gid) != (new.uid, new.gid),
        "target": old.target != new.target,
        "device": old.device != new.device,
        "xattrs": sorted(old.xattrs) != sorted(new.xattrs),
    }
    return tuple(word for word, differs in pairs.items() if differs)


def read_texts(
    sources: Sequence[LayerSource], entries: Collection[Entry], budget: Budget, *, first: int = 0
) -> dict[tuple[int, int], str]:
    """The content of those of the files that are text and not too large, by `Entry.identity`.

    Only the layers that have them are read; `first` is the number of the first source. A text is UTF-8, has no NUL
    and at most 1 MiB; 128 MiB are read in all.
    """
    texts = {}
    room = _MOST_TEXT
    for index, source in enumerate(sources, first):
        wanted = {
            entry.offset
            for entry in entries
            if entry.layer == index and entry.kind is Kind.FILE and entry.size <= _LARGEST_TEXT
        }
        if not wanted:
            continue
        with opened(source, index, budget) as archive:
            for entry in archive:
                if entry.offset in wanted and entry.size <= room:
                    text = _text(b"".join(file_content(entry, archive)))
                    if text is not None:
                        texts[entry.identity] = text
                        room -= entry.size
    return texts


def _text(content: bytes) -> str | None:
    try:
        return None if b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def unified(difference: Difference, before: str, after: str) -> str:
    """The lines that differ, as `diff -u` prints them."""
    import difflib
    from io import StringIO

    name = difference.path.decode("utf-8", "backslashreplace")
    old, new = (list(StringIO(text, newline="\n")) for text in (before, after))  # str.splitlines splits at more
    lines = difflib.unified_diff(old, new, "a/" + name, "b/" + name)
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)
