"""`sonar manifest get`, `head`, `put`, `rm`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sonar_core.cli.arguments import ReferenceArgument, ReferencesArgument
from sonar_core.cli.completion import complete_reference
from sonar_core.cli.platform_option import PlatformOption
from sonar_core.command import Connect, Raw, Report
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import BadReference, ContentError, IntegrityError, Unsupported, UsageError
from sonar_core.manifest import Manifest
from sonar_core.platforms import Platform, choose
from sonar_core.reference import Reference

from .endpoint import Manifests


def parse_exact(text: str) -> Reference:
    """A reference that says itself which tag or digest: what is deleted is never guessed. Raises BadReference."""
    reference = Reference.parse(text, default_tag=None)
    if reference.tag is None and reference.digest is None:
        raise BadReference(f"{text} has neither tag nor digest", hint=f"write {text}:TAG or {text}@DIGEST")
    return reference


ExactReferencesArgument = Annotated[
    list[Reference],
    typer.Argument(
        parser=parse_exact,
        metavar="REF...",
        help="Names with a tag or a digest, as ghcr.io/owner/name:v1.",
        autocompletion=complete_reference,
        show_default=False,
    ),
]


def get(
    references: ReferencesArgument,
    connect: Connect,
    platform: PlatformOption = None,
    raw: Annotated[bool, typer.Option("--raw", help="The exact bytes, not laid out.")] = False,
) -> Raw | Mapping[str, Any] | Iterator[Mapping[str, Any]]:
    """Show manifests and indexes."""
    found = (_get(connect, reference, platform) for reference in references)
    if raw:
        return Raw(manifest.raw for manifest in found)
    return next(found).json if len(references) == 1 else (manifest.json for manifest in found)


def head(
    references: ReferencesArgument, connect: Connect, platform: PlatformOption = None
) -> Descriptor | Iterator[Descriptor]:
    """Show the digests that names have; with `-o json`, type and size too."""
    found = (_head(connect, reference, platform) for reference in references)
    return next(found) if len(references) == 1 else found


def put(
    reference: ReferenceArgument,
    connect: Connect,
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="The manifest; stdin unless given.", show_default=False)
    ] = "-",
    media_type: Annotated[
        str | None,
        typer.Option("--media-type", metavar="TYPE", help="What it is, where it does not say so itself."),
    ] = None,
) -> Descriptor:
    """Push a manifest, byte for byte, and show its digest.

    What it points to must be in the repository already. A digest in REF must be that of the manifest.
    """
    client = connect(reference.registry)
    manifest = Manifest.parse(_read(file, client.settings.manifest_bytes), media_type)
    if reference.digest is not None and Digest.of(manifest.raw, reference.digest.algorithm) != reference.digest:
        raise IntegrityError(f"the manifest in {_shown(file)} has digest {manifest.digest}, not {reference.digest}")
    path = reference.repository.path
    pushed = Manifests(client).put(path, reference.tag or reference.identifier, manifest)
    if manifest.subject is not None and pushed.subject is None:
        client.referrers.add(path, manifest)
    return Descriptor(manifest.media_type, pushed.digest, len(manifest.raw))


@dataclass(frozen=True)
class Removed:
    """What was deleted. `digest`: the manifest that is gone; None where only a tag is."""

    reference: Reference
    digest: Digest | None


def rm(
    references: ExactReferencesArgument,
    connect: Connect,
    report: Report,
    digest: Annotated[
        bool,
        typer.Option("--digest", help="Delete the manifest that a tag names, with all of its tags."),
    ] = False,
) -> Iterator[Removed]:
    """Delete tags, or manifests by their digest.

    A tag is deleted alone and the manifest stays, where the registry can do that. With a digest, or `--digest`, the
    manifest goes, and with it every tag that names it.
    """
    for reference in references:
        yield _rm(connect, report, reference, digest)


def _rm(connect: Connect, report: Report, reference: Reference, by_digest: bool) -> Removed:
    client = connect(reference.registry)
    manifests, path = Manifests(client), reference.repository.path
    if reference.digest is None and not by_digest:
        try:
            manifests.delete(path, reference.identifier)
        except Unsupported as error:
            error.hint = f"{error.hint}: sonar manifest rm --digest {reference}"
            raise
        return Removed(reference, None)
    manifest = manifests.get(path, reference.identifier)
    if reference.digest is None:
        report(f"{reference} is {manifest.digest}, which goes with all of its tags")
    manifests.delete(path, manifest.digest)
    if manifest.subject is not None:
        client.referrers.remove(path, manifest)
    return Removed(reference, manifest.digest)


def _get(connect: Connect, reference: Reference, platform: Platform | None) -> Manifest:
    """The manifest; of an index, the one for the platform, if one is asked for."""
    client = connect(reference.registry)
    manifests, path = Manifests(client), reference.repository.path
    manifest = manifests.get(path, reference.identifier)
    for _ in range(client.settings.depth):
        if platform is None or not manifest.is_index:
            return manifest
        manifest = manifests.get(path, choose(manifest.manifests, platform).digest)
    raise ContentError(f"{reference} has indexes in indexes, more than {client.settings.depth} deep")


def _head(connect: Connect, reference: Reference, platform: Platform | None) -> Descriptor:
    if platform is not None:
        return _get(connect, reference, platform).descriptor()
    return Manifests(connect(reference.registry)).head(reference.repository.path, reference.identifier)


def _read(file: str, limit: int) -> bytes:
    if file == "-":
        data = sys.stdin.buffer.read(limit + 1)
    else:
        with Path(file).open("rb") as opened:
            data = opened.read(limit + 1)
    if len(data) > limit:
        raise UsageError(f"{_shown(file)} is longer than the {limit} bytes of a manifest", hint="see manifest_bytes")
    return data


def _shown(file: str) -> str:
    return "stdin" if file == "-" else file


def document_text(document: Mapping[str, Any]) -> str:
    """A manifest laid out."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def digest_text(descriptor: Descriptor) -> str:
    """The digest."""
    return str(descriptor.digest)


def removed_text(removed: Removed) -> str:
    """What was asked for."""
    return str(removed.reference)
