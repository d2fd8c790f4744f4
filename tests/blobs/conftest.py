"""The fixtures of endpoint tests."""

from __future__ import annotations

from tests.support.endpoints import connect, embedded, host, path, sonar

__all__ = ["connect", "embedded", "host", "path", "sonar"]
