"""What is in a tar, and where: found by its headers, read in place."""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass
from pathlib import Path

from sonar_core.errors import ContentError, Missing
from sonar_core.quoting import quoted
from sonar_plugins.layout.reading import Region

_MEMBERS = 100_000
_LINKS = 8  # links that are followed from one name
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True)
class _Member:
    offset: int
    size: int
    link: str | None = None


class Members:
    """The files in the tar at `path`, by name. Names are looked up among those in the tar, and nowhere else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise Missing(f"there is no archive {path}") from None
        try:
            self._members = self._scan()
        except BaseException:
            os.close(self._file)
            raise

    def find(self, name: str) -> Region | None:
        """Where the file of that name is, links within the tar followed. Raises ContentError where they do not end."""
        name = _normal(name)
        for _ in range(_LINKS):
            member = self._members.get(name)
            if member is None:
                return None
            if member.link is None:
                return Region(self._file, member.offset, member.size)
            name = member.link
        raise ContentError(f"{self.path}: the links from {quoted(name)} do not end")

    def read(self, name: str, limit: int) -> bytes | None:
        """The content of a small file; None where there is none. Raises ContentError where it is longer."""
        region = self.find(name)
        if region is None:
            return None
        if region.size > limit:
            raise ContentError(f"{self.path}: {quoted(name)} is longer than the {limit} bytes that are read of it")
        return b"".join(region.blocks())

    def names(self) -> list[str]:
        """The names of the regular files."""
        return [name for name, member in self._members.items() if member.link is None]

    def close(self) -> None:
        """Close the file. Regions that were found can't be read any more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _scan(self) -> dict[str, _Member]:
        import tarfile

        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise ContentError(f"{self.path} is no regular file: an archive is read in place")
        start = os.pread(self._file, 6, 0)
        for magic, name in _PACKED.items():
            if start.startswith(magic):
                raise ContentError(f"{self.path} is packed with {name}", hint="unpack it: it is read in place")
        members: dict[str, _Member] = {}
        twice: set[str] = set()
        length = os.fstat(self._file).st_size
        try:
            with os.fdopen(os.dup(self._file), "rb") as stream:
                stream.seek(0)
                with tarfile.open(fileobj=stream, mode="r:") as archive:
                    for info in archive:
                        if len(members) > _MEMBERS:
                            raise ContentError(f"{self.path} has more than {_MEMBERS} files")
                        name = _normal(info.name)
                        if info.isreg() and info.sparse is None:
                            if info.offset_data + info.size > length:
                                raise ContentError(f"{self.path} ends in the middle of {quoted(name)}")
                            member = _Member(info.offset_data, info.size)
                        elif info.issym():
                            member = _Member(0, 0, _normal(posixpath.join(posixpath.dirname(name), info.linkname)))
                        elif info.islnk():
                            member = _Member(0, 0, _normal(info.linkname))
                        else:
                            continue
                        if name in members:
                            twice.add(name)
                        members[name] = member
                        archive.members = []  # type: ignore[attr-defined]  # it would keep them all
        except (tarfile.TarError, UnicodeError, ValueError, OverflowError, RecursionError) as error:
            raise ContentError(f"{self.path} is no tar, or a damaged one: {error}") from error
        for name in ("index.json", "manifest.json", "oci-layout"):
            if name in twice:
                raise ContentError(f"{self.path} has two files {name}")
        return members


def _normal(name: str) -> str:
    return posixpath.normpath("/" + name).lstrip("/")
