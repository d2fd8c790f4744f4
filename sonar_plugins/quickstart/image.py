"""A small real image for two platforms, made of sonar's own sources (OCI image-spec, manifest.md, config.md)."""

from __future__ import annotations

import gzip
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sonar_core
from sonar_core import media_types
from sonar_core.content import Descriptor, Digest
from sonar_core.manifest import Manifest
from sonar_core.platforms import Platform

_CREATED = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Built:
    """An image: its blobs by digest, the manifests of its platforms, and the index over them."""

    blobs: Mapping[Digest, bytes]
    manifests: tuple[Manifest, ...]
    index: Manifest


def build() -> Built:
    """The image: a layer with sonar's sources, which both platforms share, and a small one for each."""
    sources = Path(sonar_core.__file__).parent
    files = {f"opt/sonar/sonar_core/{path.name}": path.read_bytes() for path in sorted(sources.glob("*.py"))}
    shared = _layer(files)
    blobs: dict[Digest, bytes] = {}
    entries = []
    manifests = []
    for architecture in ("amd64", "arm64"):
        own = _layer({"etc/os-release": f"NAME=sonar\nARCHITECTURE={architecture}\n".encode()})
        manifest = _manifest(architecture, [shared, own], blobs)
        manifests.append(manifest)
        descriptor = manifest.descriptor().to_json()
        entries.append({**descriptor, "platform": Platform("linux", architecture).to_json()})
    index = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries}
    return Built(blobs, tuple(manifests), _parse(index, media_types.OCI_INDEX))


@dataclass(frozen=True)
class _Layer:
    compressed: bytes
    diff_id: Digest


def _layer(files: Mapping[str, bytes]) -> _Layer:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(content))
    plain = buffer.getvalue()
    return _Layer(gzip.compress(plain, mtime=0), Digest.of(plain))


def _manifest(architecture: str, layers: list[_Layer], blobs: dict[Digest, bytes]) -> Manifest:
    config = {
        "created": _CREATED,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": ["python3", "-m", "sonar_core.cli"],
            "Env": ["PYTHONPATH=/opt/sonar", f"PYTHON_VERSION={platform.python_version()}"],
            "WorkingDir": "/opt/sonar",
            "Labels": {"org.opencontainers.image.title": "sonar", "org.opencontainers.image.licenses": "Apache-2.0"},
        },
        "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id) for layer in layers]},
        "history": [
            {"created": _CREATED, "created_by": "COPY sonar_core /opt/sonar/sonar_core"},
            {"created": _CREATED, "created_by": "RUN echo $ARCHITECTURE > /etc/os-release"},
        ],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": _store(_encode(config), media_types.OCI_CONFIG, blobs),
        "layers": [_store(layer.compressed, media_types.OCI_LAYER_GZIP, blobs) for layer in layers],
    }
    return _parse(manifest, media_types.OCI_MANIFEST)


def _store(content: bytes, media_type: str, blobs: dict[Digest, bytes]) -> dict[str, Any]:
    digest = Digest.of(content)
    blobs[digest] = content
    return Descriptor(media_type, digest, len(content)).to_json()


def _parse(document: Mapping[str, Any], media_type: str) -> Manifest:
    return Manifest.parse(_encode(document), media_type)


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()
