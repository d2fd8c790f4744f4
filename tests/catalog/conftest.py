"""Registries, Clients, and the program in this process."""

from __future__ import annotations

from tests.core.conftest import clients
from tests.support.endpoints import embedded, host, sonar

__all__ = ["clients", "embedded", "host", "sonar"]
