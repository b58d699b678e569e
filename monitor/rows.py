"""Between what the monitor knows of a backend and the rows that it keeps."""

from __future__ import annotations

from typing import Any

from monitor.backend_watch import BackendWatch
from monitor.drain import Intent
from monitor.load import Increment
from monitor.probe.outcome import Round
from monitor.store.tables import BackendState, Sample
from monitor.verdict import Outcome, Rule, Standing, Standings, Verdict, adapted
from monitor.wire import ProbeKind, State


def state_row(backend: BackendWatch) -> BackendState:
    standings: dict[str, Any] = {kind.value: _standing_to(backend.standing(kind)) for kind in ProbeKind}
    return BackendState(
        name=backend.spec.name,
        state=backend.verdict.state,
        since=backend.since,
        reason=backend.verdict.reason,
        detail=backend.verdict.detail,
        last_sample_at=backend.last_sample_at,
        standings=standings
        | {"address": backend.spec.address, "recent": list(backend.states), "flapping": backend.flapping}
        | ({"drain": backend.drain.to_row()} if backend.drain else {}),
    )


def sample_row(backend: BackendWatch, heard_now: Round, increment: Increment | None, *, valid_s: float) -> Sample:
    live = heard_now.results[ProbeKind.live]
    return Sample(
        at=heard_now.at,
        backend=backend.spec.name,
        state=backend.verdict.state,
        up=backend.verdict.state is State.up,
        probe_ms=live.latency_ms if live.reason is None else None,
        requests=increment.requests if increment else None,
        errors=increment.errors if increment else None,
        latency=increment.latency.to_pairs() if increment else None,
        valid_s=valid_s,
        in_flight=heard_now.scrape.in_flight if heard_now.scrape else None,
    )


def _standing_to(standing: Standing) -> dict[str, Any]:
    failure = standing.failure
    return {
        "health": standing.health,
        "failing": standing.failing,
        "failure": [failure.reason, failure.detail] if failure else None,
    }


def _standing_from(stored: Any) -> Standing:
    if not isinstance(stored, dict):
        return Standing()
    failure = stored.get("failure")
    return Standing(
        health=stored.get("health"),
        failing=bool(stored.get("failing")),
        failure=Outcome(False, failure[0], failure[1]) if failure else None,
    )


def take_up(backend: BackendWatch, row: BackendState, rule: Rule) -> None:
    """Show the stored state as it was. A row of another address is of another target, and is left alone."""
    if row.standings.get("address") != backend.spec.address:
        return
    backend.standings = Standings(*(adapted(_standing_from(row.standings.get(kind.value)), rule) for kind in ProbeKind))
    backend.verdict = Verdict(State(row.state), row.reason, row.detail)
    backend.drain = Intent.from_row(row.standings.get("drain"))
    backend.since, backend.last_sample_at = row.since, row.last_sample_at
    # A restart must not make one that flaps believable: what it does would be told at once, as often as it does it.
    backend.states.extend(row.standings.get("recent", []))
    backend.flapping = bool(row.standings.get("flapping"))
