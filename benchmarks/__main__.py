"""`python -m benchmarks [NAME…]`: all benchmarks, or those named."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Run them and print what was measured."""
    known = sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "__main__", "harness")
    )
    names = sys.argv[1:] or known
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(f"there is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    for name in names:
        for lines in import_module(f"benchmarks.{name}").cases():
            print("\n".join(lines), flush=True)
            print()


main()
