"""ROBUSTNESS, Moving blobs: what is left on the disk and on the registry when a command fails or is interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonar_core.testing.scripted import RESET, Answer, Origin
from tests.faults.registry import Uploads, digest, ranged
from tests.support.images import noise

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.program import Program

DATA = noise(3_000_000)
PATH = f"/v2/a/blobs/{digest(DATA)}"
FAULTS = {
    "wrong bytes": (Answer(200, body=b"\0" * len(DATA)), 5),
    "last byte wrong": (Answer(200, body=DATA[:-1] + b"?"), 5),
    "too long": (Answer(200, body=DATA + b"x"), 5),
    "too long, chunked": (Answer(200, body=DATA, times=50, framing="chunked"), 5),
    "too short": (Answer(200, body=DATA[:-1]), 5),
    "empty": (Answer(200, body=b""), 5),
    "always reset": (Answer(200, body=DATA, cut=1_000_000, then="reset"), 1),
    "html": (Answer(200, {"Content-Type": "text/html"}, b"<html>log in</html>"), 5),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.mark.parametrize("there", [False, True], ids=["", "over another file"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_failed_download_leaves_no_file(
    sonar: Program, scripted: Origin, folder: Path, name: str, there: bool
) -> None:
    """B1: "wrong bytes leave no file": nor a partial one, and what was there before stays."""
    answer, code = FAULTS[name]
    scripted.on("GET", PATH, answer)
    target = folder / "blob"
    if there:
        target.write_bytes(b"before")
    outcome = sonar("blob", "get", f"{scripted.host}/a@{digest(DATA)}", "-O", target)
    outcome.failed(code=code)
    assert [path.name for path in folder.iterdir()] == (["blob"] if there else [])
    assert not there or target.read_bytes() == b"before"


@pytest.mark.parametrize("name", FAULTS)
def test_stdout_never_gets_all_of_a_wrong_blob(sonar: Program, scripted: Origin, name: str) -> None:
    """B1/N2: what was written to stdout before the end can't be taken back, but it never looks complete."""
    answer, code = FAULTS[name]
    scripted.on("GET", PATH, answer)
    outcome = sonar("blob", "get", f"{scripted.host}/a@{digest(DATA)}")
    assert outcome.code == code, outcome.shown()
    if name != "too long, chunked":  # where nobody said a size, the end alone shows that it is wrong
        assert len(outcome.stdout) < len(DATA)
    outcome.reported()


def test_a_broken_download_is_whole_in_the_end(sonar: Program, scripted: Origin, folder: Path) -> None:
    """B1: "Range from where it stopped": the file has every byte once."""
    broken = Answer(200, body=DATA, cut=1_234_567, then="reset")
    scripted.on("GET", PATH, broken, RESET, Answer(503), ranged(DATA))
    sonar("blob", "get", f"{scripted.host}/a@{digest(DATA)}", "-O", folder / "blob").succeeded()
    assert (folder / "blob").read_bytes() == DATA
    assert [path.name for path in folder.iterdir()] == ["blob"]


def test_a_file_that_can_not_be_written(sonar: Program, scripted: Origin, folder: Path) -> None:
    """B1: no folder, a folder in its place: an error in one line."""
    scripted.on("GET", PATH, Answer(200, body=DATA))
    for target in (folder / "missing" / "blob", "/dev/full"):
        sonar("blob", "get", f"{scripted.host}/a@{digest(DATA)}", "-O", target).failed()
    assert sonar("blob", "get", f"{scripted.host}/a@{digest(DATA)}", "-O", folder).code == 2
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 1_500_000])
def test_an_interrupted_download_leaves_no_file(sonar: Program, scripted: Origin, folder: Path, cut: int) -> None:
    """B4: "Ctrl-C … leave no partial files, exit 130 … within two seconds"."""
    scripted.on("GET", PATH, Answer(200, body=DATA, cut=cut, then="hang"))
    running = sonar.start("blob", "get", f"{scripted.host}/a@{digest(DATA)}", "-O", str(folder / "blob"))
    scripted.wait_for(1)
    running.interrupt()
    outcome = running.wait(2)
    assert outcome.code == 130, outcome.shown()
    assert "Traceback" not in outcome.err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("chunk", [[], ["--chunk", "1MB"]])
def test_an_interrupted_upload_gives_its_session_up(
    sonar: Program, scripted: Origin, folder: Path, chunk: list[str]
) -> None:
    """B4: "Ctrl-C … DELETE open sessions … exit 130 … within two seconds"."""
    uploads = Uploads(scripted, "a")
    scripted.on("PATCH|PUT", uploads.sessions, Answer(raw=b"", read=1000, then="hang"))
    file = folder / "blob"
    file.write_bytes(DATA)
    running = sonar.start("blob", "put", f"{scripted.host}/a", str(file), *chunk)
    for count in range(1, 10):
        if scripted.wait_for(count)[-1].method in ("PATCH", "PUT"):
            break
    running.interrupt()
    outcome = running.wait(2)
    assert outcome.code == 130, outcome.shown()
    assert "Traceback" not in outcome.err
    assert uploads.open == {}
    assert uploads.stored == {}


@pytest.mark.parametrize("chunk", [[], ["--chunk", "1MB"]])
def test_a_registry_that_closes_after_each_answer(
    sonar: Program, scripted: Origin, folder: Path, chunk: list[str]
) -> None:
    """T3: "Retried: connection failures": a kept connection that was closed meanwhile is no failure."""
    uploads = Uploads(scripted, "a")
    from dataclasses import replace

    from sonar_core.testing.scripted import Reply, Request

    def closing(handler: Reply) -> Reply:
        def answer(request: Request) -> Answer:
            found = handler(request) if callable(handler) else handler
            return replace(found, then="close")

        return answer

    scripted.on("POST", "/v2/a/blobs/uploads/", closing(uploads.begin))
    scripted.on("PATCH", uploads.sessions, closing(uploads.patch))
    scripted.on("PUT", uploads.sessions, closing(uploads.put))
    file = folder / "blob"
    file.write_bytes(DATA)
    for _ in range(5):
        uploads.stored.clear()
        sonar("blob", "put", f"{scripted.host}/a", file, *chunk).succeeded()
        assert uploads.stored == {digest(DATA): DATA}


def test_an_upload_with_the_wrong_digest_sends_nothing(sonar: Program, scripted: Origin, folder: Path) -> None:
    """N2: content that is not what it should be is not pushed."""
    uploads = Uploads(scripted, "a")
    (folder / "blob").write_bytes(DATA)
    wanted = "sha256:" + "0" * 64
    outcome = sonar("blob", "put", f"{scripted.host}/a", folder / "blob", "--digest", wanted)
    assert outcome.code == 5, outcome.shown()
    assert uploads.stored == {}
    assert uploads.open == {}
