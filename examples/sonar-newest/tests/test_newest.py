"""The plugin on an embedded registry: as a library, and through the program."""

from __future__ import annotations

import json

import pytest
import sonar_newest

from sonar_core import Client, Digest, Manifest, Missing
from sonar_core.media_types import OCI_CONFIG, OCI_MANIFEST
from sonar_core.sources import BytesSource
from sonar_core.testing.program import Sonar
from sonar_plugins.serve.server import EmbeddedRegistry


def push(client: Client, tag: str, created: str | None) -> Manifest:
    config = json.dumps({"created": created, "tag": tag} if created else {"tag": tag}).encode()
    digest = Digest.of(config)
    client.blobs.put("app", digest, BytesSource(config), len(config))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": str(digest), "size": len(config)},
        "layers": [],
    }
    manifest = Manifest.parse(json.dumps(document).encode(), OCI_MANIFEST)
    client.manifests.put("app", tag, manifest)
    return manifest


def test_the_newest_is_the_one_that_was_created_last(sonar_registry: EmbeddedRegistry, sonar_plugin_set) -> None:
    plugins = sonar_plugin_set("blobs", "manifests", newest=sonar_newest)
    with Client(sonar_registry.host, plugins=plugins) as client:
        push(client, "a", "2024-05-01T00:00:00Z")
        newest = push(client, "b", "2025-05-01T00:00:00+02:00")
        push(client, "c", None)
        assert client.newest("app").tag == "b"
        assert client.newest("app").digest == newest.digest


def test_without_any_time_it_says_so(sonar_registry: EmbeddedRegistry, sonar_plugin_set) -> None:
    with Client(sonar_registry.host, plugins=sonar_plugin_set("blobs", "manifests", newest=sonar_newest)) as client:
        push(client, "a", None)
        with pytest.raises(Missing, match="says when"):
            client.newest("app")


def test_the_command_is_in_the_group_tag(sonar_client: Client, sonar_registry: EmbeddedRegistry, sonar: Sonar) -> None:
    push(sonar_client, "v1", "2024-05-01T00:00:00Z")
    done = sonar("tag", "newest", f"{sonar_registry.host}/app", "-o", "json")
    assert done.code == 0, done.stderr
    assert done.json["tag"] == "v1"
    assert done.json["created"] == "2024-05-01T00:00:00+00:00"
