"""Layers made by hand, with Python's `tarfile`, which shares no code with what is tested."""

from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sonar_core.content import Digest
from sonar_plugins.layers.source import LayerSource

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

TIME = 1_700_000_000


@dataclass(frozen=True)
class Item:
    """One entry of a layer."""

    path: str
    type: bytes
    content: bytes = b""
    target: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = TIME
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, str], ...] = ()

    def owned(self, uid: int, gid: int) -> Item:
        return replace(self, uid=uid, gid=gid)

    def at(self, placeholder: str, path: str) -> Item:
        """With a real path in the place of a placeholder."""
        return replace(self, path=self.path.replace(placeholder, path), target=self.target.replace(placeholder, path))


def file(path: str, content: bytes = b"", mode: int = 0o644, *, mtime: float = TIME) -> Item:
    return Item(path, tarfile.REGTYPE, content, mode=mode, mtime=mtime)


def directory(path: str, mode: int = 0o755, *, mtime: float = TIME) -> Item:
    return Item(path, tarfile.DIRTYPE, mode=mode, mtime=mtime)


def symlink(path: str, target: str) -> Item:
    return Item(path, tarfile.SYMTYPE, target=target, mode=0o777)


def hardlink(path: str, target: str) -> Item:
    return Item(path, tarfile.LNKTYPE, target=target)


def fifo(path: str, mode: int = 0o644) -> Item:
    return Item(path, tarfile.FIFOTYPE, mode=mode)


def device(path: str, major: int, minor: int, kind: bytes = tarfile.CHRTYPE, mode: int = 0o660) -> Item:
    return Item(path, kind, device=(major, minor), mode=mode)


def whiteout(path: str) -> Item:
    parent, slash, name = path.rpartition("/")
    return file(f"{parent}{slash}.wh.{name}")


def opaque(path: str) -> Item:
    return file(f"{path}/.wh..wh..opq" if path else ".wh..wh..opq")


def tar(items: Iterable[Item], *, format: int = tarfile.PAX_FORMAT) -> bytes:
    """The archive of the items, in this order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8", errors="surrogateescape") as archive:
        for item in items:
            info = tarfile.TarInfo(item.path)
            info.type, info.mode, info.uid, info.gid = item.type, item.mode, item.uid, item.gid
            info.linkname, info.mtime = item.target, item.mtime
            info.devmajor, info.devminor = item.device
            info.size = len(item.content)
            info.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in item.xattrs}
            archive.addfile(info, io.BytesIO(item.content))
    return out.getvalue()


def source(
    data: bytes, *, diff_id: Digest | None = None, media_type: str | None = None, block: int = 1 << 16
) -> LayerSource:
    """A layer that comes from memory, in blocks."""

    def blocks() -> Generator[bytes]:
        yield from (data[start : start + block] for start in range(0, len(data), block))

    return LayerSource(str(Digest.of(data)), lambda: closing(blocks()), media_type, diff_id)


def stack(*layers: Sequence[Item]) -> list[LayerSource]:
    """Layers, the lowest first, with gzip and their diff IDs."""
    archives = [tar(items) for items in layers]
    return [source(gzip.compress(data, 1), diff_id=Digest.of(data)) for data in archives]
