"""Taking a backend out of service: the guard that counts who would be left, and what is told to whom. Pure.

The monitor asks the backend to say not ready; it goes on serving. HAProxy, Kubernetes and an ALB that asks `/ready` then send
it nothing new; open-source nginx asks nobody and must be told by `python -m deploy drain`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.fleet import BalancerKind


@dataclass(frozen=True)
class Intent:
    """That a backend shall be out of service, since when and by whose word (an opaque id)."""

    since: datetime
    by: str

    def to_row(self) -> dict[str, str]:
        return {"since": self.since.isoformat(), "by": self.by}

    @classmethod
    def from_row(cls, row: Any) -> Intent | None:
        try:
            return cls(datetime.fromisoformat(row["since"]), str(row["by"]))
        except (TypeError, KeyError, ValueError):
            return None


@dataclass(frozen=True)
class Left:
    """Who would still serve: `names` of `total`."""

    names: tuple[str, ...]
    total: int

    @property
    def sentence(self) -> str:
        who = f": {', '.join(self.names)}" if self.names else ""
        return f"{len(self.names) or 'None'} of {self.total} would be left{who}."


def left_without(name: str, eligible: Iterable[str], *, total: int) -> Left:
    """Who serves once `name` does not; `eligible` are those that do now."""
    return Left(tuple(sorted(one for one in eligible if one != name)), total)


def refused(left: Left, *, accept_left: int | None) -> bool:
    """Whether the guard says no: fewer than the caller accepts, which is half of the fleet where nothing is said."""
    least = math.ceil(left.total / 2) if accept_left is None else accept_left
    return len(left.names) < least


def next_step(name: str, kind: BalancerKind) -> str:
    """What else there is to do."""
    if kind is BalancerKind.nginx:
        return f"Open-source nginx does not ask: run `python -m deploy drain {name}` where it runs."
    if kind is BalancerKind.haproxy:
        return "HAProxy asks /ready and sends it nothing new within its check's interval."
    return "Whoever balances must ask /ready: then it sends nothing new."


def after_return(failure: str | None, detail: str, kind: BalancerKind) -> str:
    """What follows a return; `failure`: the code why the backend could not be told, None where it was."""
    if failure is None:
        said = "It was told, and serves again as soon as its /ready passes."
    elif failure == "APP.STATUS.409":
        said = "It was told to end and cannot be put back: the process that is started in its place serves."
    elif failure in ("APP.STATUS.404", "APP.STATUS.405"):
        said = "Its release cannot be put back: it serves again once it is restarted."
    elif failure.startswith(("APP.STATUS.4", "MON.KEY")):
        said = f"It could not be told ({detail}): it serves again once it is restarted, or is returned with an operator's key."
    else:
        said = f"It did not hear of it ({failure}): if it still drains when it answers again, return it once more."
    undo = " Undo in nginx what `python -m deploy drain` did there." if kind is BalancerKind.nginx else ""
    return said + undo
