"""Content to push: blobs and manifests of every kind that the specs allow, with fresh bytes each time."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.images import tar

if TYPE_CHECKING:
    from tests.serve.conftest import Answer, Caller

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SBOM = "application/vnd.example.sbom.v1"
SIGNATURE = "application/vnd.example.signature.v1"


def digest(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@dataclass
class Set:
    """Blobs and manifests that belong together; manifests in the order in which they have to be pushed."""

    algorithm: str = "sha256"
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    def blob(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        name = digest(data, self.algorithm)
        self.blobs[name] = data
        return {"mediaType": media_type, "digest": name, "size": len(data), **more}

    def layer(self, *, compress: bool = True) -> dict[str, Any]:
        data = tar({"number.txt": os.urandom(24).hex().encode()})
        return self.blob(gzip.compress(data) if compress else data, LAYER_GZIP if compress else LAYER)

    def config(self, architecture: str = "amd64", **more: Any) -> dict[str, Any]:
        document = {"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}, **more}
        return self.blob(json.dumps(document).encode(), CONFIG)

    def manifest(self, document: dict[str, Any], media_type: str, *, tag: str | None = None) -> dict[str, Any]:
        raw = json.dumps({"schemaVersion": 2, "mediaType": media_type, **document}, indent=1).encode()
        name = digest(raw, self.algorithm)
        self.manifests[name] = raw
        self.types[name] = media_type
        if tag:
            self.tags[tag] = name
        return {"mediaType": media_type, "digest": name, "size": len(raw)}

    def image(self, *, tag: str | None = None, layers: int = 2, compress: bool = True, **more: Any) -> dict[str, Any]:
        document = {
            "config": self.config(),
            "layers": [self.layer(compress=compress) for _ in range(layers)],
            **more,
        }
        return self.manifest(document, IMAGE, tag=tag)

    def index(self, *, tag: str | None = None, platforms: tuple[str, ...] = ("amd64", "arm64"), **more: Any) -> Any:
        entries = [
            {**self.image(), "platform": {"os": "linux", "architecture": architecture}} for architecture in platforms
        ]
        return self.manifest({"manifests": entries, **more}, INDEX, tag=tag)

    def artifact(self, artifact_type: str, *, tag: str | None = None, **more: Any) -> dict[str, Any]:
        document = {
            "artifactType": artifact_type,
            "config": self.blob(b"{}", EMPTY),
            "layers": [self.blob(os.urandom(64), "application/octet-stream")],
            "annotations": {"org.example.unique": os.urandom(8).hex()},
            **more,
        }
        return self.manifest(document, IMAGE, tag=tag)


def push_blob(call: Caller, repository: str, name: str, data: bytes) -> None:
    answer = call("POST", f"/v2/{repository}/blobs/uploads/?digest={name}", data)
    assert answer.status == 201, answer.body


def put_manifest(call: Caller, repository: str, reference: str, raw: bytes, media_type: str = IMAGE) -> Answer:
    return call("PUT", f"/v2/{repository}/manifests/{reference}", raw, {"Content-Type": media_type})


def push(call: Caller, repository: str, content: Set) -> None:
    """Everything: the blobs, the manifests by digest, the tags."""
    for name, data in content.blobs.items():
        push_blob(call, repository, name, data)
    for name, raw in content.manifests.items():
        assert put_manifest(call, repository, name, raw, content.types[name]).status == 201
    for tag, name in content.tags.items():
        assert put_manifest(call, repository, tag, content.manifests[name], content.types[name]).status == 201
