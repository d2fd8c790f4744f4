"""What a long piece of work says while it is going on: typed events, to whoever wants to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["plan", "start", "advance", "finish"]


@dataclass(frozen=True)
class Event:
    """Something that happened. `item` names a transfer: the digest of what is moved.

    - `plan`: the work is known; `bytes` and `items` are the totals
    - `start`: a transfer of `bytes` begins
    - `advance`: `bytes` more have arrived; negative where some have to be had again
    - `finish`: it is over; `outcome` says how: "sent", "mounted", "skipped"
    """

    kind: Kind
    item: str = ""
    bytes: int = 0
    items: int = 0
    outcome: str = ""


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not want to know."""
