"""What the tool says while it works goes to standard error, so that standard output holds results alone."""

from __future__ import annotations

import sys
from collections.abc import Callable

Say = Callable[[str], None]


def aloud(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
