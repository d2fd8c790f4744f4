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
class Entry:
    """A manifest as it stands in `index.json`: with one of its tags, or with none."""

    manifest: Descriptor
    tag: str | None = None

    @cached_property
    def text(self) -> str:
        """Its JSON. Kept, for the whole document is written at every push."""
        document = self.manifest.to_json()
        if self.tag is not None:
            document["annotations"] = {**self.manifest.annotations, REF_NAME: self.tag}
        return json.dumps(document)


@dataclass(frozen=True)
class Index:
    """Manifests by digest and by tag. It never changes: the methods return another one.

    On disk a manifest stands once for each of its tags, with the tag as `org.opencontainers.image.ref.name`
    (image-spec, image-layout.md), and once without where it has none. `other` are the members of the document
    that are not ours: they are kept as they were.
    """

    manifests: Mapping[Digest, Entry] = field(default_factory=dict)
    tags: Mapping[str, Entry] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def sorted_tags(self) -> list[str]:
        """The tags in lexical (ASCII) order."""
        return sorted(self.tags)

    def resolve(self, reference: str | Digest) -> Descriptor | None:
        """The manifest of a tag or a digest."""
        entry = self.tags.get(reference) if isinstance(reference, str) else self.manifests.get(reference)
        return entry.manifest if entry else None

    def with_manifest(self, manifest: Descriptor, tags: Iterable[str] = ()) -> Index:
        """Add or replace a manifest, and let the tags name it."""
        known = self.resolve(manifest.digest)
        if known is not None and known != manifest:  # of another type now, under its older tags too
            tags = [*tags, *(tag for tag, entry in self.tags.items() if entry.manifest.digest == manifest.digest)]
        return dataclasses.replace(
            self,
            manifests={**self.manifests, manifest.digest: Entry(manifest)},
            tags={**self.tags, **{tag: Entry(manifest, tag) for tag in tags}},
        )

    def without_tag(self, tag: str) -> Index:
        """Take a tag away; its manifest stays."""
        return dataclasses.replace(self, tags={key: entry for key, entry in self.tags.items() if key != tag})

    def without_manifest(self, digest: Digest) -> Index:
        """Take a manifest away, and every tag that names it."""
        return dataclasses.replace(
            self,
            manifests={key: entry for key, entry in self.manifests.items() if key != digest},
            tags={key: entry for key, entry in self.tags.items() if entry.manifest.digest != digest},
        )

    def to_json(self) -> bytes:
        """The document `index.json`."""
        tagged = {entry.manifest.digest.hex for entry in self.tags.values()}
        texts = [entry.text for entry in self.tags.values()]
        texts += [entry.text for digest, entry in self.manifests.items() if digest.hex not in tagged]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, **self.other, "manifests": []}
        return json.dumps(document).removesuffix("]}").encode() + ", ".join(texts).encode() + b"]}"

    @classmethod
    def from_json(cls, data: bytes, *, what: str) -> Index:
        """Read `index.json`. A ref.name that is no tag (a full name, say) is passed over, its manifest kept.

        Raises `ContentError` where the document is damaged; `what` names it in the message.
        """
        document = strict_json.loads(data, what=what)
        entries = document.get("manifests") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise ContentError(f"{what} is not an OCI image index")
        manifests: dict[Digest, Entry] = {}
        tags: dict[str, Entry] = {}
        for position, obj in enumerate(entries):
            descriptor = Descriptor.from_json(obj, what=f"{what}: manifests[{position}]")
            annotations = dict(descriptor.annotations)
            name = annotations.pop(REF_NAME, None)
            manifest = dataclasses.replace(descriptor, annotations=annotations)
            manifests[manifest.digest] = Entry(manifest)
            if name is not None and is_tag(name):
                tags[name] = Entry(manifest, name)
        other = {key: value for key, value in document.items() if key != "manifests"}
        return cls(manifests, tags, other)


def is_tag(text: str) -> bool:
    """Whether it has the form of a tag."""
    try:
        check_tag(text)
    except BadReference:
        return False
    return True
