"""The entry point: from `sys.argv` to an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from sonar_core._version import __version__


def main() -> NoReturn:
    """Run the program and exit."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        print(f"sonar {__version__}")
        sys.exit(0)
    # A name from a file system or a registry may hold bytes that are no UTF-8: shown escaped, never a crash.
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
    except OSError as error:
        print(f"sonar: cannot write the result: {(error.strerror or str(error)).lower()}", file=sys.stderr)
        silence_stdout()
        code = code or 1
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the program with `arguments`, and return its exit code."""
    from .failures import exit_code_for
    from .tree import build_tree

    try:
        command = build_tree(_left_out(arguments))
        command.main(args=arguments, prog_name="sonar", standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:
        return exit_code_for(error)
    return 0


def _left_out(arguments: list[str]) -> list[str]:
    """The plugins that `--no-plugin` leaves out: needed before the commands are known, so read beforehand."""
    names = []
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == "--no-plugin" and position + 1 < len(arguments):
            names.append(arguments[position + 1])
        elif argument.startswith("--no-plugin="):
            names.append(argument.partition("=")[2])
    return names


def silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not fail on a closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
