"""When an image was made: the `created` of its config, or of its annotations (image-spec, config.md)."""

from __future__ import annotations

from datetime import UTC, datetime

from sonar_core.client import Client
from sonar_core.content import Descriptor
from sonar_core.errors import Missing
from sonar_core.manifest import Manifest
from sonar_core.platforms import Platform, choose
from sonar_core.strict_json import loads

_ANNOTATION = "org.opencontainers.image.created"


def created_of(client: Client, path: str, reference: str) -> tuple[Manifest, datetime | None]:
    """The manifest at `reference`, and when it was made; of an index, the entry for this platform, else the first."""
    manifest = client.endpoint("manifests").get(path, reference)
    image = manifest
    if manifest.is_index:
        stated = parse_time(manifest.annotations.get(_ANNOTATION))
        if stated or not manifest.manifests:
            return manifest, stated
        image = client.endpoint("manifests").get(path, str(_entry(manifest).digest))
    config = image.config
    if config is None or config.size > client.settings.manifest_bytes or "json" not in config.media_type:
        return manifest, parse_time(image.annotations.get(_ANNOTATION))
    raw = b"".join(client.endpoint("blobs").get(path, config.digest, size=config.size))
    document = loads(raw, what=f"config {config.digest}")
    created = document.get("created") if isinstance(document, dict) else None
    return manifest, parse_time(created) or parse_time(image.annotations.get(_ANNOTATION))


def _entry(index: Manifest) -> Descriptor:
    try:
        return choose(index.manifests, Platform.local())
    except Missing:
        return index.manifests[0]


def parse_time(text: object) -> datetime | None:
    """An RFC 3339 time, with up to nine digits of a second; None for anything else."""
    if not isinstance(text, str) or len(text) > 64:
        return None
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
