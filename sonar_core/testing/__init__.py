"""What plugin authors test with: servers on real sockets, as pytest fixtures.

Put `pytest_plugins = ["sonar_core.testing.fixtures"]` into your top `conftest.py`. Nothing here needs
more than pytest and the standard library; TLS certificates are made by the `openssl` program, and a test
that wants one is skipped where there is none.
"""
