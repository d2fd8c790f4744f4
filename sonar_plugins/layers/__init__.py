"""Layers as a file system: what an image holds, seen without pulling it."""
