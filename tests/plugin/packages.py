"""Installed packages, made in a directory: modules, and a real `.dist-info` that names their entry points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Packages:
    """A directory for PYTHONPATH."""

    directory: Path

    def install(
        self, distribution: str, source: str, *, entries: tuple[str, ...] = (), version: str = "1.2", module: str = ""
    ) -> str:
        """Installs a distribution of one module. Each of `entries` is an entry-point name, or a whole `name = value`;
        unless given, one that has the name of the distribution. Returns the module's name."""
        module = module or distribution.replace("-", "_")
        self.directory.mkdir(exist_ok=True)
        (self.directory / f"{module}.py").write_text(source)
        names = entries or (distribution,)
        lines = [name if "=" in name else f"{name} = {module}" for name in names]
        self.dist_info(
            distribution,
            version,
            METADATA=f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n",
            entry_points="\n".join(["[sonar]", *lines, ""]),
        )
        return module

    def dist_info(self, distribution: str, version: str, *, METADATA: str | None, entry_points: str | bytes) -> None:
        """Writes the `.dist-info` alone."""
        folder = self.directory / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        if METADATA is not None:
            (folder / "METADATA").write_text(METADATA)
        written = entry_points.encode() if isinstance(entry_points, str) else entry_points
        (folder / "entry_points.txt").write_bytes(written)
