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


def upload(origin: Origin, repository: str) -> None:
    """Accepts every blob by POST, PATCH and PUT, and every manifest."""
    base = f"/v2/{repository}"
    received: dict[str, bytearray] = {}

    def begin(request: Request) -> Answer:
        del request  # a mount asked for is not made: an ordinary session is allowed in its place
        number = str(len(received) + 1)
        received[number] = bytearray()
        return Answer(202, {"Location": f"{base}/blobs/uploads/{number}?_state=s%2B1", "Range": "0-0"})

    def session(request: Request) -> bytearray:
        return received[request.path.rpartition("/")[2]]

    def patch(request: Request) -> Answer:
        held = session(request)
        held += request.body
        return Answer(202, {"Location": request.target, "Range": f"0-{max(0, len(held) - 1)}"})

    def put(request: Request) -> Answer:
        held = session(request)
        held += request.body
        wanted = request.query.get("digest", [""])[0]
        if digest(bytes(held)) != wanted:
            return error(400, "DIGEST_INVALID")
        return Answer(201, {"Location": f"{base}/blobs/{wanted}", "Docker-Content-Digest": wanted})

    def manifest(request: Request) -> Answer:
        found = digest(request.body)
        return Answer(201, {"Location": f"{base}/manifests/{found}", "Docker-Content-Digest": found})

    origin.on("GET", "/v2/", Answer(200, json={}))
    origin.on("POST", f"{base}/blobs/uploads/", begin)
    origin.on("PATCH", re.compile(re.escape(base) + r"/blobs/uploads/\d+"), patch)
    origin.on("PUT", re.compile(re.escape(base) + r"/blobs/uploads/\d+"), put)
    origin.on("DELETE", re.compile(re.escape(base) + r"/blobs/uploads/\d+"), Answer(204))
    origin.on("PUT", re.compile(re.escape(base) + r"/manifests/.+"), manifest)
