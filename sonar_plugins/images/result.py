"""What a copy did, or would do."""

from __future__ import annotations

from dataclasses import dataclass, field

from sonar_core.content import Descriptor, Digest


@dataclass(frozen=True)
class CopyResult:
    """What one copy did. `bytes` counts the content that was sent, manifests too; `seconds` the time it took.

    `digest` is that of the image at the target: another than `source_digest` where `--platform` made a smaller index.
    `mounted`, `skipped` (the target had them) and `sent` are blobs; `foreign` are layers that are kept elsewhere and
    were not moved. `unchanged`: the target had the image already. `dry_run`: nothing was done, this is the plan.
    """

    source: str
    target: str
    digest: Digest
    source_digest: Digest
    media_type: str
    mounted: tuple[Descriptor, ...] = ()
    skipped: tuple[Descriptor, ...] = ()
    sent: tuple[Descriptor, ...] = ()
    foreign: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    referrers: tuple[Digest, ...] = ()
    bytes: int = 0
    seconds: float = 0.0
    unchanged: bool = False
    dry_run: bool = False


@dataclass
class Tally:
    """The blobs by what became of them, filled in by several threads (appending to a list is atomic)."""

    mounted: list[Descriptor] = field(default_factory=list)
    skipped: list[Descriptor] = field(default_factory=list)
    sent: list[Descriptor] = field(default_factory=list)

    def add(self, outcome: str, blob: Descriptor) -> None:
        """Note what became of a blob."""
        getattr(self, outcome).append(blob)
