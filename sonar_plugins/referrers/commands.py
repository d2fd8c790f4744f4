"""`sonar referrer ls`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from sonar_core.cli.arguments import ReferenceArgument
from sonar_core.command import Connect
from sonar_core.content import Descriptor
from sonar_plugins.manifests.endpoint import Manifests

from .endpoint import Referrers


def ls(
    reference: ReferenceArgument,
    connect: Connect,
    artifact_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only those of this artifact type.")
    ] = None,
) -> Iterator[Descriptor]:
    """List what refers to a manifest: its signatures, SBOMs, attestations."""
    client, path = connect(reference.registry), reference.repository.path
    digest = reference.digest or Manifests(client).head(path, reference.identifier).digest
    return Referrers(client).list(path, digest, artifact_type=artifact_type)


def referrer_text(descriptor: Descriptor) -> str:
    """Digest and artifact type."""
    return f"{descriptor.digest}  {descriptor.artifact_type or '-'}"
