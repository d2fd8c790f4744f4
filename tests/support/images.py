"""Small real images with the same bytes every time: OCI and Docker, one platform and several."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Kind = Literal["oci", "docker"]

_TYPES: dict[Kind, dict[str, str]] = {
    "oci": {
        "manifest": "application/vnd.oci.image.manifest.v1+json",
        "index": "application/vnd.oci.image.index.v1+json",
        "config": "application/vnd.oci.image.config.v1+json",
        "layer": "application/vnd.oci.image.layer.v1.tar",
        "layer+gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    },
    "docker": {
        "manifest": "application/vnd.docker.distribution.manifest.v2+json",
        "index": "application/vnd.docker.distribution.manifest.list.v2+json",
        "config": "application/vnd.docker.container.image.v1+json",
        "layer": "application/vnd.docker.image.rootfs.diff.tar",
        "layer+gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    },
}


def sha256(data: bytes) -> str:
    """`sha256:…` of the bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def noise(size: int, seed: int = 0) -> bytes:
    """That many bytes that don't compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)


@dataclass(frozen=True)
class Content:
    """Bytes with a media type."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        return sha256(self.data)

    def descriptor(self, **more: Any) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data), **more}

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass(frozen=True)
class Layer:
    """A layer and the digest of its tar."""

    content: Content
    diff_id: str


@dataclass(frozen=True)
class Image:
    """A manifest and what it names. An index has the images in `children` and no blobs of its own."""

    manifest: Content
    blobs: tuple[Content, ...] = ()
    children: tuple[Image, ...] = ()
    platform: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return self.manifest.digest

    def all_blobs(self) -> Iterator[Content]:
        """Every config and layer, those of the children first."""
        for child in self.children:
            yield from child.all_blobs()
        yield from self.blobs

    def all_manifests(self) -> Iterator[Content]:
        """Every manifest, children before parents."""
        for child in self.children:
            yield from child.all_manifests()
        yield self.manifest


def tar(files: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """A tar with these regular files, or these entries exactly."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def layer(files: Mapping[str, bytes | tarfile.TarInfo], *, kind: Kind = "oci", compress: bool = True) -> Layer:
    """A layer with these files, gzipped unless told otherwise."""
    plain = tar(files)
    data = gzip.compress(plain, mtime=0) if compress else plain
    return Layer(Content(_TYPES[kind]["layer+gzip" if compress else "layer"], data), sha256(plain))


def image(
    *layers: Layer,
    platform: str = "linux/amd64",
    kind: Kind = "oci",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An image of these layers, or of one small layer. `kind` is its manifest's; give layers of the same
    kind."""
    layers = layers or (layer({"hello.txt": f"hello from {platform}\n".encode()}, kind=kind),)
    names = ("os", "architecture", "variant")
    described = dict(zip(names, platform.split("/"), strict=False))
    config = {
        "created": "2024-01-02T03:04:05Z",
        **described,
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/hello.txt"], "Labels": dict(labels or {})},
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
        "history": [{"created": "2024-01-02T03:04:05Z", "created_by": "test"} for _ in layers],
    }
    types = _TYPES[kind]
    settings = Content(types["config"], json.dumps(config).encode())
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": types["manifest"],
        "config": settings.descriptor(),
        "layers": [each.content.descriptor() for each in layers],
    }
    if annotations:
        manifest["annotations"] = dict(annotations)
    contents = (settings, *(each.content for each in layers))
    return Image(Content(types["manifest"], json.dumps(manifest, indent=3).encode()), contents, (), described)


def index(*images: Image, kind: Kind = "oci", annotations: Mapping[str, str] | None = None) -> Image:
    """An index (a manifest list, for `docker`) of these images, or of linux/amd64 and linux/arm64/v8."""
    images = images or tuple(image(platform=name, kind=kind) for name in ("linux/amd64", "linux/arm64/v8"))
    entries = [each.manifest.descriptor(**({"platform": each.platform} if each.platform else {})) for each in images]
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": _TYPES[kind]["index"],
        "manifests": entries,
    }
    if annotations:
        document["annotations"] = dict(annotations)
    return Image(Content(_TYPES[kind]["index"], json.dumps(document, indent=3).encode()), (), images)


def write_layout(directory: Path, images: Mapping[str, Image]) -> Path:
    """An OCI image layout (image-spec, "OCI Image Layout") with these images under their tags."""
    store = directory / "blobs" / "sha256"
    store.mkdir(parents=True, exist_ok=True)
    for each in images.values():
        for content in (*each.all_blobs(), *each.all_manifests()):
            (store / content.digest.partition(":")[2]).write_bytes(content.data)
    entries = [
        each.manifest.descriptor(annotations={"org.opencontainers.image.ref.name": tag}) for tag, each in images.items()
    ]
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return directory


def write_dir(directory: Path, what: Image) -> Path:
    """The folder that skopeo calls `dir:`: it takes images of any kind, Docker's too."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "version").write_text("Directory Transport Version: 1.1\n")
    for content in what.all_blobs():
        (directory / content.digest.partition(":")[2]).write_bytes(content.data)
    for child in what.children:
        (directory / f"{child.digest.partition(':')[2]}.manifest.json").write_bytes(child.manifest.data)
    (directory / "manifest.json").write_bytes(what.manifest.data)
    return directory
