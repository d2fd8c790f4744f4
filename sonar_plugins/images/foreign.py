"""Layers that their publisher keeps elsewhere: fetched from the `urls` of the manifest, if the user wants that.

Without credentials, and without a step into a private network: the URLs are a stranger's word (CVE-2020-15157).
"""

from __future__ import annotations

from collections.abc import Generator

from sonar_core.client import Client
from sonar_core.content import Descriptor
from sonar_core.errors import Missing, SonarError, Unsupported
from sonar_core.plugins import Plugins
from sonar_core.redaction import redact_url
from sonar_core.reference import Registry
from sonar_core.settings import Settings
from sonar_core.stores import Reader, Store


class ForeignLayers:
    """Reads such layers. `registry`: where the manifest came from; what it may point to is judged by that."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        # A client of its own, without plugins: there is nobody who could give it credentials.
        self._client = Client(registry, settings=settings, plugins=Plugins())

    @classmethod
    def of(cls, store: Store, settings: Settings) -> ForeignLayers:
        """For the manifests of `store`; what comes from a disk is trusted as much as a public registry."""
        client = getattr(store, "client", None)
        return cls(settings, client.registry if isinstance(client, Client) else Registry.parse("docker.io"))

    def read(self, blob: Descriptor, nearby: Reader, start: int, stop: int | None) -> Generator[bytes, None, None]:
        """The bytes: from the source, if it has them, else from the first URL that has. Not verified."""
        if stop is not None:
            raise Unsupported(f"{blob.digest} is kept elsewhere, and read in one piece", status=0, url="")
        try:
            yield from nearby(start, None)
            return
        except Missing as error:
            failure: SonarError = error
        for url in blob.urls:
            try:
                response = self._client.request("GET", url)
            except SonarError as error:
                failure = error
                continue
            skip = start
            for block in response.blocks():
                if len(block) > skip:
                    yield block[skip:]
                skip = max(0, skip - len(block))
            return
        raise Missing(
            f"{blob.digest} could not be fetched from {', '.join(map(redact_url, blob.urls))}: {failure.message}"
        ) from failure

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
