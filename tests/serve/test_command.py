"""`sonar serve`: what it prints, how it ends, what it refuses."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from sonar_plugins.serve.server import EmbeddedRegistry
from tests.serve.conftest import Caller
from tests.serve.contents import Set, push
from tests.serve.program import Serving, command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(how: signal.Signals) -> None:
    serving = Serving.start()
    call = Caller(serving.host)
    assert call("GET", "/v2/").status == 200
    call.close()
    assert serving.end(how) == (0, "sonar: stopped\n")


def test_content_lasts_with_root_and_read_only_keeps_it(tmp_path: Path) -> None:
    content = Set()
    content.image(tag="latest")
    serving = Serving.start("--root", str(tmp_path / "new" / "root"))
    call = Caller(serving.host)
    push(call, "library/hello", content)
    call.close()
    assert serving.end(signal.SIGTERM)[0] == 0
    serving = Serving.start("--root", str(tmp_path / "new" / "root"), "--read-only")
    call = Caller(serving.host)
    assert call("GET", "/v2/library/hello/manifests/latest").status == 200
    assert call("DELETE", "/v2/library/hello/manifests/latest").status == 405
    call.close()
    serving.kill()


def test_verbose_is_one_line_for_each_request() -> None:
    serving = Serving.start("-v")
    call = Caller(serving.host)
    call("GET", "/v2/")
    call("POST", "/v2/a/blobs/uploads/?mount=%1b[31m", b"")
    call.close()
    lines = serving.end(signal.SIGINT)[1].splitlines()
    assert lines[0] == "sonar: GET /v2/ 200 (0 B in, 2 B out)"
    assert lines[1].startswith("sonar: POST /v2/a/blobs/uploads/?mount=%1b[31m 400 (0 B in, ")
    assert lines[2:] == ["sonar: stopped"]


def test_without_options_it_tells_where_it_listens() -> None:
    process = subprocess.Popen([*command(), "--address", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    process.kill()
    process.communicate(timeout=20)
    assert line.startswith("a registry listens on 127.0.0.1:")
    assert line.endswith(" with its content in memory; Ctrl-C ends it\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--address", ":99999"], "'99999' is not a port"),
        (["--address", ":-1"], "'-1' is not a port"),
        (["--address", "a b:5000"], "'a b' is not the host of a registry"),
        (["--address", "192.0.2.1:5000"], "can't listen on 192.0.2.1:5000: cannot assign requested address"),
        (["--root", "/dev/null"], "can't keep a registry in /dev/null: "),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(options: list[str], says: str) -> None:
    done = subprocess.run([*command(), *options], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_named() -> None:
    with EmbeddedRegistry() as registry:
        host = registry.host
        done = subprocess.run([*command(), "--address", host], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert done.stderr == f"sonar: can't listen on {host}: address already in use; choose another address\n"
