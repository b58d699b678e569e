"""The fleet as a whole: one sentence, what must be read first, the balancer, and the cards by region and zone. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from dashboard import phrases
from dashboard.components.backend_card import SEVERITY, Findings, Windows, card, in_order
from dashboard.components.markup import badge, text, verdict
from dashboard.palette import STATES
from dashboard.tables import alerts as tables
from monitor import wire

COMPACT_FROM = 13
"""With so many backends their cards are small: fifty must still be looked over."""


def headline(view: wire.FleetView, now: float) -> str:
    """The whole in one sentence, and the age of the data."""
    worst = min((SEVERITY[backend.state] for backend in view.items), default=2)
    doubt = view.drift or any(backend.stale for backend in view.items)
    tone = "bad" if worst == 0 or view.fail_open else "warn" if worst < 4 or doubt else "good"
    return verdict(tone, view.sentence, f"checked {phrases.since(view.at, now)}")


def fail_open(view: wire.FleetView) -> str:
    """Said as loudly as a page can."""
    if not view.fail_open:
        return ""
    return f'<div class="loud bad" role="alert"><strong><span aria-hidden="true">■</span> {text(view.fail_open)}</strong></div>'


def firing(alerts: Sequence[wire.Alert]) -> str:
    """What fires and is told: backends that are up are not all that an operator looks after."""
    if not tables.loud(alerts):
        return ""
    tone, sentence = tables.sentence(tables.loud(alerts), 0)
    return f'<ul class="notes"><li class="{tone}">{text(sentence)} <a href="/alerts" target="_self">Alerts</a></li></ul>'


def notes(view: wire.FleetView, now: float, fleet_findings: Iterable[str] = ()) -> str:
    """Disagreement, drift, what is wrong with the load as a whole, a refused fleet file: what an operator must read first."""
    said = [("bad", f"fleet.yaml was refused, the old fleet is still watched: {view.fleet_error}")] if view.fleet_error else []
    said += [("warn", f"{backend.name}: {backend.disagreement}") for backend in in_order(view.items) if backend.disagreement]
    since = {one.sentence: f" (since {phrases.since(one.since, now)})" for one in view.drift_findings}
    said += [("warn", f"Drift: {sentence}{since.get(sentence, '')}") for sentence in view.drift]
    said += [("warn", f"Load: {sentence}") for sentence in fleet_findings]
    lines = "".join(f'<li class="{tone}">{text(sentence)}</li>' for tone, sentence in said)
    return f'<ul class="notes">{lines}</ul>' if lines else ""


def balancer(view: wire.FleetView) -> str:
    """One line on the balancer."""
    if view.balancer is None:
        return '<p class="soft balancer">No balancer: clients call the backends themselves.</p>'
    it = view.balancer
    parts = [f"{it.kind}, {it.strategy.replace('_', ' ')}", it.url or "", it.reason or ""]
    if it.connections is not None:
        parts.append(phrases.counted(it.connections, "connection"))
    if it.cpu_percent is not None:
        parts.append(f"CPU {it.cpu_percent:.0f} %")
    if it.memory_bytes is not None:
        parts.append(f"{it.memory_bytes / 2**20:,.0f} MiB")
    line = " · ".join(text(part) for part in parts if part)
    return f'<p class="balancer">Balancer {badge(STATES[it.state])} <span class="soft">{line}</span></p>'


def groups(view: wire.FleetView, now: float, findings: Findings, windows: Windows) -> str:
    """The cards by region and zone, the group with the worst backend first."""
    placed: dict[tuple[str, str], list[wire.Backend]] = {}
    for backend in in_order(view.items):
        placed.setdefault((backend.region, backend.zone), []).append(backend)
    compact = len(view.items) >= COMPACT_FROM
    shown = []
    for (region, zone), backends in placed.items():
        place = f"{region} / {zone}"
        cards = "".join(
            card(one, now, findings=findings.get(one.name, ()), windows=windows.get(one.name, ()), compact=compact)
            for one in backends
        )
        shown.append(
            f'<section aria-label="{text(place)}"><h3 class="zone">{text(place)}'
            f' <span class="soft">{text(counts(backends))}</span></h3>'
            f'<div class="cards{" compact" if compact else ""}">{cards}</div></section>'
        )
    return "".join(shown)


def counts(backends: list[wire.Backend]) -> str:
    """`12 backends: 1 DOWN, 10 UP, 1 without a fresh sample`."""
    states = Counter(one.state for one in backends if not one.stale)
    told = [f"{states[state]} {state}" for state in sorted(states, key=SEVERITY.__getitem__)]
    stale = sum(one.stale for one in backends)
    told += [f"{stale} without a fresh sample"] if stale else []
    out = sum(one.admin_state is not wire.AdminState.active for one in backends)
    told += [f"{out} out of service"] if out else []
    return f"{phrases.counted(len(backends), 'backend')}: {', '.join(told)}"
