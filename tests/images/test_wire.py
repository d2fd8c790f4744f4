"""How many requests a copy costs, counted on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonar_core.errors import SonarError
from sonar_core.settings import Settings
from tests.images import samples
from tests.support import images
from tests.support.push import push

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonar_plugins.images import CopyResult
    from sonar_plugins.serve.server import EmbeddedRegistry
    from tests.images.conftest import Wire
    from tests.support.docker_registry import DockerRegistry

pytestmark = pytest.mark.real


@pytest.fixture
def recorded(shared_registry: DockerRegistry, wire: Callable[[str], Wire]) -> Wire:
    """The shared registry, with a record."""
    return wire(shared_registry.host)


def test_an_unchanged_copy_is_two_requests(
    move: Callable[..., CopyResult], recorded: Wire, shared_registry: DockerRegistry
) -> None:
    """Issue 4, acceptance 3: "unchanged copy = 2"; also of an index."""
    push(shared_registry.url, "wire/a", "v1", samples.many_platforms())
    move(f"{recorded.host}/wire/a:v1", f"{recorded.host}/wire/b:v1")
    recorded.requests()
    assert move(f"{recorded.host}/wire/a:v1", f"{recorded.host}/wire/b:v1").unchanged
    assert recorded.count() == {"HEAD": 2}


def test_a_retag_is_two_requests(
    move: Callable[..., CopyResult], recorded: Wire, shared_registry: DockerRegistry
) -> None:
    """Acceptance 3: "retag = 2"."""
    push(shared_registry.url, "wire/retag", "v1", samples.many_platforms())
    move(f"{recorded.host}/wire/retag:v1", f"{recorded.host}/wire/retag:v2")
    assert recorded.count() == {"GET": 1, "PUT": 1}


def test_inside_one_registry_blobs_are_mounted(
    move: Callable[..., CopyResult], recorded: Wire, shared_registry: DockerRegistry
) -> None:
    """Acceptance 3: "copy inside one registry = 1 mount a blob and no blob bytes"."""
    sample = samples.oci()
    push(shared_registry.url, "wire/mount-from", "v1", sample)
    result = move(f"{recorded.host}/wire/mount-from:v1", f"{recorded.host}/wire/mount-to:v1")
    assert {str(blob.digest) for blob in result.mounted} == {blob.digest for blob in sample.blobs}
    assert result.sent == ()
    assert result.skipped == ()
    requests = recorded.requests()
    blobs = [(method, path) for method, path in requests if "/blobs/" in path]
    assert len(blobs) == len(sample.blobs)
    assert all(method == "POST" and "mount=" in path for method, path in blobs)
    assert len(requests) == len(blobs) + 4


def test_a_first_copy_is_three_requests_a_blob(
    move: Callable[..., CopyResult],
    recorded: Wire,
    shared_registry: DockerRegistry,
    sonar_registry: EmbeddedRegistry,
) -> None:
    """Acceptance 3: "no more than 1 HEAD, 1 POST, 1 PUT a blob"."""
    sample = images.image(*(images.layer({f"{number}": images.noise(3000, number)}) for number in range(20)))
    push(f"http://{sonar_registry.host}", "wire/start", "v1", sample)
    result = move(f"{sonar_registry.host}/wire/start:v1", f"{recorded.host}/wire/first:v1")
    assert len(result.sent) == 21
    requests = recorded.requests()
    blobs = [method for method, path in requests if "/blobs/" in path]
    assert {method: blobs.count(method) for method in set(blobs)} == {"HEAD": 21, "POST": 21, "PUT": 21}
    assert [method for method, path in requests if "/manifests/" in path] == ["HEAD", "PUT"]


def test_what_is_there_is_not_sent(
    move: Callable[..., CopyResult], recorded: Wire, sonar_registry: EmbeddedRegistry
) -> None:
    """DESIGN 5: "What the target has is not sent": a new version of an index shares images with the old one."""
    old = samples.many_platforms()
    changed = images.image(images.layer({"new": b"new"}), platform="linux/amd64")
    new = images.index(changed, *old.children[1:])
    url, host = f"http://{sonar_registry.host}", sonar_registry.host
    push(url, "wire/versions", "old", old)
    push(url, "wire/versions", "new", new)
    move(f"{host}/wire/versions:old", f"{recorded.host}/wire/grown:v1")
    recorded.requests()
    result = move(f"{host}/wire/versions:new", f"{recorded.host}/wire/grown:v1")
    assert {str(blob.digest) for blob in result.sent} == {blob.digest for blob in changed.blobs}
    assert len(result.manifests) == 2
    puts = [path for method, path in recorded.requests() if method == "PUT"]
    assert len(puts) == 2 + 2


def test_each_digest_is_moved_once(
    move: Callable[..., CopyResult], recorded: Wire, sonar_registry: EmbeddedRegistry
) -> None:
    """DESIGN 5: "each digest is moved once": layers that platforms share, a layer twice in one image."""
    twice = images.layer({"twice": b"2"})
    sample = images.index(images.image(twice, twice), images.image(twice, platform="linux/arm64/v8"))
    push(f"http://{sonar_registry.host}", "wire/once", "v1", sample)
    result = move(f"{sonar_registry.host}/wire/once:v1", f"{recorded.host}/wire/once:v1")
    assert len(result.sent) == 3
    assert sum(method == "POST" for method, _ in recorded.requests()) == 3


def test_no_clobber(move: Callable[..., CopyResult], recorded: Wire, sonar_registry: EmbeddedRegistry) -> None:
    """Issue 4: "`--no-clobber` refuses to move an existing tag"; one that stands for the same is no reason."""
    url, host = f"http://{sonar_registry.host}", sonar_registry.host
    push(url, "clobber/a", "one", samples.oci())
    push(url, "clobber/a", "two", samples.docker())
    move(f"{host}/clobber/a:one", f"{recorded.host}/clobber/b:v1", clobber=False)
    assert move(f"{host}/clobber/a:one", f"{recorded.host}/clobber/b:v1", clobber=False).unchanged
    recorded.requests()
    with pytest.raises(SonarError, match="is there already"):
        move(f"{host}/clobber/a:two", f"{recorded.host}/clobber/b:v1", clobber=False)
    assert recorded.count() == {"HEAD": 1}


def test_no_clobber_within_one_repository(move: Callable[..., CopyResult], shared_registry: DockerRegistry) -> None:
    push(shared_registry.url, "clobber/near", "one", samples.oci())
    push(shared_registry.url, "clobber/near", "two", samples.docker())
    host = shared_registry.host
    with pytest.raises(SonarError, match="is there already"):
        move(f"{host}/clobber/near:one", f"{host}/clobber/near:two", clobber=False)
    assert not move(f"{host}/clobber/near:one", f"{host}/clobber/near:three", clobber=False).unchanged


def test_a_dry_run_changes_nothing(
    move: Callable[..., CopyResult], recorded: Wire, sonar_registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    """Issue 4: "`--dry-run` prints the plan: what is mounted, skipped, sent, how many bytes"."""
    sample = samples.oci()
    url, host = f"http://{sonar_registry.host}", sonar_registry.host
    push(url, "dry/a", "v1", sample)
    planned = move(f"{host}/dry/a:v1", f"{recorded.host}/dry/b:v1", dry_run=True)
    assert set(recorded.count()) == {"HEAD"}
    done = move(f"{host}/dry/a:v1", f"{recorded.host}/dry/b:v1")
    assert (set(planned.sent), planned.bytes, planned.digest) == (set(done.sent), done.bytes, done.digest)
    assert planned.dry_run
    assert not done.dry_run
    again = move(f"{host}/dry/a:v1", f"{host}/dry/c:v1", dry_run=True)
    assert len(again.mounted) == len(sample.blobs)


def test_jobs_bound_the_connections(
    move: Callable[..., CopyResult], shared_registry: DockerRegistry, wire: Callable[[str], Wire], tmp_path: Path
) -> None:
    """Issue 4: "bounded transfers in parallel (`--jobs`)": one job, one connection."""
    sample = images.image(*(images.layer({f"{number}": images.noise(3000, number)}) for number in range(12)))
    push(shared_registry.url, "jobs/a", "v1", sample)
    for jobs in (1, 3):
        behind = wire(shared_registry.host)
        move(f"{behind.host}/jobs/a:v1", f"oci:{tmp_path}/{jobs}:v1", settings=Settings(jobs=jobs))
        assert 1 <= behind.proxy.connections <= jobs
