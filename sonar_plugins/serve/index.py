"""The index of a repository: which content is a manifest, and which tag names it. An OCI `index.json`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sonar_core import strict_json
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import BadReference, ContentError
from sonar_core.media_types import OCI_INDEX
from sonar_core.reference import check_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class Index:
    """Manifests by digest, tags by name. It never changes: the methods return another one.

    On disk a manifest stands once for each of its tags, with the tag as `org.opencontainers.image.ref.name`
    (image-spec, image-layout.md), and once without where it has none. `other` are the members of the document
    that are not ours: they are kept as they were.
    """

    manifests: Mapping[Digest, Descriptor] = field(default_factory=dict)
    tags: Mapping[str, Digest] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def sorted_tags(self) -> list[str]:
        """The tags in lexical (ASCII) order."""
        return sorted(self.tags)

    def resolve(self, reference: str | Digest) -> Descriptor | None:
        """The manifest of a tag or a digest."""
        digest = self.tags.get(reference) if isinstance(reference, str) else reference
        return self.manifests.get(digest) if digest else None

    def with_manifest(self, manifest: Descriptor, tags: Iterable[str] = ()) -> Index:
        """Add or replace a manifest, and let the tags name it."""
        return dataclasses.replace(
            self,
            manifests={**self.manifests, manifest.digest: manifest},
            tags={**self.tags, **dict.fromkeys(tags, manifest.digest)},
        )

    def without_tag(self, tag: str) -> Index:
        """Take a tag away; its manifest stays."""
        return dataclasses.replace(self, tags={t: d for t, d in self.tags.items() if t != tag})

    def without_manifest(self, digest: Digest) -> Index:
        """Take a manifest away, and every tag that names it."""
        return dataclasses.replace(
            self,
            manifests={d: m for d, m in self.manifests.items() if d != digest},
            tags={t: d for t, d in self.tags.items() if d != digest},
        )

    def to_json(self) -> bytes:
        """The document `index.json`."""
        entries = []
        for tag, digest in self.tags.items():
            entry = self.manifests[digest].to_json()
            entry["annotations"] = {**entry.get("annotations", {}), REF_NAME: tag}
            entries.append(entry)
        tagged = set(self.tags.values())
        entries += [m.to_json() for d, m in self.manifests.items() if d not in tagged]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, **self.other, "manifests": entries}
        return json.dumps(document).encode()

    @classmethod
    def from_json(cls, data: bytes, *, what: str) -> Index:
        """Read `index.json`. A ref.name that is no tag (a full name, say) is passed over, its manifest kept.

        Raises `ContentError` where the document is damaged; `what` names it in the message.
        """
        document = strict_json.loads(data, what=what)
        entries = document.get("manifests") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise ContentError(f"{what} is not an OCI image index")
        manifests: dict[Digest, Descriptor] = {}
        tags: dict[str, Digest] = {}
        for position, entry in enumerate(entries):
            descriptor = Descriptor.from_json(entry, what=f"{what}: manifests[{position}]")
            annotations = dict(descriptor.annotations)
            name = annotations.pop(REF_NAME, None)
            manifests[descriptor.digest] = dataclasses.replace(descriptor, annotations=annotations)
            if name is not None and is_tag(name):
                tags[name] = descriptor.digest
        other = {key: value for key, value in document.items() if key != "manifests"}
        return cls(manifests, tags, other)


def is_tag(text: str) -> bool:
    """Whether it has the form of a tag."""
    try:
        check_tag(text)
    except BadReference:
        return False
    return True
