"""The `/v2/` check (OCI distribution-spec, end-1)."""

from __future__ import annotations

from dataclasses import dataclass

from sonar_core.client import Client
from sonar_core.errors import NotFound

_VERSION = "Docker-Distribution-API-Version"


@dataclass(frozen=True)
class CheckResult:
    """What `/v2/` said. `auth`: the scheme asked for, as "basic"; `api_version`: as "registry/2.0"; or None."""

    registry: str
    url: str
    status: int
    auth: str | None
    api_version: str | None


class Check:
    """`client.check`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __call__(self) -> CheckResult:
        """Ask `/v2/`, with the user's credentials if it wants some.

        Raises Unauthorized (401), NotFound where it does not speak the distribution API, TransportError.
        """
        client = self._client
        try:
            response, _ = client.fetch()
        except NotFound as error:
            raise NotFound(
                f"{client.registry} does not speak the distribution API v2: {error.url} answered 404",
                status=error.status,
                url=error.url,
                errors=error.errors,
                hint="is this the registry's address?",
            ) from error
        challenges = client.auth.challenges
        return CheckResult(
            registry=str(client.registry),
            url=client.base_url,
            status=response.status,
            auth=challenges[0].scheme if challenges else None,
            api_version=response.headers.get(_VERSION),
        )
