"""Layers as a file system: what an image holds, seen without pulling it."""

from __future__ import annotations

from sonar_core.hookspecs import Command, hookimpl

_HERE = "sonar_plugins.layers"


@hookimpl
def sonar_commands() -> list[Command]:
    commands, shown = f"{_HERE}.commands", f"{_HERE}.shown"
    return [
        Command(
            ("image", "layers"),
            f"{_HERE}.listing:layers",
            "Show what each layer adds, changes, removes and wastes",
            text=f"{shown}:layers_text",
        ),
        Command(
            ("image", "files"),
            f"{_HERE}.listing:files",
            "List the files of an image, without pulling it",
            text=f"{shown}:listed_text",
        ),
        Command(("image", "cat"), f"{commands}:cat", "Show files of an image"),
        Command(
            ("image", "diff"),
            f"{_HERE}.comparing:diff",
            "Show what differs between two images",
            text=f"{shown}:difference_text",
        ),
        Command(
            ("image", "extract"),
            f"{commands}:extract",
            "Make the files of an image in a directory",
            text=f"{shown}:extracted_text",
        ),
        Command(
            ("image", "export"),
            f"{commands}:export",
            "Write the files of an image as one tar archive",
            text=f"{shown}:exported_text",
        ),
    ]
