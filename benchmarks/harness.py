"""Times of whole commands, the interpreter's start counted in: medians of interleaved runs, ratios to a peer.

Interleaved, because the machine is shared: what slows one run slows its neighbours, and a ratio of medians of runs that
took turns stays true where seconds do not.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
SONAR = str(Path(sys.executable).with_name("sonar"))
PEERS = str(ROOT / ".bench-venv" / "bin" / "python")

# Byte code is kept, as for any user; nothing of the user's own is read.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith(("SONAR_", "DOCKER_"))
}


@dataclass(frozen=True)
class Contender:
    """One way to do the work. `prepare` runs before each run, `verify` after each, both untimed."""

    command: Sequence[str]
    prepare: Callable[[], None] | None = None
    verify: Callable[[bytes], None] | None = None


@dataclass(frozen=True)
class Case:
    """The same work done by several contenders. `bounds`: (contender, peer, the most that their ratio may be)."""

    name: str
    contenders: Mapping[str, Contender]
    bounds: Sequence[tuple[str, str, float]] = ()
    runs: int = 7


@dataclass(frozen=True)
class Outcome:
    """The seconds of every run, by contender."""

    case: Case
    seconds: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def median(self, contender: str) -> float:
        return statistics.median(self.seconds[contender])

    def lines(self) -> list[str]:
        """A table of the medians, then each bound with the ratio that was measured."""
        shown = [f"{self.case.name} ({self.case.runs} runs each)"]
        width = max(map(len, self.seconds))
        for name, seconds in self.seconds.items():
            spread = f"{min(seconds):.3f} to {max(seconds):.3f}"
            shown.append(f"  {name:{width}}  {statistics.median(seconds):8.3f} s   ({spread})")
        for contender, peer, most in self.case.bounds:
            ratio = self.median(contender) / self.median(peer)
            verdict = "ok" if ratio <= most else "MISSED"
            shown.append(f"  {contender} / {peer} = {ratio:.2f}, at most {most:.2f}: {verdict}")
        return shown


def run(case: Case) -> Outcome:
    """Run a case: one round to warm up, then as many as it says, the contenders taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in case.contenders}
    for turn in range(case.runs + 1):
        for name, contender in case.contenders.items():
            taken = _time(name, contender)
            if turn:
                seconds[name].append(taken)
    return Outcome(case, seconds)


def _time(name: str, contender: Contender) -> float:
    if contender.prepare:
        contender.prepare()
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S603 (the benchmark's own commands)
        contender.command, env=ENVIRONMENT, capture_output=True, check=False
    )
    taken = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{name} failed: {' '.join(contender.command)}\n{done.stderr.decode(errors='replace')}")
    if contender.verify:
        contender.verify(done.stdout)
    return taken
