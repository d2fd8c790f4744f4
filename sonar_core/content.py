"""What content is called: a digest names it; a descriptor names it with its type and size.

Source: OCI image-spec, descriptor.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sonar_core.errors import BadReference, ContentError, IntegrityError
from sonar_core.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from hashlib import _Hash

    from sonar_core.platforms import Platform

#: Algorithm → how many hexadecimal digits (image-spec, descriptor.md, "Registered algorithms").
_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_HEX = "0123456789abcdef"
_EXAMPLE = "a digest looks like sha256:9f86d0…, with 64 lower-case hexadecimal digits"
_LARGEST_SIZE = 2**63 - 1  # an int64, as in every other client


@dataclass(frozen=True, slots=True)
class Digest:
    """The name of content: an algorithm (sha256 or sha512) and a hash in lower-case hexadecimal.

    A Digest that exists is valid: it can be a part of a URL or a path (CVE-2024-3727). Raises BadReference.
    """

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        length = _hex_length(self.algorithm)
        if len(self.hex) != length:
            raise BadReference(
                f"{quoted(self.hex)} has {len(self.hex)} digits, a {self.algorithm} digest has {length}",
                hint=_EXAMPLE,
            )
        if self.hex.strip(_HEX):
            raise BadReference(f"{quoted(self.hex)} is not lower-case hexadecimal", hint=_EXAMPLE)

    @classmethod
    def parse(cls, text: str) -> Digest:
        """`sha256:…` or `sha512:…`. Raises BadReference."""
        algorithm, colon, digits = text.partition(":")
        if not colon:
            raise BadReference(f"{quoted(text)} is not a digest: there is no algorithm", hint=_EXAMPLE)
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of these bytes. Raises BadReference for an algorithm that is not supported."""
        import hashlib  # loads OpenSSL, which a start-up can do without

        _hex_length(algorithm)
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def hasher(self) -> _Hash:
        """A new `hashlib` object of this algorithm: content is right if its `hexdigest()` is `self.hex`."""
        import hashlib

        return hashlib.new(self.algorithm)

    def to_json(self) -> str:
        """As a text."""
        return str(self)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content: `size` in bytes; `data` is the content itself where a manifest embeds it.

    Equal when all fields are; hashable (annotations are left out of the hash).
    """

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    artifact_type: str | None = None
    urls: tuple[str, ...] = ()
    data: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_json(cls, obj: object, *, what: str = "descriptor") -> Descriptor:
        """The descriptor that a JSON object holds; members that the spec does not name are dropped.

        `what` names it in errors, as in "layers[3]". Raises ContentError, and IntegrityError where `data` has not
        the digest or the size that stands beside it.
        """
        if not isinstance(obj, dict):
            raise ContentError(f"{what} is not an object but {quoted(obj)}")
        platform, artifact_type = obj.get("platform"), obj.get("artifactType")
        descriptor = cls(
            media_type=_media_type(obj.get("mediaType"), f"{what}.mediaType"),
            digest=_digest(obj.get("digest"), f"{what}.digest"),
            size=_size(obj.get("size"), f"{what}.size"),
            annotations=annotations_from_json(obj.get("annotations"), what=f"{what}.annotations"),
            platform=None if platform is None else _platform(platform, what=f"{what}.platform"),
            artifact_type=artifact_type_from_json(artifact_type, what=f"{what}.artifactType"),
            urls=_strings(obj.get("urls"), f"{what}.urls"),
            data=_data(obj.get("data"), f"{what}.data"),
        )
        if descriptor.data is not None:
            _check_data(descriptor.data, descriptor, what)
        return descriptor

    def to_json(self) -> dict[str, Any]:
        """The JSON object, members in the order of the spec's Go types, empty ones left out."""
        obj: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.urls:
            obj["urls"] = list(self.urls)
        if self.annotations:
            obj["annotations"] = dict(self.annotations)
        if self.data is not None:
            from base64 import b64encode

            obj["data"] = b64encode(self.data).decode("ascii")
        if self.platform is not None:
            obj["platform"] = self.platform.to_json()
        if self.artifact_type is not None:
            obj["artifactType"] = self.artifact_type
        return obj


def annotations_from_json(value: object, *, what: str) -> dict[str, str]:
    """Annotations: strings by string (image-spec, annotations.md); null is none. Raises ContentError."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ContentError(f"{what} is not an object but {quoted(value)}")
    for key, text in value.items():
        if not isinstance(text, str):
            raise ContentError(f"{what}: {quoted(key)} is not a string but {quoted(text)}")
    return dict(value)


def artifact_type_from_json(value: object, *, what: str) -> str | None:
    """An `artifactType`; null and the empty string are none. Raises ContentError."""
    return None if value is None or value == "" else _media_type(value, what)


def _hex_length(algorithm: str) -> int:
    if algorithm not in _HEX_LENGTH:
        known = " and ".join(_HEX_LENGTH)
        message = f"the digest algorithm {quoted(algorithm)} is not supported, only {known}"
        raise BadReference(message, hint=_EXAMPLE)
    return _HEX_LENGTH[algorithm]


def _platform(value: object, what: str) -> Platform:
    from sonar_core.platforms import Platform  # most descriptors name none

    return Platform.from_json(value, what=what)


def _media_type(value: object, what: str) -> str:
    # Not held to RFC 6838: registries hold types that break it. It may become part of a header, so it is one line.
    if not isinstance(value, str) or not value.strip() or not (value.isascii() and value.isprintable()):
        raise ContentError(f"{what} is not a media type but {quoted(value)}")
    return value


def _digest(value: object, what: str) -> Digest:
    if not isinstance(value, str):
        raise ContentError(f"{what} is not a string but {quoted(value)}")
    try:
        return Digest.parse(value)
    except BadReference as error:
        raise ContentError(f"{what}: {error.message}") from None


def _size(value: object, what: str) -> int:
    if type(value) is not int:  # isinstance would take true for a number
        raise ContentError(f"{what} is not a whole number of bytes but {quoted(value)}")
    if not 0 <= value <= _LARGEST_SIZE:
        raise ContentError(f"{what} is {quoted(value)}, which is not between 0 and 2^63-1")
    return value


def _strings(value: object, what: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ContentError(f"{what} is not an array but {quoted(value)}")
    for item in value:
        if not isinstance(item, str):
            raise ContentError(f"{what} holds not only strings but {quoted(item)}")
    return tuple(value)


def _data(value: object, what: str) -> bytes | None:
    if value is None:
        return None
    from base64 import b64decode

    try:
        return b64decode(value if isinstance(value, str) else "?", validate=True)
    except ValueError:
        raise ContentError(f"{what} is not base64 (RFC 4648, section 4) but {quoted(value, 40)}") from None


def _check_data(data: bytes, descriptor: Descriptor, what: str) -> None:
    """image-spec, descriptor.md: data "SHOULD be verified against the digest and size"."""
    if len(data) != descriptor.size:
        raise IntegrityError(f"{what}.data has {len(data)} bytes, its size says {descriptor.size}")
    actual = Digest.of(data, descriptor.digest.algorithm)
    if actual != descriptor.digest:
        raise IntegrityError(f"{what}.data has digest {actual}, its digest says {descriptor.digest}")
