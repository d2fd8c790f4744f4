"""What the commands return, and how it looks as text."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sonar_core.content import Digest
from sonar_core.redaction import printable
from sonar_core.sizes import size_text

from .diff import Difference
from .model import Entry, Kind


def path_text(path: bytes) -> str:
    """A path from the root on, as `/etc/passwd`; bytes that are no UTF-8 are kept by `surrogateescape`."""
    return "/" + path.decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class LayerLine:
    """One layer. Sizes in bytes: of the blob, of its archive, of the files in it, and of those that are hidden.

    `added`, `changed` and `removed` count files, links and devices, not directories.
    """

    layer: int
    digest: str
    media_type: str
    size: int
    unpacked_size: int
    content_size: int
    added: int
    changed: int
    removed: int
    wasted: int
    created_by: str | None


@dataclass(frozen=True)
class LayersOfImage:
    """All layers of an image, the lowest first, and what they cost together: see `Tree.wasted` and `.efficiency`."""

    layers: tuple[LayerLine, ...]
    size: int
    unpacked_size: int
    content_size: int
    wasted: int
    efficiency: float


def layers_text(image: LayersOfImage) -> str:
    """As a table."""
    rows = [("LAYER", "SIZE", "UNPACKED", "ADDED", "CHANGED", "REMOVED", "WASTED", "CREATED BY")]
    rows += [
        (
            str(line.layer),
            size_text(line.size),
            size_text(line.unpacked_size),
            str(line.added),
            str(line.changed),
            str(line.removed),
            size_text(line.wasted),
            printable(" ".join((line.created_by or line.digest).split())),
        )
        for line in image.layers
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    lines = [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row[:7], widths, strict=True)), row[7]]) for row in rows
    ]
    total = (
        f"{size_text(image.size)}, {size_text(image.unpacked_size)} unpacked; "
        f"{size_text(image.wasted)} wasted, efficiency {100 * image.efficiency:.1f} %"
    )
    return "\n".join([*lines, total])


@dataclass(frozen=True, slots=True)
class Listed:
    """A path of the merged tree, or of one layer. `hides`: the layers that have something hidden by it.

    In the listing of a layer: `removed` for what it takes away, `opaque` for a directory whose old content it hides.
    """

    entry: Entry
    hides: tuple[int, ...] = ()
    removed: bool = False
    opaque: bool = False
    long: bool = False

    def to_json(self) -> dict[str, Any]:
        entry = self.entry
        shown: dict[str, Any] = {"path": path_text(entry.path)}
        if self.removed:
            return shown | {"type": "removed", "layer": entry.layer}
        shown |= {
            "type": str(entry.kind),
            "mode": f"{entry.mode:04o}",
            "uid": entry.uid,
            "gid": entry.gid,
            "size": entry.size,
            "modified": _time(entry.mtime),
            "layer": entry.layer,
        }
        if entry.target:
            target = entry.target.decode("utf-8", "surrogateescape")
            shown["target"] = "/" + target if entry.kind is Kind.HARDLINK else target
        if entry.device is not None:
            shown["device"] = list(entry.device)
        if entry.xattrs:
            shown["xattrs"] = {name: value.hex() for name, value in entry.xattrs}
        if self.hides:
            shown["hides"] = list(self.hides)
        if self.opaque:
            shown["opaque"] = True
        return shown


def listed_text(listed: Listed) -> str:
    """The path, or a line as of `ls -l`: mode, owner, size, time, layer, path, target."""
    entry = listed.entry
    name = printable(path_text(entry.path))
    after = "  (removed)" if listed.removed else "  (emptied)" if listed.opaque else ""
    if not listed.long:
        return name + after
    if entry.kind is Kind.SYMLINK:
        after = " -> " + printable(entry.target.decode("utf-8", "surrogateescape")) + after
    elif entry.kind is Kind.HARDLINK:
        after = " link to " + printable(path_text(entry.target)) + after
    size = ",".join(map(str, entry.device)) if entry.device else str(entry.size)
    mode = "-" * 10 if listed.removed else stat.filemode(entry.st_mode)
    owner = f"{entry.uid}:{entry.gid}"
    return f"{mode} {owner:>11} {size:>10} {_time(entry.mtime)[:16]} {entry.layer:>3} {name}{after}"


def _time(nanoseconds: int) -> str:
    """In UTC, to the second; the epoch for a time that no calendar has."""
    try:
        return datetime.fromtimestamp(nanoseconds // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class ConfigDifference:
    """A part of the config that two images do not have alike, as `config.Env`."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class FileDifference:
    """See `diff.Difference`. `diff` has the lines that differ, where they were asked for and both are texts."""

    difference: Difference
    diff: str | None = None

    def to_json(self) -> dict[str, Any]:
        found = self.difference
        shown: dict[str, Any] = {"path": path_text(found.path), "kind": found.kind}
        if found.what:
            shown["what"] = list(found.what)
        for side, entry in (("before", found.before), ("after", found.after)):
            if entry is not None:
                shown[side] = _side(entry)
        if self.diff is not None:
            shown["diff"] = self.diff
        return shown


def _side(entry: Entry) -> dict[str, Any]:
    shown = Listed(entry).to_json()
    del shown["path"]
    if entry.kind is Kind.FILE and entry.digest:
        shown["digest"] = f"sha256:{entry.digest.hex()}"
    return shown


@dataclass(frozen=True)
class ImageDifference:
    """What differs between two images. `shared_layers` of them, the lowest, are the same and were not fetched."""

    shared_layers: int
    config: tuple[ConfigDifference, ...]
    files: tuple[FileDifference, ...]


def difference_text(found: ImageDifference) -> str:
    """A line for each: `A` added, `D` removed, `C` changed, with what changed; lines of a diff after it."""
    lines = [f"config {printable(one.key)}: {_json(one.before)} -> {_json(one.after)}" for one in found.config]
    for one in found.files:
        what = f" ({', '.join(one.difference.what)})" if one.difference.what else ""
        letter = {"added": "A", "removed": "D", "changed": "C"}[one.difference.kind]
        lines.append(f"{letter} {printable(path_text(one.difference.path))}{what}")
        if one.diff:
            lines.append(one.diff.rstrip("\n"))
    return "\n".join(lines) or "no difference"


def _json(value: Any) -> str:
    import json

    return printable(json.dumps(value, ensure_ascii=False))


@dataclass(frozen=True)
class Exported:
    """A file that holds the merged tree of an image as a tar archive."""

    file: Path
    size: int
    digest: Digest


def exported_text(exported: Exported) -> str:
    """The digest."""
    return str(exported.digest)


@dataclass(frozen=True)
class ExtractedTo:
    """What was made in a directory: numbers of files, directories and others, bytes, and what was left out."""

    directory: Path
    files: int
    directories: int
    others: int
    size: int
    skipped: tuple[str, ...]
    attributes_left_out: int


def extracted_text(made: ExtractedTo) -> str:
    """One line."""
    return (
        f"{made.directory}: {made.files} files, {made.directories} directories, "
        f"{made.others} links and others, {size_text(made.size)}"
    )
