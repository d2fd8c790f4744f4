"""300,000 entries: what listing them costs in memory. A bomb: what it does not cost."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support import images

pytestmark = pytest.mark.slow

PEAK = 120 << 10  # KiB


MEASURE = """
import resource, subprocess, sys
out = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
print(out.count(b"\\n"), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_of(*arguments: str) -> tuple[int, int]:
    """Lines on stdout, and the most memory that the program held, in KiB.

    A small process starts it: what a process holds before exec(2), a copy of its parent, counts for its peak.
    """
    program = str(Path(sys.executable).with_name("sonar"))
    command = [sys.executable, "-c", MEASURE, program, *arguments]
    lines, peak = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return int(lines), int(peak)


def place_of(packed: bytes, directory: Path) -> str:
    """An image of one layer. Its diff ID is a wrong one, which listing does not look at."""
    media_type = "application/vnd.oci.image.layer.v1.tar+gzip"
    layer = images.Layer(images.Content(media_type, packed), "sha256:" + "0" * 64)
    return f"oci:{images.write_layout(directory, {'v1': images.image(layer)})}:v1"


def many_entries() -> bytes:
    """25,000 directories with 11 files each, no two with the same name, size or time."""
    out = io.BytesIO()
    with (
        gzip.open(out, "wb", 1) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as archive,
    ):
        for index in range(25_000):
            parent = f"usr/lib/package-{index % 97}/python3/dist-packages/module_{index}"
            info = tarfile.TarInfo(parent)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, 1_700_000_000 + 13 * index
            archive.addfile(info)
            for number in range(11):
                info = tarfile.TarInfo(f"{parent}/source_file_{index}_{number}.py")
                info.size, info.mtime = 300 + (index * 7 + number * 91) % 900, 1_700_000_000 + 13 * index + number
                archive.addfile(info, io.BytesIO(b"x" * info.size))
    return out.getvalue()


def test_300_000_entries_are_listed_in_120_mib(tmp_path: Path) -> None:
    """Issue: "Peak RSS under 120 MiB with 300,000 entries"."""
    place = place_of(many_entries(), tmp_path)
    lines, peak = peak_of("image", "files", place)
    assert lines > 300_000
    assert peak < PEAK
    assert peak_of("image", "layers", place)[1] < PEAK


def test_a_file_of_4_gib_of_zeros_takes_no_memory(tmp_path: Path) -> None:
    """4 MB of gzip that unpack to 4 GiB."""
    info = tarfile.TarInfo("zeros")
    info.size = 4 << 30
    zeros = gzip.compress(bytes(64 << 20), 9) * 64
    place = place_of(gzip.compress(info.tobuf(tarfile.PAX_FORMAT)) + zeros + gzip.compress(bytes(1024)), tmp_path)
    lines, peak = peak_of("image", "files", place)
    assert lines == 1
    assert peak < 80 << 10
