"""A process that has the program imported already and forks for each run: 500 runs without 500 start-ups.

Each run is still a process of its own, with its own arguments, environment, working directory, files for stdout and
stderr, signals, memory and exit. One request is one line of JSON on the first descriptor; the second answers with
the child's process id when it runs, and with its status and peak memory when it ended.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import sys
from typing import Any


def _preload() -> None:
    """Everything that a command may import; what can't be imported is a matter of the run."""
    for name in ("sonar_core", "sonar_plugins"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}.", onerror=lambda _: None):
            if ".testing" not in module.name and not module.name.endswith("__main__"):
                try:
                    importlib.import_module(module.name)
                except Exception:  # noqa: S112
                    continue


def _become(request: dict[str, Any]) -> None:
    """In the child: what an exec would have set up."""
    for number, (path, flags) in enumerate(
        [("/dev/null", os.O_RDONLY), (request["out"], os.O_WRONLY), (request["err"], os.O_WRONLY)]
    ):
        descriptor = os.open(path, flags)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv = ["sonar", *request["arguments"]]
    sys.path[:0] = (
        request["environment"].get("PYTHONPATH", "").split(os.pathsep) if "PYTHONPATH" in request["environment"] else []
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)


def serve(requests_end: int, answers_end: int) -> None:
    """Forks for each request until there are no more. Each child ends as the program does, by SystemExit."""
    _preload()
    from sonar_core.cli.main import main

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(requests_end, closefd=False) as requests:
        while line := requests.readline():
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                os.close(requests_end)
                os.close(answers_end)
                _become(request)
                main()
            os.write(answers_end, f"{pid}\n".encode())
            _, status, usage = os.wait4(pid, 0)
            os.write(answers_end, f"{json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss])}\n".encode())


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
