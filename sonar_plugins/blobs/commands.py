"""`sonar blob get`, `head`, `put`, `mount`, `rm`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from sonar_core.cli.arguments import RepositoryArgument
from sonar_core.cli.completion import complete_repository
from sonar_core.command import Connect, Raw
from sonar_core.content import Descriptor, Digest
from sonar_core.errors import BadReference, IntegrityError, SonarError, UsageError
from sonar_core.hashing import BackgroundHash
from sonar_core.reference import Reference, Repository
from sonar_core.sources import FileSource

from .endpoint import Blobs
from .files import spooled, written

_BLOB = "application/octet-stream"
_SIZE = re.compile(r"(\d{1,15})\s*([kmg]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def parse_blob(text: str) -> Reference:
    """`REPO@DIGEST`. Raises BadReference."""
    reference = Reference.parse(text, default_tag=None)
    if reference.digest is None or reference.tag is not None:
        raise BadReference(f"{text} does not name a blob", hint="write REPO@sha256:…")
    return reference


def parse_size(text: str) -> int:
    """`1048576`, `512k`, `5MiB`: bytes, the units being powers of 1024. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    size = int(match[1]) * _UNITS[match[2].lower()] if match else 0
    if not size:
        raise UsageError(f"{text!r} is not a size", hint="write 5MiB, for instance")
    return size


def parse_digest(text: str) -> Digest:
    """A digest. Raises BadReference."""
    return Digest.parse(text)


BlobArgument = Annotated[
    Reference,
    typer.Argument(
        parser=parse_blob,
        metavar="REPO@DIGEST",
        help="A blob, as ghcr.io/owner/name@sha256:….",
        show_default=False,
    ),
]
BlobsArgument = Annotated[
    list[Reference],
    typer.Argument(
        parser=parse_blob,
        metavar="REPO@DIGEST...",
        help="Blobs, as ghcr.io/owner/name@sha256:….",
        show_default=False,
    ),
]


def get(
    blob: BlobArgument,
    connect: Connect,
    file: Annotated[
        Path | None,
        typer.Option("-O", "--output-file", metavar="FILE", help="Where to; stdout unless given.", dir_okay=False),
    ] = None,
) -> Raw | Descriptor:
    """Fetch a blob, checked against its digest. A FILE appears when it is complete and right, or not at all."""
    path, digest = _parts(blob)
    stream = Blobs(connect(blob.registry)).get(path, digest)
    if file is None:
        return Raw(stream)
    with stream:
        return Descriptor(_BLOB, digest, written(file, stream))


def head(blobs: BlobsArgument, connect: Connect) -> Descriptor | Iterator[Descriptor]:
    """Show whether blobs are there, and their size in bytes."""
    found = (Blobs(connect(blob.registry)).head(*_parts(blob)) for blob in blobs)
    return next(found) if len(blobs) == 1 else found


def put(
    repository: RepositoryArgument,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The content; - is stdin.", show_default=False)],
    connect: Connect,
    chunk: Annotated[
        int | None,
        typer.Option("--chunk", parser=parse_size, metavar="SIZE", help="Send pieces of this size, as 5MiB."),
    ] = None,
    digest: Annotated[
        Digest | None,
        typer.Option("--digest", parser=parse_digest, metavar="DIGEST", help="What the content must have."),
    ] = None,
) -> Descriptor:
    """Push a file as a blob, and show its digest."""
    with spooled(file) as source:
        found, size = _hashed(source, digest.algorithm if digest else "sha256")
        if digest is not None and found != digest:
            raise IntegrityError(f"{'stdin' if file == '-' else file} has digest {found}, not {digest}")
        Blobs(connect(repository.registry)).put(repository.path, found, source, size, chunk=chunk)
        return Descriptor(_BLOB, found, size)


def mount(
    blob: BlobArgument,
    connect: Connect,
    source: Annotated[
        Repository,
        typer.Option(
            "--from",
            parser=Repository.parse,
            metavar="REPO",
            help="The repository that has it, in the same registry.",
            autocompletion=complete_repository,
            show_default=False,
        ),
    ],
) -> Descriptor:
    """Take a blob over from another repository of the same registry, without a transfer."""
    if source.registry != blob.registry:
        raise UsageError(f"{source} is in another registry than {blob}", hint="fetch it and put it")
    path, digest = _parts(blob)
    blobs = Blobs(connect(blob.registry))
    if not blobs.mount(path, digest, source.path):
        raise SonarError(f"{blob.registry} did not mount {digest} from {source.path}", hint="is it there, and yours?")
    return blobs.head(path, digest)


def rm(blobs: BlobsArgument, connect: Connect) -> Iterator[str]:
    """Delete blobs from a repository."""
    for blob in blobs:
        Blobs(connect(blob.registry)).delete(*_parts(blob))
        yield str(blob)


def _parts(blob: Reference) -> tuple[str, Digest]:
    """Path and digest, which `parse_blob` made sure of."""
    return blob.repository.path, Digest.parse(blob.identifier)


def _hashed(source: FileSource, algorithm: str) -> tuple[Digest, int]:
    size = 0
    with BackgroundHash(algorithm) as found:
        for block in source.open(0):
            found.update(block)
            size += len(block)
        return found.digest(), size


def digest_text(descriptor: Descriptor) -> str:
    """The digest."""
    return str(descriptor.digest)


def size_text(descriptor: Descriptor) -> str:
    """Digest and size."""
    return f"{descriptor.digest}  {descriptor.size}"
