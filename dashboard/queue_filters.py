"""Which cases of the queue are asked for, as the address of the page says it: `/duplicates?source=scan&state=open` is a link.

Pure. What an address has that is none of these is left out, so that an old link still opens a queue.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from backend import wire

ANY = "any"
OPEN = wire.CaseState.open.value
SOURCES = ("enrolment", "scan", "manual")
BANDS = ("review", "certain")
DUES = ("overdue", "in_time")
ORDERS = ("priority", "due")
AGES: Mapping[str, tuple[timedelta | None, timedelta | None]] = {
    "hour": (timedelta(hours=1), None),
    "day": (timedelta(days=1), None),
    "over_day": (None, timedelta(days=1)),
    "over_week": (None, timedelta(days=7)),
}
"""name → how old at most, and at least"""
MINE, NOBODY = "me", "nobody"
NAMES = ("state", "source", "band", "from", "to", "age", "holder", "due", "order")
"""of the parameters in the address"""

Order = Literal["priority", "due"]


@dataclass(frozen=True)
class QueueFilters:
    """Words as they stand in the address; `holder` is `me`, `nobody`, a person's name or empty."""

    state: str = OPEN
    source: str = ANY
    band: str = ANY
    least: float | None = None
    most: float | None = None
    age: str = ANY
    holder: str = ""
    due: str = ANY
    order: Order = "priority"

    @classmethod
    def from_address(cls, asked: Mapping[str, str]) -> QueueFilters:
        return cls(
            state=_one_of(asked.get("state"), (ANY, *(state.value for state in wire.CaseState)), OPEN),
            source=_one_of(asked.get("source"), SOURCES),
            band=_one_of(asked.get("band"), BANDS),
            least=_score(asked.get("from")),
            most=_score(asked.get("to")),
            age=_one_of(asked.get("age"), tuple(AGES)),
            holder=(asked.get("holder") or "").strip()[:200],
            due=_one_of(asked.get("due"), DUES),
            order="due" if asked.get("order") == "due" else "priority",
        )

    def as_address(self) -> dict[str, str]:
        """What differs from the queue as it opens."""
        least, most = ("" if value is None else f"{value:g}" for value in (self.least, self.most))
        said = {"state": self.state, "source": self.source, "band": self.band, "from": least, "to": most}
        said |= {"age": self.age, "holder": self.holder, "due": self.due, "order": self.order}
        usual = {"state": OPEN, "order": "priority"}
        return {name: value for name, value in said.items() if value not in (usual.get(name, ANY), "")}

    def as_question(self, person_id: str, now: datetime) -> dict[str, Any]:
        """Arguments of `BackendClient.cases`; `now` is aware."""
        youngest, oldest = AGES.get(self.age, (None, None))
        return {
            "state": None if self.state == ANY else wire.CaseState(self.state),
            "source": None if self.source == ANY else self.source,
            "band": None if self.band == ANY else self.band,
            "min_score": self.least,
            "max_score": self.most,
            "created_from": None if youngest is None else now - youngest,
            "created_until": None if oldest is None else now - oldest,
            "overdue": None if self.due == ANY else self.due == "overdue",
            "order": None if self.order == "priority" else self.order,
            **_held_by(self.holder, person_id),
        }


def _held_by(holder: str, person_id: str) -> dict[str, Any]:
    if not holder:
        return {}
    if holder == NOBODY:
        return {"held": False}
    return {"assignee": person_id if holder == MINE else holder if holder.startswith("usr_") else f"usr_{holder}"}


def _one_of(word: str | None, words: tuple[str, ...], otherwise: str = ANY) -> str:
    return word if word in words else otherwise


def _score(word: str | None) -> float | None:
    try:
        value = float(word or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
