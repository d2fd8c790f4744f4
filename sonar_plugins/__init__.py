"""The built-in plugins, one folder each. Each is an entry point of the group `sonar`, like a third party's."""
