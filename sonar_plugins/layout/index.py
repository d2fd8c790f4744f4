"""`index.json`: which manifests a layout has, and what they are called (image-spec, image-layout.md).

Members that sonar does not know are kept as they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sonar_core import strict_json
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import ContentError, Missing, UsageError
from sonar_core.media_types import OCI_INDEX
from sonar_core.quoting import quoted
from sonar_core.stores import Name

REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"  # what Docker and containerd write beside the tag
_NAMES = (REF_NAME, FULL_NAME)
_LISTED = 10


@dataclass(frozen=True)
class Entry:
    """One entry of the index: as it was written, and what it says."""

    raw: Mapping[str, Any]
    descriptor: Descriptor

    @property
    def name(self) -> str | None:
        """The tag, or whatever stands in its place."""
        return self.descriptor.annotations.get(REF_NAME)

    @property
    def names(self) -> frozenset[str]:
        """Everything that it can be asked for by."""
        return frozenset(self.descriptor.annotations[key] for key in _NAMES if key in self.descriptor.annotations)

    def called(self, tag: str | None, **more: str) -> Entry:
        """The same manifest under another name, or under none."""
        annotations = {name: text for name, text in self.descriptor.annotations.items() if name not in _NAMES}
        if tag is not None:
            annotations |= {REF_NAME: tag, **more}
        raw = {name: value for name, value in self.raw.items() if name != "annotations"}
        if annotations:
            raw["annotations"] = annotations
        return Entry(raw, replace(self.descriptor, annotations=annotations))


@dataclass(frozen=True)
class Index:
    """The entries, in order. It never changes: the methods return another one."""

    entries: tuple[Entry, ...] = ()
    other: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: bytes, *, what: str) -> Index:
        """Read `index.json`. Raises ContentError where it is damaged; `what` names it in the message."""
        document = strict_json.loads(data, what=what)
        if not isinstance(document, dict):
            raise ContentError(f"{what} is not an object but {quoted(document)}")
        listed = document.get("manifests")
        if listed is None and "manifests" in document:  # Go writes an empty list as null
            listed = []
        if not isinstance(listed, list):
            raise ContentError(f"{what} has no array of manifests")
        entries = tuple(
            Entry(raw, Descriptor.from_json(raw, what=f"{what}: manifests[{position}]"))
            for position, raw in enumerate(listed)
        )
        return cls(entries, {name: value for name, value in document.items() if name != "manifests"})

    def to_json(self) -> bytes:
        """The document."""
        head = {"schemaVersion": 2, "mediaType": OCI_INDEX, **self.other}
        return json.dumps({**head, "manifests": [entry.raw for entry in self.entries]}).encode()

    def tags(self) -> Iterator[str]:
        """The names, each once, in order."""
        yield from dict.fromkeys(entry.name for entry in self.entries if entry.name is not None)

    def find(self, name: Name, *, what: str) -> Entry | None:
        """The entry of that name or digest; without a name, the only one.

        Raises ContentError where a name stands for two things, UsageError where there are several to choose from.
        """
        if isinstance(name, Digest):
            return next((entry for entry in self.entries if entry.descriptor.digest == name), None)
        if name is not None:
            found = [entry for entry in self.entries if name in entry.names]
            if len({entry.descriptor.digest for entry in found}) > 1:
                raise ContentError(
                    f"{what} has two entries with the name {quoted(name)}", hint="name one by its digest"
                )
            return found[0] if found else None
        named = [entry for entry in self.entries if entry.name is not None] or list(self.entries)
        if len({entry.descriptor.digest for entry in named}) > 1:
            raise UsageError(f"{what} has several images: name one", hint=self.offer())
        return named[0] if named else None

    def resolve(self, name: Name, *, what: str) -> Entry:
        """As `find`. Raises Missing where there is none."""
        entry = self.find(name, what=what)
        if entry is None:
            wanted = "no image" if name is None else f"no image {quoted(str(name))}"
            raise Missing(f"{what} has {wanted}", hint=self.offer())
        return entry

    def offer(self) -> str | None:
        """The names that there are, for a hint."""
        tags = [quoted(tag)[1:-1] for tag in self.tags()]
        return f"there are: {', '.join(tags[:_LISTED])}{', …' if len(tags) > _LISTED else ''}" if tags else None

    def with_manifest(self, descriptor: Descriptor, tag: str | None, **more: str) -> Index:
        """Add a manifest, and let `tag` name it; what `tag` named before stays, without a name."""
        known = self.find(descriptor.digest, what="")
        entry = known or Entry(descriptor.to_json(), descriptor)
        if tag is None:
            return self if known else replace(self, entries=(*self.entries, entry))
        rest = self.without_tag(tag)._without_bare(descriptor.digest)
        return replace(rest, entries=(*rest.entries, entry.called(tag, **more)))

    def without_tag(self, tag: str) -> Index:
        """Take a name away. The manifest stays: without a name, if it had no other."""
        kept: list[Entry] = [entry for entry in self.entries if entry.name != tag]
        for entry in self.entries:
            if entry.name == tag and all(other.descriptor.digest != entry.descriptor.digest for other in kept):
                kept.append(entry.called(None))
        return replace(self, entries=tuple(kept))

    def without_manifest(self, digest: Digest) -> Index:
        """Take a manifest away, and every name that it had."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.descriptor.digest != digest))

    def _without_bare(self, digest: Digest) -> Index:
        kept = (entry for entry in self.entries if entry.name is not None or entry.descriptor.digest != digest)
        return replace(self, entries=tuple(kept))
