"""Blobs, on the embedded registry and on docker-registry: every operation, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sonar_core.content import Digest
from sonar_core.errors import BadReference, IntegrityError, NotFound, ResponseError
from sonar_core.sources import BytesSource
from sonar_core.transport import BLOCK
from sonar_plugins.blobs.endpoint import Blobs
from sonar_plugins.serve.server import EmbeddedRegistry
from tests.blobs.cutter import Cutter
from tests.support.endpoints import Connect
from tests.support.images import noise

MIB = 1024 * 1024


def put(blobs: Blobs, path: str, data: bytes, **options: object) -> Digest:
    digest = Digest.of(data)
    blobs.put(path, digest, BytesSource(data), len(data), **options)  # type: ignore[arg-type]
    return digest


def read(blobs: Blobs, path: str, digest: Digest, offset: int = 0, stop: int | None = None) -> bytes:
    with blobs.get(path, digest, offset=offset, stop=stop) as stream:
        return b"".join(stream)


@pytest.mark.parametrize("size", [0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("options", [{}, {"chunk": MIB}, {"single": True}], ids=["whole", "chunks", "single"])
def test_what_was_put_comes_back(host: str, connect: Connect, path: str, size: int, options: dict[str, object]) -> None:
    client, _ = connect(host)
    data = noise(size, seed=size)
    digest = put(Blobs(client), path, data, **options)
    assert read(Blobs(client), path, digest) == data
    assert Blobs(client).head(path, digest).size == size


def test_sha512(host: str, connect: Connect, path: str) -> None:
    client, _ = connect(host)
    data = noise(1000)
    digest = Digest.of(data, "sha512")
    Blobs(client).put(path, digest, BytesSource(data), len(data))
    assert read(Blobs(client), path, digest) == data


def test_an_upload_is_one_post_and_one_put(host: str, connect: Connect, path: str) -> None:
    """end-4a and end-6: what a copy may count on."""
    client, record = connect(host)
    put(Blobs(client), path, noise(MIB))
    assert record.methods == ["POST", "PUT"]


def test_an_upload_in_chunks(host: str, connect: Connect, path: str) -> None:
    """end-5: one PATCH for each chunk, the last one shorter, and a PUT without content."""
    client, record = connect(host)
    put(Blobs(client), path, noise(2 * MIB + 10), chunk=MIB)
    assert record.methods == ["POST", "PATCH", "PATCH", "PATCH", "PUT"]
    assert [exchange.sent for exchange in record.exchanges[1:4]] == [MIB, MIB, 10]


def test_an_upload_in_one_request(embedded: EmbeddedRegistry, connect: Connect, path: str) -> None:
    """end-4b: the POST alone, where the registry knows it."""
    client, record = connect(embedded.host)
    put(Blobs(client), path, noise(1000), single=True)
    assert record.methods == ["POST"]


def test_a_mount_is_one_post(host: str, connect: Connect, path: str) -> None:
    """end-11."""
    client, record = connect(host)
    digest = put(Blobs(client), f"{path}/source", noise(1000))
    record.exchanges.clear()
    assert Blobs(client).mount(path, digest, f"{path}/source") is True
    assert record.methods == ["POST"]
    assert read(Blobs(client), path, digest) == noise(1000)


def test_a_mount_that_is_refused_leaves_no_session(host: str, connect: Connect, path: str) -> None:
    """end-11: the 202 opened one, which is taken back (end-14)."""
    client, record = connect(host)
    assert Blobs(client).mount(path, Digest.of(b"nowhere"), f"{path}/source") is False
    assert [(exchange.method, exchange.status) for exchange in record.exchanges] == [("POST", 202), ("DELETE", 204)]


def test_a_put_that_mounts(host: str, connect: Connect, path: str) -> None:
    client, record = connect(host)
    data = noise(1000)
    digest = put(Blobs(client), f"{path}/source", data)
    record.exchanges.clear()
    assert Blobs(client).put(path, digest, BytesSource(data), len(data), mount_from=f"{path}/source") is True
    assert record.methods == ["POST"]


def test_a_put_that_can_not_mount_uses_the_session(host: str, connect: Connect, path: str) -> None:
    """end-11: no request more than an upload without a mount."""
    client, record = connect(host)
    data = noise(1000)
    assert Blobs(client).put(path, Digest.of(data), BytesSource(data), len(data), mount_from=f"{path}/no") is False
    assert record.methods == ["POST", "PUT"]
    assert read(Blobs(client), path, Digest.of(data)) == data


def test_what_is_not_there(host: str, connect: Connect, path: str) -> None:
    client, _ = connect(host)
    blobs, nothing = Blobs(client), Digest.of(b"nothing")
    put(blobs, path, b"something")
    for ask in (blobs.head, blobs.get, blobs.delete):
        with pytest.raises(NotFound):
            ask(path, nothing)


def test_delete(host: str, connect: Connect, path: str) -> None:
    """end-10."""
    client, _ = connect(host)
    blobs = Blobs(client)
    digest = put(blobs, path, noise(100, seed=7))
    blobs.delete(path, digest)
    with pytest.raises(NotFound):
        blobs.head(path, digest)


def test_parts(host: str, connect: Connect, path: str) -> None:
    client, _ = connect(host)
    data = noise(2 * MIB + 7)
    digest = put(Blobs(client), path, data)
    assert read(Blobs(client), path, digest, offset=MIB + 3) == data[MIB + 3 :]
    assert read(Blobs(client), path, digest, offset=10, stop=MIB + 20) == data[10 : MIB + 20]
    assert read(Blobs(client), path, digest, stop=5) == data[:5]


def test_a_blob_of_a_registry_is_a_source(host: str, connect: Connect, path: str) -> None:
    """From one registry to another, without a copy in between."""
    client, _ = connect(host)
    data = noise(2 * MIB + 7)
    digest = put(Blobs(client), path, data)
    source = Blobs(client).source(path, digest, len(data))
    assert b"".join(source.open(MIB)) == data[MIB:]
    Blobs(client).put(f"{path}/copy", digest, source, len(data), chunk=MIB)
    assert read(Blobs(client), f"{path}/copy", digest) == data


def test_a_blob_is_streamed(embedded: EmbeddedRegistry, connect: Connect, path: str) -> None:
    """DESIGN 5: "Streams, never whole blobs": blocks of 1 MiB, the first before the rest was read."""
    client, _ = connect(embedded.host)
    digest = put(Blobs(client), path, noise(5 * MIB))
    with Blobs(client).get(path, digest) as stream:
        assert [len(block) for block in stream] == [MIB] * 5


@pytest.mark.parametrize("after", [[2_000_000], [4_000_000], [2_000_000, 1_000_000]])
@pytest.mark.parametrize("chunk", [None, 1_000_000])
def test_an_upload_over_a_line_that_breaks(
    host: str, connect: Connect, path: str, after: list[int], chunk: int | None
) -> None:
    """DESIGN 5: "an upload asks where it stood (GET on the session) and goes on"."""
    data = noise(5_000_000)
    with Cutter(host, after) as line:
        client, record = connect(line.host)
        digest = put(Blobs(client), path, data, chunk=chunk)
        assert line.cuts == len(after)
        assert "GET" in record.methods
        assert read(Blobs(client), path, digest) == data


@pytest.mark.parametrize("chunk", [None, 1_000_000])
def test_what_arrived_before_the_break_is_not_sent_again(
    embedded: EmbeddedRegistry, connect: Connect, path: str, chunk: int | None
) -> None:
    """ "goes on": docker-registry 2.8 forgets a session that broke, so this shows on the embedded one."""
    with Cutter(embedded.host, [4_000_000]) as line:
        client, record = connect(line.host)
        put(Blobs(client), path, noise(5_000_000), chunk=chunk)
    sent = [exchange.sent or 0 for exchange in record.exchanges if exchange.status in (201, 202)]
    assert record.methods.count("POST") == 1
    assert sum(sent) < 5_000_000


def test_a_line_that_always_breaks_ends(embedded: EmbeddedRegistry, connect: Connect, path: str) -> None:
    with Cutter(embedded.host, [3000] * 100) as line:
        client, _ = connect(line.host, attempts=3)
        with pytest.raises(Exception, match="broke"):
            put(Blobs(client), path, noise(5_000_000))


class Failing:
    """A source that fails half-way."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def open(self, offset: int) -> Iterator[bytes]:
        yield b"x" * (BLOCK - offset)
        yield b"y" * BLOCK
        raise self.error


@pytest.mark.parametrize("error", [OSError(5, "input/output error"), KeyboardInterrupt(), IntegrityError("wrong")])
@pytest.mark.parametrize("chunk", [None, BLOCK])
def test_a_source_that_fails_takes_the_upload_back(
    host: str, connect: Connect, path: str, error: BaseException, chunk: int | None
) -> None:
    """ROBUSTNESS: "Ctrl-C and errors … DELETE open sessions": the error is the source's own."""
    client, record = connect(host)
    with pytest.raises(type(error)) as caught:
        Blobs(client).put(path, Digest.of(b""), Failing(error), 4 * BLOCK, chunk=chunk)
    assert caught.value is error
    assert record.methods[-1] == "DELETE"
    assert record.methods.count("POST") == 1


def test_content_with_another_digest_is_not_stored(host: str, connect: Connect, path: str) -> None:
    client, _ = connect(host)
    wrong = Digest.of(b"something else")
    with pytest.raises(ResponseError) as caught:
        Blobs(client).put(path, wrong, BytesSource(b"content"), 7)
    assert "DIGEST_INVALID" in caught.value.codes
    put(Blobs(client), path, b"anything, so that the repository is there")
    with pytest.raises(NotFound):
        Blobs(client).head(path, wrong)


@pytest.mark.parametrize("name", ["", "../a", "A", "a//b", "a/../b", "a?x", "a#x", "a%2fb"])
def test_names_are_checked_before_anything_is_sent(embedded: EmbeddedRegistry, connect: Connect, name: str) -> None:
    """ROBUSTNESS: "validated before it is part of a URL" (CVE-2024-3727)."""
    client, record = connect(embedded.host)
    blobs, digest = Blobs(client), Digest.of(b"")
    for ask in (
        lambda: blobs.head(name, digest),
        lambda: blobs.get(name, digest),
        lambda: blobs.delete(name, digest),
        lambda: blobs.put(name, digest, BytesSource(b""), 0),
        lambda: blobs.mount(name, digest, "a"),
        lambda: blobs.mount("a", digest, name),
    ):
        with pytest.raises(BadReference):
            ask()
    assert record.exchanges == []
