"""Images: copied, pulled, pushed, deleted, inspected.

from sonar_plugins.images import copy

result = copy("localhost:5000/hello:v1", "oci:hello:v1")
print(result.digest, len(result.sent))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sonar_core.hookspecs import Command, hookimpl

if TYPE_CHECKING:
    from .copying import copy as copy
    from .copying import copy_place as copy_place
    from .plan import Options as Options
    from .result import CopyResult as CopyResult

_HOMES = {"copy": "copying", "copy_place": "copying", "Options": "plan", "CopyResult": "result"}
_COMMANDS = "sonar_plugins.images.commands"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


@hookimpl
def sonar_commands() -> list[Command]:
    copied, removed = f"{_COMMANDS}:copied_text", f"{_COMMANDS}:removed_text"
    return [
        Command(("image", "copy"), f"{_COMMANDS}:copy", "Copy an image from any place to any other", text=copied),
        Command(("image", "pull"), f"{_COMMANDS}:pull", "Fetch images into a layout or an archive", text=copied),
        Command(("image", "push"), f"{_COMMANDS}:push", "Send images to a registry", text=copied),
        Command(("image", "rm"), f"{_COMMANDS}:rm", "Delete images by digest, with their tags", text=removed),
        Command(
            ("image", "inspect"),
            "sonar_plugins.images.inspect:inspect",
            "Show what images consist of: platforms, config, layers and their history",
            text="sonar_plugins.images.inspect:text",
        ),
        Command(("tag", "add"), "sonar_plugins.images.tagging:add", "Give an image more tags, without any transfer"),
        Command(
            ("tag", "rm"),
            "sonar_plugins.images.tagging:rm",
            "Remove tags; what they named stays",
            text="sonar_plugins.images.tagging:text",
        ),
    ]
