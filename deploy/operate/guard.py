"""Who would be left: counted before anybody is taken out of service. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from deploy.sentence import Sentence


def refuse(name: str, ready: Mapping[str, bool], *, accept_left: int | None) -> None:
    """Raises `Sentence` where fewer than `accept_left` (None: half of the fleet, as for the monitor) would serve without it."""
    left = sorted(other for other, is_ready in ready.items() if is_ready and other != name)
    least = math.ceil(len(ready) / 2) if accept_left is None else accept_left
    if len(left) >= least:
        return
    who = f" ({', '.join(left)})" if left else ""
    raise Sentence(
        f"only {len(left)} of {len(ready)} would be left{who} without {name}, and {least} are wanted. "
        f"Bring the others back first, or say --accept-left {len(left)}"
    )
