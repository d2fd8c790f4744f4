"""The entry point: from `sys.argv` to an exit code."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

_FROM_SIGNALS = 128  # exit codes above this are those of runs that a signal ended


def main() -> NoReturn:
    """Run the program and exit."""
    # What a start makes lives to its end: looking through it for garbage costs more than the work of many commands.
    # The collector is switched on again when a command begins (`Shell`).
    gc.disable()
    try:
        from . import output, signals

        signals.prepare()
        output.prepare()
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before the signals were prepared
        print("sonar: interrupted", file=sys.stderr)
        code = 130
    gc.freeze()  # nor is it worth looking through on the way out
    if code > _FROM_SIGNALS:
        # sys.exit() would wait for threads, and one that looks up a name can't be interrupted.
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the program with `arguments`, and return its exit code."""
    from . import output
    from .failures import exit_code_for

    try:
        code = _run(arguments)
        output.flush()
    except BaseException as error:
        return exit_code_for(error)
    return code


def _run(arguments: list[str]) -> int:
    from . import output
    from .failures import tell

    if arguments in (["--version"], ["-V"]):
        from sonar_core._version import __version__

        output.write(f"sonar {__version__}\n")
        return 0
    from .tree import build_tree

    program = build_tree(_left_out(arguments))
    try:
        with output.failures(), _completing():  # help, mostly: what commands raise is caught in the shell
            program.main(args=arguments, prog_name="sonar", standalone_mode=True)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            tell(stop.code)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def _completing() -> AbstractContextManager[None]:
    if "_SONAR_COMPLETE" not in os.environ:
        return nullcontext()
    from .completion import bash_words

    return bash_words()


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
