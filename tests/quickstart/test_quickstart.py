"""The tour: its steps are real, and the image in it is one that others can read."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from sonar_core.manifest import Manifest
from sonar_core.testing.program import Sonar
from sonar_plugins.quickstart.image import build
from tests.support.skopeo import Skopeo


def test_the_tour_runs_and_shows_what_each_command_printed(sonar: Sonar) -> None:
    done = sonar("quickstart", "-o", "json")
    assert done.code == 0, done.stderr
    *steps, last = done.json
    nouns = [re.match(r"sonar (\w+)", step["command"])[1] for step in steps]
    assert nouns == ["check", "repo", "tag", "manifest", "blob"]
    assert all(step["output"] for step in steps)
    tag, digest = steps[2]["output"].split()
    index = Manifest.parse(steps[3]["output"].rstrip("\n").encode())
    assert tag == "v1"
    assert digest == str(build().index.digest)
    assert [entry.platform.architecture for entry in index.manifests] == ["amd64", "arm64"]
    assert last["command"] == ""
    assert "sonar --help" in last["output"]


def test_the_image_has_what_an_image_has() -> None:
    built = build()
    for manifest in built.manifests:
        config = json.loads(built.blobs[manifest.config.digest])
        assert len(config["rootfs"]["diff_ids"]) == len(config["history"]) == len(manifest.layers) == 2
        assert all(built.blobs[layer.digest][:2] == b"\x1f\x8b" for layer in manifest.layers)
    amd64, arm64 = built.manifests
    assert amd64.layers[0] == arm64.layers[0]
    assert amd64.layers[1] != arm64.layers[1]


def test_keep_leaves_the_registry_for_others_until_ctrl_c(tmp_path: Path, skopeo: Skopeo) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sonar_core.cli", "quickstart", "--keep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    try:
        lines = iter(process.stderr.readline, "")
        kept = next(line for line in lines if "Ctrl-C" in line)
        image = re.search(r"(\S+/demo/sonar:v1)", kept)[1]
        pulled = tmp_path / "pulled"
        skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{image}", f"oci:{pulled}:v1")
        index = json.loads((pulled / "index.json").read_text())
        assert index["manifests"][0]["digest"] == str(build().index.digest)
    finally:
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=10)
    assert process.returncode == 0, stderr
    assert "was stopped" in stderr
    assert image.partition("/")[0] in stdout
