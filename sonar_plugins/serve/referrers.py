"""The manifests that refer to another one by `subject` (OCI distribution-spec, "Listing Referrers")."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonar_core.errors import SonarError
from sonar_core.manifest import Manifest
from sonar_core.media_types import OCI_INDEX

from .messages import Fault, Request, Response
from .service import Service, Target, digest_of, link, read

if TYPE_CHECKING:
    from sonar_core.content import Descriptor, Digest

    from .storage import Repository

LARGEST_ANSWER = 4 << 20  # bytes; clients read no more of a manifest than that


@dataclass(frozen=True)
class Referrer:
    """A manifest that refers to `subject`, as it is listed: with its artifact type and its annotations."""

    subject: Digest
    descriptor: Descriptor

    @classmethod
    def of(cls, manifest: Manifest) -> Referrer | None:
        """None if it refers to nothing. The artifact type of an image is its config's, if it states none."""
        if manifest.subject is None:
            return None
        stated = manifest.artifact_type or (manifest.config.media_type if manifest.config else None)
        descriptor = dataclasses.replace(manifest.descriptor(), artifact_type=stated, annotations=manifest.annotations)
        return cls(manifest.subject.digest, descriptor)


def list_referrers(service: Service, request: Request, target: Target) -> Response:
    """GET /v2/NAME/referrers/DIGEST (end-12a, end-12b). Nobody refers to what is not there: that is no error."""
    subject = digest_of(target.reference)
    if not service.options.referrers:
        raise Fault(404, "UNSUPPORTED", "this registry does not list referrers")
    repository = service.storage.find(target.repository)
    found = _find(service, repository, subject) if repository else []
    wanted = request.parameter("artifactType")
    if wanted is not None:
        wanted = wanted.replace(" ", "+")  # a "+" that was not encoded is read as a space
    if wanted is not None:
        found = [descriptor for descriptor in found if descriptor.artifact_type == wanted]
    if last := request.parameter("last"):
        found = [descriptor for descriptor in found if str(descriptor.digest) > last]
    entries: list[dict[str, object]] = []
    headers = [("OCI-Filters-Applied", "artifactType")] if wanted is not None else []
    room = LARGEST_ANSWER
    for descriptor in found:
        entry = descriptor.to_json()
        room -= len(json.dumps(entry))
        if entries and (room < 0 or len(entries) == service.options.page_size):
            again = {} if wanted is None else {"artifactType": wanted}
            headers.append(link(request, **again, last=str(entries[-1]["digest"])))
            break
        entries.append(entry)
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return Response.of_json(document, headers=tuple(headers), media_type=OCI_INDEX)


def _find(service: Service, repository: Repository, subject: Digest) -> list[Descriptor]:
    referrers = (_referrer(service, repository, entry.manifest) for entry in repository.index.manifests.values())
    found = [referrer.descriptor for referrer in referrers if referrer and referrer.subject == subject]
    return sorted(found, key=lambda descriptor: str(descriptor.digest))


def _referrer(service: Service, repository: Repository, manifest: Descriptor) -> Referrer | None:
    """Read from the manifest once: what a digest refers to never changes."""
    if manifest.digest in service.subjects:
        return service.subjects[manifest.digest]
    raw = read(repository, manifest.digest)
    if raw is None:
        return None
    try:
        referrer = Referrer.of(Manifest.parse(raw, manifest.media_type, manifest.digest))
    except SonarError:  # damaged by whoever else writes to the layout
        referrer = None
    service.subjects[manifest.digest] = referrer
    return referrer
