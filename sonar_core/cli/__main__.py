"""`python -m sonar_core.cli` is `sonar`."""

from __future__ import annotations

from .main import main

main()
