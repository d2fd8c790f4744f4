"""What the HTTP side and the registry side say to each other: a request, a response, a fault, an exchange."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .body import Body
    from .storage import Content

JSON = "application/json"

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """A request whose body has not been read yet. Header names are in lower case; query values are decoded."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: Body

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter, or None."""
        values = self.query.get(name)
        return values[0] if values else None


@dataclass(frozen=True)
class Slice:
    """A part of stored content as a response body: `count` bytes from `offset`. Sending it closes it."""

    content: Content
    offset: int
    count: int

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class Response:
    """An answer. `Content-Length` is added when it is sent; for a HEAD the body stays behind."""

    status: int
    headers: Headers = ()
    body: bytes | Slice = b""

    @classmethod
    def of_json(cls, document: Any, *, status: int = 200, headers: Headers = (), media_type: str = JSON) -> Response:
        """An answer with a JSON body."""
        return cls(status, (("Content-Type", media_type), *headers), json.dumps(document).encode())


class Fault(Exception):
    """An error answer (OCI distribution-spec, "Error Codes"): HTTP status, error code, what went wrong."""

    def __init__(self, status: int, code: str, message: str, *, detail: Any = None, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = headers

    def response(self) -> Response:
        """The answer with the spec's error body."""
        error = {"code": self.code, "message": self.message, "detail": self.detail}
        return Response.of_json({"errors": [error]}, status=self.status, headers=self.headers)


@dataclass(frozen=True)
class Exchange:
    """A finished exchange, as an observer is told of it. Sizes are those of the bodies, in bytes."""

    method: str
    path: str  # as it came, with the query
    status: int
    headers: Mapping[str, str] = field(repr=False)  # of the request, names in lower case
    bytes_in: int = 0
    bytes_out: int = 0
