"""Well-behaved answers for a scripted origin, which a test then breaks one of."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from sonar_core.testing.scripted import Answer, Origin, Reply, Request, error

if TYPE_CHECKING:
    from tests.support.images import Content, Image


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest_answer(content: Content) -> Answer:
    headers = {"Content-Type": content.media_type, "Docker-Content-Digest": content.digest}
    return Answer(200, headers, content.data)


def blob_answer(data: bytes) -> Answer:
    headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest(data)}
    return Answer(200, headers, data)


def ranged(data: bytes) -> Reply:
    """A blob that understands `Range: bytes=N-` and `bytes=N-M` (RFC 9110, section 14)."""

    def answer(request: Request) -> Answer:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.header("Range") or "")
        if wanted is None:
            return blob_answer(data)
        start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
        if start >= len(data):
            return Answer(416, {"Content-Range": f"bytes */{len(data)}"})
        part = data[start : end + 1]
        where = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"}
        return Answer(206, where, part)

    return answer


def serve(origin: Origin, repository: str, what: Image, tag: str = "v1") -> Image:
    """Everything that a pull of `repository:tag` needs."""
    origin.on("GET", "/v2/", Answer(200, json={}))
    for content in {each.digest: each for each in what.all_blobs()}.values():
        origin.on("GET|HEAD", f"/v2/{repository}/blobs/{content.digest}", blob_answer(content.data))
    for content in what.all_manifests():
        origin.on("GET|HEAD", f"/v2/{repository}/manifests/{content.digest}", manifest_answer(content))
    origin.on("GET|HEAD", f"/v2/{repository}/manifests/{tag}", manifest_answer(what.manifest))
    return what


def unauthorized(challenge: str, status: int = 401) -> Answer:
    return Answer(
        status,
        {"WWW-Authenticate": challenge, "Content-Type": "application/json"},
        b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
    )


def behind(header: str, good: Answer, challenge: str) -> Reply:
    """`good` for requests whose Authorization is `header`, and a 401 for all others."""

    def answer(request: Request) -> Answer:
        return good if request.header("Authorization") == header else unauthorized(challenge)

    return answer


class Uploads:
    """Accepts blobs and manifests as the distribution spec says; `stored` has what was accepted, by digest.

    The handlers are methods, so that a test can put a fault before one of them:
    `origin.on("PATCH", uploads.sessions, Answer(416), uploads.patch)`.
    """

    def __init__(self, origin: Origin, repository: str) -> None:
        self.base = f"/v2/{repository}"
        self.sessions = re.compile(re.escape(self.base) + r"/blobs/uploads/\d+(\?.*)?")
        self.stored: dict[str, bytes] = {}
        self.open: dict[str, bytearray] = {}
        self._opened = 0
        origin.on("GET", "/v2/", Answer(200, json={}))
        origin.on("POST", f"{self.base}/blobs/uploads/", self.begin)
        origin.on("GET", self.sessions, self.status)
        origin.on("PATCH", self.sessions, self.patch)
        origin.on("PUT", self.sessions, self.put)
        origin.on("DELETE", self.sessions, self.cancel)
        origin.on("PUT", re.compile(re.escape(self.base) + r"/manifests/.+"), self.manifest)
        origin.on("HEAD", re.compile(re.escape(self.base) + r"/blobs/sha256:.+"), self.head)

    def begin(self, _: Request) -> Answer:
        """Opens a session; a mount that was asked for is not made."""
        self._opened += 1
        self.open[str(self._opened)] = bytearray()
        return Answer(202, {"Location": f"{self.base}/blobs/uploads/{self._opened}?_state=s%2B1", "Range": "0-0"})

    def status(self, request: Request) -> Answer:
        return self._stands(request, 204)

    def patch(self, request: Request) -> Answer:
        held = self._session(request)
        if held is None:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        start = re.match(r"(\d+)-", request.header("Content-Range") or "0-")
        if start is None or (request.header("Content-Range") and int(start[1]) != len(held)):
            return self._stands(request, 416)
        held += request.body
        return self._stands(request, 202)

    def put(self, request: Request) -> Answer:
        held = self._session(request)
        if held is None or not request.complete:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        data, wanted = bytes(held + request.body), request.query.get("digest", [""])[0]
        if digest(data) != wanted:
            return error(400, "DIGEST_INVALID")
        del self.open[self._number(request)]
        self.stored[wanted] = data
        return Answer(201, {"Location": f"{self.base}/blobs/{wanted}", "Docker-Content-Digest": wanted})

    def cancel(self, request: Request) -> Answer:
        return Answer(404 if self.open.pop(self._number(request), None) is None else 204)

    def manifest(self, request: Request) -> Answer:
        found = digest(request.body)
        self.stored[found] = request.body
        return Answer(201, {"Location": f"{self.base}/manifests/{found}", "Docker-Content-Digest": found})

    def head(self, request: Request) -> Answer:
        data = self.stored.get(request.path.rpartition("/")[2])
        return Answer(404) if data is None else blob_answer(data)

    def _number(self, request: Request) -> str:
        return request.path.rpartition("/")[2]

    def _session(self, request: Request) -> bytearray | None:
        return self.open.get(self._number(request))

    def _stands(self, request: Request, status: int) -> Answer:
        held = self._session(request)
        if held is None:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        return Answer(status, {"Location": request.target, "Range": f"0-{max(0, len(held) - 1)}"})
