"""The program, and images made of layers made by hand."""

from __future__ import annotations

from tests.support.endpoints import sonar

__all__ = ["sonar"]
