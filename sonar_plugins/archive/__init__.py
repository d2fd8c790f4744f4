"""Images in a tar file: `oci-archive:FILE:TAG`, a layout in a tar, and `docker-archive:FILE:NAME:TAG`, which
`docker save` writes and `docker load` reads."""

from __future__ import annotations

from sonar_core.hookspecs import StoreScheme, hookimpl


@hookimpl
def sonar_stores() -> list[StoreScheme]:
    return [
        StoreScheme(
            "oci-archive",
            "sonar_plugins.archive.store:open_oci",
            "an OCI image layout in a tar: oci-archive:FILE[:TAG]",
        ),
        StoreScheme(
            "docker-archive",
            "sonar_plugins.archive.store:open_docker",
            "what `docker save` and `docker load` use: docker-archive:FILE[:NAME:TAG]",
        ),
    ]
