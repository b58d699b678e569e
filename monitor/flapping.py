"""Nagios' measure of a state that changes too often to be believed; pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

STATES = 21
# Nagios' own thresholds. States here have hysteresis already: with rise 2 and fall 3 one cannot change more than 8 times in
# 20, which is 40 percent: a threshold of 50 would never be reached.
HIGH_PERCENT = 30.0
LOW_PERCENT = 20.0


def percent(states: Iterable[str]) -> float:
    """Weighted share of changes among the last 21 states, oldest first: 0 to 100.

    Newer changes weigh more: ``0.75 + 0.5 (i-1)/19`` for the i-th of 20 changes (Nagios Core, `flapping.c`). A shorter
    history counts as one that was quiet before.
    """
    recent = list(states)[-STATES:]
    changes = [old != new for old, new in itertools.pairwise(recent)]
    first = STATES - 1 - len(changes)
    weighted = sum(0.75 + 0.5 * (first + index) / 19 for index, changed in enumerate(changes) if changed)
    return 100.0 * weighted / (STATES - 1)


def is_flapping(states: Iterable[str], *, was: bool) -> bool:
    """Starts above the high threshold and ends below the low one, so that it does not flap itself."""
    return percent(states) >= (LOW_PERCENT if was else HIGH_PERCENT)
