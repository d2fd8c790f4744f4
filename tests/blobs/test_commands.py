"""`sonar blob`: what a user types, what comes out, what is left behind."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from sonar_core.content import Digest
from sonar_core.testing.scripted import Answer, Origin
from sonar_plugins.blobs.commands import parse_size
from sonar_plugins.serve.server import EmbeddedRegistry
from tests.support.endpoints import Program

TEXT = "a blob of text\n" * 1000
DIGEST = str(Digest.of(TEXT.encode()))
OTHER = str(Digest.of(b"other"))


@pytest.fixture
def filled(sonar_registry: EmbeddedRegistry, sonar: Program) -> str:
    """A repository that holds TEXT."""
    repository = f"{sonar_registry.host}/app"
    assert sonar("blob", "put", repository, "-", stdin=TEXT).stdout == f"{DIGEST}\n"
    return repository


def test_put_and_get_a_file(sonar_registry: EmbeddedRegistry, sonar: Program, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text(TEXT)
    put = sonar("blob", "put", f"{sonar_registry.host}/app", str(source), "-o", "json")
    assert put.json == {"mediaType": "application/octet-stream", "digest": DIGEST, "size": len(TEXT)}
    got = sonar("blob", "get", f"{sonar_registry.host}/app@{DIGEST}", "-O", str(target))
    assert (got.code, got.stdout) == (0, f"{DIGEST}\n")
    assert target.read_text() == TEXT
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["source", "target"]


def test_get_writes_the_bytes_to_stdout(filled: str, sonar: Program) -> None:
    got = sonar("blob", "get", f"{filled}@{DIGEST}")
    assert (got.code, got.stdout, got.stderr) == (0, TEXT, "")


def test_put_in_chunks(sonar_registry: EmbeddedRegistry, sonar: Program) -> None:
    put = sonar("blob", "put", f"{sonar_registry.host}/app", "-", "--chunk", "5k", "-v", stdin=TEXT)
    assert put.stdout == f"{DIGEST}\n"
    assert put.stderr.count("PATCH") == 3


def test_put_with_the_digest_that_it_must_have(filled: str, sonar: Program) -> None:
    assert sonar("blob", "put", filled, "-", "--digest", DIGEST, stdin=TEXT).code == 0
    sha512 = str(Digest.of(TEXT.encode(), "sha512"))
    assert sonar("blob", "put", filled, "-", "--digest", sha512, stdin=TEXT).stdout == f"{sha512}\n"


def test_put_with_another_digest_sends_nothing(scripted: Origin, sonar: Program) -> None:
    put = sonar("blob", "put", f"{scripted.host}/app", "-", "--digest", OTHER, stdin=TEXT)
    assert (put.code, put.stdout) == (5, "")
    assert DIGEST in put.stderr
    assert scripted.requests == []


def test_head(filled: str, sonar: Program) -> None:
    assert sonar("blob", "head", f"{filled}@{DIGEST}").stdout == f"{DIGEST}  {len(TEXT)}\n"
    head = sonar("blob", "head", f"{filled}@{DIGEST}", "-o", "json")
    assert head.json == {"mediaType": "application/octet-stream", "digest": DIGEST, "size": len(TEXT)}
    two = sonar("blob", "head", f"{filled}@{DIGEST}", f"{filled}@{DIGEST}", "-o", "json")
    assert [one["digest"] for one in two.json] == [DIGEST, DIGEST]


@pytest.mark.parametrize("verb", ["head", "get", "rm"])
def test_what_is_not_there(filled: str, sonar: Program, verb: str) -> None:
    run = sonar("blob", verb, f"{filled}@{OTHER}")
    assert (run.code, run.stdout) == (3, "")
    assert OTHER in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("blob", "get", "{host}/app"),
        ("blob", "get", "{host}/app:tag"),
        ("blob", "get", "{host}/app@sha256:short"),
        ("blob", "head", "{host}/app:tag@" + DIGEST),
        ("blob", "rm", "{host}/app"),
        ("blob", "put", "{host}/app:tag", "-"),
        ("blob", "put", "{host}/app", "-", "--chunk", "0"),
        ("blob", "put", "{host}/app", "-", "--chunk", "many"),
        ("blob", "put", "{host}/app", "-", "--digest", "md5:abc"),
        ("blob", "mount", "{host}/app@" + DIGEST),
        ("blob", "mount", "{host}/app@" + DIGEST, "--from", "other.example/app"),
    ],
)
def test_what_is_malformed_sends_nothing(scripted: Origin, sonar: Program, arguments: tuple[str, ...]) -> None:
    """DESIGN 4: exit 2: "usage or bad reference, nothing was sent"."""
    run = sonar(*(argument.format(host=scripted.host) for argument in arguments), stdin=TEXT)
    assert (run.code, run.stdout) == (2, ""), run.stderr
    assert scripted.requests == []


def test_mount(filled: str, sonar: Program) -> None:
    target = filled.replace("/app", "/copy")
    assert sonar("blob", "mount", f"{target}@{DIGEST}", "--from", filled).stdout == f"{DIGEST}\n"
    assert sonar("blob", "get", f"{target}@{DIGEST}").stdout == TEXT
    refused = sonar("blob", "mount", f"{target}@{OTHER}", "--from", filled)
    assert (refused.code, refused.stdout) == (1, "")
    assert "did not mount" in refused.stderr


def test_rm(filled: str, sonar: Program) -> None:
    name = f"{filled}@{DIGEST}"
    assert sonar("blob", "rm", name).stdout == f"{name}\n"
    assert sonar("blob", "head", name).code == 3


def test_a_file_that_is_there_is_replaced_whole(filled: str, sonar: Program, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("before")
    link = tmp_path / "link"
    link.symlink_to(target)
    assert sonar("blob", "get", f"{filled}@{DIGEST}", "-O", str(link)).code == 0
    assert link.is_symlink()
    assert target.read_text() == TEXT


def test_a_new_file_has_the_usual_permissions(filled: str, sonar: Program, tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        assert sonar("blob", "get", f"{filled}@{DIGEST}", "-O", str(tmp_path / "target")).code == 0
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o640


def test_a_pipe_is_written_to_and_stays(filled: str, sonar: Program, tmp_path: Path) -> None:
    """As /dev/stdout and /dev/null: never replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    assert sonar("blob", "get", f"{filled}@{DIGEST}", "-O", str(pipe)).code == 0
    reader.join(10)
    assert received == [TEXT]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_pipe_can_be_put(sonar_registry: EmbeddedRegistry, sonar: Program, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(TEXT))
    writer.start()
    assert sonar("blob", "put", f"{sonar_registry.host}/app", str(pipe)).stdout == f"{DIGEST}\n"
    writer.join(10)


def test_a_file_that_is_missing(scripted: Origin, sonar: Program, tmp_path: Path) -> None:
    run = sonar("blob", "put", f"{scripted.host}/app", str(tmp_path / "missing"))
    assert (run.code, run.stdout) == (1, "")
    assert "missing: no such file" in run.stderr
    assert scripted.requests == []


def test_a_blob_that_is_too_large_for_a_proxy(scripted: Origin, sonar: Program) -> None:
    """413 is what nginx says; pieces may pass."""
    scripted.on("POST", "/v2/app/blobs/uploads/", Answer(202, {"Location": "/v2/app/blobs/uploads/1"}))
    scripted.on("PUT", "/v2/app/blobs/uploads/1", Answer(413))
    scripted.on("DELETE", "/v2/app/blobs/uploads/1", Answer(204))
    run = sonar("blob", "put", f"{scripted.host}/app", "-", stdin=TEXT)
    assert run.code == 1
    assert "--chunk" in run.stderr
    assert [request.method for request in scripted.requests] == ["POST", "PUT", "DELETE"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("1048576", 1048576), ("512k", 512 * 1024), ("5MiB", 5 << 20), ("5 mb", 5 << 20), ("1G", 1 << 30)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_json_is_valid(filled: str, sonar: Program) -> None:
    removed = sonar("blob", "rm", f"{filled}@{DIGEST}", "-o", "json")
    assert json.loads(removed.stdout) == [f"{filled}@{DIGEST}"]
