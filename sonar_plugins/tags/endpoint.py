"""The tags of a repository, and what they point to (OCI distribution-spec, end-8a, end-8b)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sonar_core.auth import pull
from sonar_core.client import Client
from sonar_core.content import Digest
from sonar_core.errors import BadReference, ProtocolError
from sonar_core.parallel import ordered_map
from sonar_core.reference import check_path, check_tag

from .created import created_of

PAGE = 1000


@dataclass(frozen=True)
class Tag:
    """A tag, the digest that it points to, and when the image there was made, where that was asked for."""

    tag: str
    digest: Digest | None = None
    created: datetime | None = None


class Tags:
    """`client.tags`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, path: str) -> Iterator[str]:
        """The tags of the repository `path`, page by page, in the registry's order (mostly by name).

        Digests, which Artifactory lists among the tags, are left out. Raises NotFound where there is no such
        repository.
        """
        check_path(path)
        for tag in self._client.paginate(f"{path}/tags/list?n={PAGE}", "tags", scopes=[pull(path)]):
            if not isinstance(tag, str):
                raise ProtocolError(f"the tags of {self._client.registry}/{path} hold something that is no name")
            if not _is_digest(tag):
                yield tag

    def digests(self, path: str, tags: Iterable[str]) -> Iterator[Tag]:
        """Each of `tags` with its digest, in their order, asked for in parallel (HEAD, end-3)."""
        manifests = self._client.endpoint("manifests")

        def look(tag: str) -> Tag:
            return Tag(tag, manifests.head(path, self._checked(path, tag)).digest)

        return ordered_map(look, tags, self._jobs)

    def created(self, path: str, tags: Iterable[str]) -> Iterator[Tag]:
        """Each of `tags` with its digest and the time that its config states; None where it states none."""

        def look(tag: str) -> Tag:
            manifest, created = created_of(self._client, path, self._checked(path, tag))
            return Tag(tag, manifest.digest, created)

        return ordered_map(look, tags, self._jobs)

    def _checked(self, path: str, tag: str) -> str:
        """A tag that the registry named, before it is part of a URL."""
        try:
            return check_tag(tag)
        except BadReference as error:
            raise ProtocolError(
                f"{self._client.registry} lists a tag of {path} that is none: {error.message}"
            ) from error

    @property
    def _jobs(self) -> int:
        return max(self._client.settings.connections, self._client.settings.jobs)


def _is_digest(tag: str) -> bool:
    if ":" not in tag:
        return False
    try:
        Digest.parse(tag)
    except BadReference:
        return False
    return True
