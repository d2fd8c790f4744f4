"""The list of repositories (distribution's API, "Listing Repositories")."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from sonar_core.auth import CATALOG
from sonar_core.client import Client
from sonar_core.errors import NotFound, ProtocolError, Unsupported

PAGE = 1000


class Catalog:
    """`client.catalog`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, *, prefix: str = "", limit: int | None = None) -> Iterator[str]:
        """The paths of the repositories, page by page, in the registry's order.

        `prefix`: only those that begin with it. `limit`: at most so many.
        Raises Unsupported where the registry has no catalog, as Docker Hub and GHCR.
        """
        return islice(self._matching(prefix), limit)

    def _matching(self, prefix: str) -> Iterator[str]:
        first = True
        try:
            for path in self._client.paginate(f"_catalog?n={PAGE}", "repositories", scopes=[CATALOG]):
                first = False
                if not isinstance(path, str):
                    raise ProtocolError(f"the catalog of {self._client.registry} holds something that is no name")
                if path.startswith(prefix):
                    yield path
        except NotFound as error:
            if not first:
                raise
            raise Unsupported(
                f"{self._client.registry} does not list its repositories",
                status=error.status,
                url=error.url,
                errors=error.errors,
                hint="name a repository instead: sonar tag ls REPO",
            ) from error
