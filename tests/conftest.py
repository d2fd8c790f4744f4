"""The fixtures that every test may use: scripted origins, and real servers and clients."""

from __future__ import annotations

pytest_plugins = ["sonar_core.testing.fixtures", "tests.support.fixtures"]
