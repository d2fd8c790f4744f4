"""Looking into a layer of 180 MB with 30,000 files: listed beside `tar tzf`, extracted beside `tar xzf`."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import SONAR, Case, Contender, run
from tests.support import images
from tests.support.processes import require

_DIRECTORIES, _FILES = 2500, 11  # in each
_MEAN = 6700  # bytes
_RUNS = 7


def cases() -> Iterator[list[str]]:
    """Run all of them."""
    tar = require("tar")
    with tempfile.TemporaryDirectory(prefix="sonar-bench-") as name:
        directory = Path(name)
        packed, diff_id = _layer()
        media_type = "application/vnd.oci.image.layer.v1.tar+gzip"
        image = images.image(images.Layer(images.Content(media_type, packed), diff_id))
        place = f"oci:{images.write_layout(directory / 'layout', {'v1': image})}:v1"
        archive = directory / "layer.tar.gz"
        archive.write_bytes(packed)
        ours, theirs = directory / "ours", directory / "theirs"
        start = f"{SONAR} image files --help > /dev/null && "
        yield run(
            Case(
                f"listing {_DIRECTORIES * (_FILES + 1)} entries of a gzip layer, {_fast()}",
                {
                    "sonar": Contender([SONAR, "image", "files", place]),
                    "tar": Contender([tar, "tzf", str(archive)]),
                    "tar and a start of sonar": Contender(["sh", "-c", f"{start}{tar} tzf {archive}"]),
                },
                [("sonar", "tar and a start of sonar", 1.0)],
                _RUNS,
            )
        ).lines()
        yield run(
            Case(
                f"extracting the same, {_fast()}",
                {
                    "sonar": Contender([SONAR, "image", "extract", place, str(ours)], lambda: _gone(ours)),
                    "tar": Contender([tar, "xzf", str(archive), "-C", str(theirs)], lambda: _empty(theirs)),
                },
                [("sonar", "tar", 1.5)],
                _RUNS,
            )
        ).lines()


def _fast() -> str:
    try:
        import isal  # noqa: F401
    except ImportError:
        return "without the extra `fast`"
    return "with the extra `fast`"


def _gone(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def _empty(directory: Path) -> None:
    _gone(directory)
    directory.mkdir()


def _layer() -> tuple[bytes, str]:
    """The layer, packed, and its diff ID: text and noise, half of the size when packed, as a real one."""
    rng = random.Random(5)  # noqa: S311 (content)
    words = [rng.randbytes(6).hex()[: rng.randint(3, 11)].encode() for _ in range(4000)]
    text = b" ".join(rng.choice(words) for _ in range(400_000))
    noise = rng.randbytes(1 << 20)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(_DIRECTORIES):
            parent = f"usr/lib/package-{number % 97}/python3/dist-packages/module_{number}"
            _add(archive, parent, None, number)
            for name in range(_FILES):
                size = min(int(rng.expovariate(1 / _MEAN)), 1 << 20)
                _add(archive, f"{parent}/file_{name}.py", _content(rng, text, noise, size), number + name)
    return gzip.compress(plain.getvalue(), 6, mtime=0), images.sha256(plain.getvalue())


def _add(archive: tarfile.TarFile, name: str, content: bytes | None, seconds: int) -> None:
    info = tarfile.TarInfo(name)
    info.mtime = 1_700_000_000 + seconds
    if content is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size, info.mode = len(content), 0o644
    archive.addfile(info, io.BytesIO(content or b""))


def _content(rng: random.Random, text: bytes, noise: bytes, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        source, most = (text, 8000) if rng.random() < 0.75 else (noise, 2500)
        start = rng.randrange(len(source) - most)
        parts += source[start : start + rng.randint(50, most)]
    return bytes(parts[:size])
