"""Moving what a plan lists: blobs side by side, then the manifests, children before parents, the tag last."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

from sonar_core.content import Descriptor
from sonar_core.manifest import Manifest
from sonar_core.progress import Event, Listener
from sonar_core.stores import Blob, Incomplete, Reader

from .checked import Checked
from .plan import Plan
from .result import Tally
from .work import Work

ForeignReader = Callable[[Descriptor, Reader, int, int | None], Generator[bytes, None, None]]


class Transfer:
    """Carries out one plan. `fetch_foreign`: reads layers that are kept elsewhere; None: they are left there."""

    def __init__(
        self,
        plan: Plan,
        jobs: int,
        listen: Listener,
        fetch_foreign: ForeignReader | None = None,
    ) -> None:
        self._plan = plan
        self._fetch_foreign = fetch_foreign
        self._work = Work(jobs, self._interrupt)
        self._listen = listen
        self._source = plan.source.store
        self._target = plan.target.store
        self._mounts = True  # until the registry refuses one
        self.tally = Tally()

    def run(self) -> None:
        """Do it. After an error the target has no half blob, and the name stands for what it stood for before."""
        plan = self._plan
        blobs = self._blobs()
        self._listen(Event("plan", items=len(blobs), bytes=sum(blob.size for blob in blobs)))
        self._work.run(partial(self._move, blob) for blob in blobs)
        for level in plan.graph.levels():
            parts = [manifest for manifest in level if plan.root is None or manifest.digest != plan.root.digest]
            self._work.run(partial(self._put, manifest) for manifest in parts)
        if plan.root is not None:
            self._put_manifest(plan.root, plan.tag, part=False)

    def look(self) -> None:
        """Find out what `run` would do with each blob, and do nothing."""
        self._work.run(partial(self._look, blob) for blob in self._blobs())

    def _interrupt(self, seconds: float, wake: bool) -> None:
        for store in (self._source, self._target):
            store.interrupt(seconds, wake=wake)

    def _blobs(self) -> list[Descriptor]:
        """The largest first: so they end together with the others."""
        graph = self._plan.graph
        blobs = [*graph.blobs.values(), *(graph.foreign.values() if self._fetch_foreign else ())]
        return sorted(blobs, key=lambda blob: blob.size, reverse=True)

    def _look(self, blob: Descriptor) -> None:
        if self._target.has_blob(blob):
            self.tally.add("skipped", blob)
        else:
            self.tally.add("mounted" if self._target.mounts_from(self._source) else "sent", blob)

    def _move(self, blob: Descriptor) -> None:
        self._work.check()
        item = str(blob.digest)
        self._listen(Event("start", item, bytes=blob.size))
        outcome = self._outcome(blob)
        self.tally.add(outcome, blob)
        self._listen(Event("finish", item, bytes=blob.size, outcome=outcome))

    def _outcome(self, blob: Descriptor) -> str:
        if self._mounts and self._target.mounts_from(self._source):
            if self._target.mount(blob, self._source):
                return "mounted"
            self._mounts = False
        if self._target.has_blob(blob):
            return "skipped"
        self._send(blob)
        return "sent"

    def _send(self, blob: Descriptor) -> None:
        item = str(blob.digest)

        def advance(count: int) -> None:
            self._work.check()
            self._listen(Event("advance", item, bytes=count))

        self._target.put_blob(
            Blob(blob, self._reader(blob), str(self._source), lambda: 1 + self._work.spare(), advance)
        )

    def _reader(self, blob: Descriptor) -> Reader:
        if blob.data is not None:
            return partial(_embedded, blob.data)
        read: Reader = partial(self._source.open_blob, blob)
        if self._fetch_foreign is not None and blob.digest in self._plan.graph.foreign:
            read = partial(self._fetch_foreign, blob, read)
        return read if self._target.verifies else Checked(blob, read)

    def _put(self, manifest: Manifest) -> None:
        self._work.check()
        self._put_manifest(manifest, None, part=manifest.digest not in self._plan.referrer_digests)

    def _put_manifest(self, manifest: Manifest, tag: str | None, *, part: bool) -> None:
        try:
            self._target.put_manifest(manifest, tag, part=part)
        except Incomplete:
            again = self._again(manifest)
            if not again:
                raise
            # The target said that it had them. Registries do, of blobs that a clean-up has removed meanwhile.
            for blob in again:
                self.tally.skipped.remove(blob)
                self._send(blob)
                self.tally.add("sent", blob)
            self._target.put_manifest(manifest, tag, part=part)

    def _again(self, manifest: Manifest) -> list[Descriptor]:
        skipped = {blob.digest: blob for blob in self.tally.skipped}
        return [skipped[child.digest] for child in manifest.children() if child.digest in skipped]


def _embedded(data: bytes, start: int, stop: int | None) -> Generator[bytes, None, None]:
    yield data[start:stop]
