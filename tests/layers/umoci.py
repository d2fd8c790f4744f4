"""What umoci, which no one here wrote, unpacks of layers."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from sonar_core.content import Digest
from tests.support.processes import require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TYPES = "application/vnd.oci.image."


def unpack(archives: Sequence[bytes], directory: Path) -> Path:
    """The root file system that umoci makes of the archives, the lowest first, in a new directory."""
    program = require("umoci")
    layout = directory / "layout"
    write_layout(archives, layout)
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    command = [program, "unpack", *rootless, "--image", f"{layout}:image", str(directory / "bundle")]
    subprocess.run(command, check=True, capture_output=True)
    return directory / "bundle" / "rootfs"


def write_layout(archives: Sequence[bytes], layout: Path) -> None:
    """An OCI layout with one image, named `image`, of these layers."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = Digest.of(data)
        (blobs / digest.hex).write_bytes(data)
        return {"mediaType": _TYPES + media_type, "digest": str(digest), "size": len(data)}

    layers = [put(gzip.compress(archive, 1), "layer.v1.tar+gzip") for archive in archives]
    diff_ids = [str(Digest.of(archive)) for archive in archives]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": _TYPES + "manifest.v1+json",
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": layers,
    }
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "image"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
