"""What sonar ships for plugin authors."""

pytest_plugins = ["sonar_core.testing.fixtures"]
