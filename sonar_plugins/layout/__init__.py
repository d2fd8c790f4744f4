"""OCI image layouts: images in a directory, as `oci:DIR:TAG` (image-spec, image-layout.md)."""

from __future__ import annotations

from sonar_core.hookspecs import StoreScheme, hookimpl


@hookimpl
def sonar_stores() -> list[StoreScheme]:
    return [StoreScheme("oci", "sonar_plugins.layout.store:open_layout", "an OCI image layout: oci:DIR[:TAG]")]
