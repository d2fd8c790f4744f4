"""The operation, on top of the endpoints that sonar has."""

from __future__ import annotations

from sonar_core import Client, Missing
from sonar_plugins.tags.endpoint import Tag, Tags


class Newest:
    """`client.newest`."""

    def __init__(self, client: Client) -> None:
        self._tags = Tags(client)

    def __call__(self, path: str) -> Tag:
        """The tag of the repository `path` whose image says that it was created last.

        Raises Missing where no image says when it was created.
        """
        dated = [tag for tag in self._tags.created(path, self._tags.list(path)) if tag.created]
        if not dated:
            raise Missing(f"no tag of {path} says when its image was created")
        return max(dated, key=lambda tag: (tag.created, tag.tag))
