"""Manifests and indexes: the exact bytes, their digest, and what they point to.

A document is refused where two readers could see two different things in it (CVE-2021-41190).
Sources: OCI image-spec, manifest.md and image-index.md; Docker "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sonar_core import media_types
from sonar_core.content import Descriptor, Digest, annotations_from_json, artifact_type_from_json
from sonar_core.errors import ContentError, IntegrityError
from sonar_core.media_types import (
    DOCKER_SCHEMA1,
    DOCKER_SCHEMA1_SIGNED,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
)
from sonar_core.quoting import quoted
from sonar_core.strict_json import loads

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Content types that say nothing: what storage and proxies put where they know no better.
_GENERIC = frozenset({"", "application/json", "application/octet-stream", "binary/octet-stream", "text/plain"})
_SCHEMA1 = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})
#: The members that decide what a document is, by what Go's reader, which does not tell case apart, takes for them.
_TELLING = {
    name.casefold(): name
    for name in ("mediaType", "schemaVersion", "config", "layers", "manifests", "fsLayers", "subject")
}


@dataclass(frozen=True)
class Manifest:
    """An image manifest or an index. `raw` are the bytes as they came, `digest` is computed over them."""

    raw: bytes = field(repr=False)
    media_type: str
    digest: Digest

    @classmethod
    def parse(cls, raw: bytes, content_type: str | None = None, expected: Digest | None = None) -> Manifest:
        """The manifest in `raw`, checked from end to end.

        `content_type` is the header's value, parameters and all; `expected` is the digest that was asked for.
        Raises IntegrityError for another digest, ContentError for what is not a sound manifest or index.
        """
        digest = Digest.of(raw, expected.algorithm if expected else "sha256")
        if expected is not None and digest != expected:
            raise IntegrityError(f"the manifest that came has digest {digest}, asked for was {expected}")
        what = f"manifest {digest}"
        document = loads(raw, what=what)
        if not isinstance(document, dict):
            raise ContentError(f"{what} is not an object but {quoted(document)}")
        manifest = cls(raw, _media_type(document, content_type, what), digest)
        manifest.__dict__["json"] = document
        manifest._read_all()
        return manifest

    def _read_all(self) -> None:
        """Every part is read, and kept, so that a manifest that was parsed has no error to raise later."""
        _ = (self.config, self.layers, self.manifests, self.subject, self.artifact_type, self.annotations)

    @cached_property
    def json(self) -> Mapping[str, Any]:
        """The document."""
        document: dict[str, Any] = loads(self.raw, what=self._what)
        return document

    @property
    def is_index(self) -> bool:
        """Whether this points to manifests, and not to a config and layers."""
        return media_types.is_index(self.media_type)

    @cached_property
    def config(self) -> Descriptor | None:
        """The config of an image manifest; None in an index."""
        return None if self.is_index else self._descriptor(self.json.get("config"), "config")

    @cached_property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers of an image manifest, the lowest first; none in an index."""
        return self._descriptors("layers")

    @cached_property
    def manifests(self) -> tuple[Descriptor, ...]:
        """The entries of an index, in its order; none in an image manifest."""
        return self._descriptors("manifests")

    @cached_property
    def subject(self) -> Descriptor | None:
        """The manifest that this one is about, as a signature is about an image."""
        subject = self.json.get("subject")
        return None if subject is None else self._descriptor(subject, "subject")

    @cached_property
    def artifact_type(self) -> str | None:
        """The `artifactType` that the document itself states."""
        return artifact_type_from_json(self.json.get("artifactType"), what=f"{self._what}: artifactType")

    @cached_property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of the document."""
        return annotations_from_json(self.json.get("annotations"), what=f"{self._what}: annotations")

    def children(self) -> tuple[Descriptor, ...]:
        """What this needs to be complete: the entries of an index, or the config and then the layers."""
        return self.manifests if self.config is None else (self.config, *self.layers)

    def descriptor(self) -> Descriptor:
        """The descriptor of this document itself."""
        return Descriptor(self.media_type, self.digest, len(self.raw))

    @property
    def _what(self) -> str:
        return f"manifest {self.digest}"

    def _descriptor(self, value: object, name: str) -> Descriptor:
        return Descriptor.from_json(value, what=f"{self._what}: {name}")

    def _descriptors(self, name: str) -> tuple[Descriptor, ...]:
        values = self.json.get(name)
        if values is None:  # Go writes an empty list as null
            return ()
        if not isinstance(values, list):
            raise ContentError(f"{self._what}: {name} is not an array but {quoted(values)}")
        return tuple(self._descriptor(value, f"{name}[{position}]") for position, value in enumerate(values))


def _media_type(document: dict[str, Any], content_type: str | None, what: str) -> str:
    """What the document is. The header, its `mediaType` and its members must agree. Raises ContentError."""
    for name in document:
        if (exact := _TELLING.get(name.casefold(), name)) != name:
            raise ContentError(f"{what} writes {quoted(name)} for '{exact}', which clients read differently")
    header = media_types.essence(content_type or "")
    header = "" if header in _GENERIC else header
    stated = "" if document.get("mediaType") is None else document["mediaType"]
    if not isinstance(stated, str):
        raise ContentError(f"{what}: mediaType is not a string but {quoted(stated)}")
    _check_schema(document, {header, stated}, what)
    if header and stated and header != stated:
        raise ContentError(f"{what} came as {quoted(header)} but calls itself {quoted(stated)} (CVE-2021-41190)")
    if not stated and header.startswith("application/vnd.docker."):
        raise ContentError(f"{what} came as {quoted(header)} but has no mediaType, which Docker's format requires")
    index_like, image_like = "manifests" in document, "config" in document or "layers" in document
    if index_like and image_like:
        raise ContentError(f"{what} is both a manifest and an index (CVE-2021-41190)")
    media_type = header or stated
    if not media_type and (index_like or image_like):
        media_type = OCI_INDEX if index_like else OCI_MANIFEST
    if media_type not in MANIFEST_TYPES:
        kind = quoted(media_type) if media_type else "JSON of an unknown kind"
        raise ContentError(f"{what} is neither an image manifest nor an index but {kind}")
    if image_like if media_types.is_index(media_type) else index_like:
        raise ContentError(f"{what} has the members of another type than {media_type} (CVE-2021-41190)")
    return media_type


def _check_schema(document: dict[str, Any], types: set[str], what: str) -> None:
    version = document.get("schemaVersion", 2)
    if types & _SCHEMA1 or "fsLayers" in document or (version == 1 and version is not True):
        raise ContentError(
            f"{what} is Docker's schema 1, which is obsolete and not supported",
            hint="push the image again with Docker 1.10 or later",
        )
    if type(version) is not int or version != 2:
        raise ContentError(f"{what}: schemaVersion is {quoted(version)}, not 2")
