"""Images of every kind that a registry holds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.support.images import Content, Image, Layer, image, index, layer, noise, sha256, tar

_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


def oci() -> Image:
    """An OCI image of three layers."""
    return image(*(layer({f"file{number}": noise(20_000, number)}) for number in range(3)))


def docker() -> Image:
    """A Docker image, manifest version 2, schema 2."""
    return image(layer({"a": noise(10_000)}, kind="docker"), kind="docker")


def many_platforms() -> Image:
    """An index of 8 platforms that share two layers."""
    shared = (layer({"base": noise(30_000, 1)}), layer({"more": noise(30_000, 2)}))
    names = ("amd64", "386", "arm/v6", "arm/v7", "arm64/v8", "ppc64le", "s390x", "riscv64")
    return index(*(image(*shared, layer({"own": name.encode()}), platform=f"linux/{name}") for name in names))


def docker_list() -> Image:
    """A Docker manifest list."""
    return index(kind="docker")


def artifact() -> Image:
    """An artifact: an empty config, a layer that is no tar, an artifactType (image-spec, manifest.md)."""
    config = Content("application/vnd.oci.empty.v1+json", b"{}")
    blob = Content("application/vnd.example.report+json", b'{"report": true}')
    return _manifest(config, [blob], artifactType="application/vnd.example.report")


def empty_layer() -> Image:
    """An image with a layer of no bytes, which is allowed."""
    nothing = Layer(Content(_OCI_LAYER, b""), sha256(b""))
    return image(layer({"a": b"a"}), nothing)


def huge_manifest() -> Image:
    """A manifest of nearly 4 MiB, the most that registries take."""
    made = image()
    document = made.manifest.json
    document["annotations"] = {f"org.example.{number}": "x" * 1000 for number in range(4000)}
    return replace(made, manifest=Content(made.manifest.media_type, json.dumps(document).encode()))


def zstd() -> Image:
    """Layers packed with zstd (RFC 8878): one frame with the content stored raw."""
    plain = tar({"z": noise(5000)})
    packed = _raw_zstd(plain)
    return image(Layer(Content(f"{_OCI_LAYER}+zstd", packed), sha256(plain)))


def signature(subject: Image, number: int = 0) -> Image:
    """An artifact about `subject`."""
    config = Content("application/vnd.oci.empty.v1+json", b"{}")
    blob = Content("application/vnd.example.signature", f"signed {number}".encode())
    return _manifest(
        config, [blob], artifactType="application/vnd.example.signature", subject=subject.manifest.descriptor()
    )


def _manifest(config: Content, layers: list[Content], **more: Any) -> Image:
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor(),
        "layers": [each.descriptor() for each in layers],
        **more,
    }
    manifest = Content("application/vnd.oci.image.manifest.v1+json", json.dumps(document).encode())
    return Image(manifest, (config, *layers))


def _raw_zstd(data: bytes) -> bytes:
    """A zstd frame of raw blocks (RFC 8878, sections 3.1.1 and 3.1.1.2)."""
    frame = bytearray(b"\x28\xb5\x2f\xfd")
    frame += bytes([0b10100000]) + len(data).to_bytes(4, "little")  # single segment, content size of 4 bytes
    blocks = [data[start : start + 100_000] for start in range(0, len(data), 100_000)] or [b""]
    for position, block in enumerate(blocks):
        last = position == len(blocks) - 1
        frame += (len(block) << 3 | last).to_bytes(3, "little") + block
    return bytes(frame)


ALL = {
    "oci": oci,
    "docker": docker,
    "index of 8": many_platforms,
    "manifest list": docker_list,
    "artifact": artifact,
    "empty layer": empty_layer,
    "4 MiB manifest": huge_manifest,
    "zstd": zstd,
}
#: Those that `docker load` can take: images, or an index of them.
LOADABLE = {name: make for name, make in ALL.items() if name != "artifact"}
