"""Puts images into a registry by plain HTTP requests, so that a test of pulling needs nothing of sonar's."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urljoin

if TYPE_CHECKING:
    from tests.support.images import Content, Image

_SECONDS = 30


def push(url: str, repository: str, tag: str, what: Image, *, authorization: str | None = None) -> str:
    """Uploads everything to the registry at `url` (`http://127.0.0.1:5000`) and returns the digest."""
    headers = {"Authorization": authorization} if authorization else {}
    base = f"{url}/v2/{repository}"
    for content in {each.digest: each for each in what.all_blobs()}.values():
        push_blob(base, content, headers)
    for manifest in what.all_manifests():
        name = tag if manifest.digest == what.digest else manifest.digest
        typed = {**headers, "Content-Type": manifest.media_type}
        _send("PUT", f"{base}/manifests/{name}", manifest.data, typed)
    return what.digest


def push_blob(base: str, content: Content, headers: dict[str, str]) -> None:
    """Uploads one blob; `base` is `http://HOST/v2/REPOSITORY`."""
    location = _send("POST", f"{base}/blobs/uploads/", b"", headers)
    where = urljoin(base, location)
    target = f"{where}{'&' if '?' in where else '?'}digest={content.digest}"
    _send("PUT", target, content.data, {**headers, "Content-Type": "application/octet-stream"})


def _send(method: str, url: str, data: bytes, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        return answer.headers.get("Location") or ""
