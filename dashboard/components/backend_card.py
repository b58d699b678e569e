"""The fleet as cards: pure functions from the monitor's answer to HTML, worst first."""

from __future__ import annotations

from collections.abc import Iterable

from dashboard import phrases
from dashboard.components.markup import badge, facts, text, verdict
from dashboard.palette import STATES, Look
from monitor import wire

SEVERITY = {wire.State.down: 0, wire.State.degraded: 1, wire.State.unknown: 2, wire.State.starting: 3, wire.State.up: 4}
VERDICTS = {"probes": "Probes", "balancer": "Balancer", "readiness": "Readiness", "traffic": "Traffic"}
TONES = {"up": "good", "down": "bad", "degraded": "warn", "draining": "warn"}


def in_order(backends: Iterable[wire.Backend]) -> list[wire.Backend]:
    """Disagreement first, then what is worst, then by name."""
    return sorted(
        backends, key=lambda backend: (backend.disagreement is None, SEVERITY[backend.state], not backend.stale, backend.name)
    )


def headline(view: wire.FleetView, now: float) -> str:
    """The whole in one sentence, the balancer, and the age of the data."""
    worst = min((SEVERITY[backend.state] for backend in view.items), default=2)
    tone = "bad" if worst == 0 else "warn" if worst < 4 or view.drift or any(b.stale for b in view.items) else "good"
    return verdict(tone, view.sentence, f"checked {phrases.since(view.at, now)}")


def notes(view: wire.FleetView) -> str:
    """Disagreement, drift and a refused fleet file: what an operator must read first."""
    said = [("bad", f"fleet.yaml was refused, the old fleet is still watched: {view.fleet_error}")] if view.fleet_error else []
    said += [("warn", f"{backend.name}: {backend.disagreement}") for backend in in_order(view.items) if backend.disagreement]
    said += [("warn", f"Drift: {sentence}") for sentence in view.drift]
    lines = "".join(f'<li class="{tone}">{text(sentence)}</li>' for tone, sentence in said)
    return f'<ul class="notes">{lines}</ul>' if lines else ""


def balancer(view: wire.FleetView) -> str:
    """One line on the balancer."""
    if view.balancer is None:
        return '<p class="soft" style="margin-top:.8rem">No balancer: clients call the backends themselves.</p>'
    it = view.balancer
    parts = [f"{it.kind}, {it.strategy.replace('_', ' ')}", it.url or "", it.reason or ""]
    if it.connections is not None:
        parts.append(phrases.counted(it.connections, "connection"))
    if it.cpu_percent is not None:
        parts.append(f"CPU {it.cpu_percent:.0f} %")
    if it.memory_bytes is not None:
        parts.append(f"{it.memory_bytes / 2**20:,.0f} MiB")
    line = " · ".join(text(part) for part in parts if part)
    return f'<p style="margin-top:.8rem">Balancer {badge(STATES[it.state])} <span class="soft">{line}</span></p>'


def cards(view: wire.FleetView, now: float) -> str:
    return f'<div class="cards">{"".join(card(backend, now) for backend in in_order(view.items))}</div>'


def card(backend: wire.Backend, now: float) -> str:
    """One backend. A stale one is grey, whatever it was before."""
    look = STATES[backend.state]
    tone = "mute" if backend.stale else look.tone
    badges = badge(Look(look.word, look.shape, tone))
    if backend.stale:
        badges += badge(STATES["STALE"])
    if backend.admin_state is not wire.AdminState.active:
        badges += badge(Look(backend.admin_state.value, "◇", "info"))
    name, place = text(backend.name), text(f"{backend.region} / {backend.zone}")
    return (
        f'<article class="{tone}{" stale" if backend.stale else ""} st-key-backend-{name}" aria-label="Backend {name}">'
        f'<div class="head"><h3>{name} <span class="soft">{place}</span></h3>{badges}</div>'
        f"{_why(backend, now)}{_numbers(backend)}{_probes(backend)}{_foot(backend, now)}</article>"
    )


def _why(backend: wire.Backend, now: float) -> str:
    code = f"<code>{text(backend.reason)}</code> " if backend.reason else ""
    length = f'<span class="soft">for {phrases.span(now - backend.since.timestamp())}</span>' if backend.since else ""
    return f'<p class="why">{code}{text(backend.detail or ("Serving." if backend.state is wire.State.up else ""))} {length}</p>'


def _numbers(backend: wire.Backend) -> str:
    load = backend.load
    if load is None:
        share, p95 = "not scraped yet", phrases.NOTHING
    elif load.share is None:
        share, p95 = load.reason or phrases.NOTHING, phrases.milliseconds(load.p95_ms)
    else:
        share, p95 = phrases.percent(load.share), phrases.milliseconds(load.p95_ms)
    return facts(
        [
            ("Load share", share),
            ("Expected", phrases.percent(load.expected_share if load else None)),
            ("p95", p95),
            ("Connections", phrases.number(load.connections if load else None)),
            ("Certificate", phrases.days(backend.certificate_days_left)),
        ]
    )


def _probes(backend: wire.Backend) -> str:
    shown = [_probe(probe) for probe in backend.probes]
    told = [
        f'<span class="{TONES.get(said or "", "mute")}">{name}: {text(said)}</span>'
        for key, name in VERDICTS.items()
        if key != "probes" and (said := backend.verdicts.get(key)) is not None
    ]
    return f'<div class="probes">{"".join(shown + told)}</div>'


def _probe(probe: wire.Probe) -> str:
    tone = "mute" if probe.up is None else "good" if probe.up else "bad"
    word = "?" if probe.up is None else "ok" if probe.up else "failing"
    moving = f", {probe.progress}" if probe.progress else ""
    title = " ".join(part for part in (probe.reason, probe.detail) if part)
    tone = "warn" if moving and probe.up else tone
    return f'<span class="{tone}" title="{text(title)}">/{probe.kind}: {word}{text(moving)}</span>'


def _foot(backend: wire.Backend, now: float) -> str:
    identity = backend.identity
    parts = [f"version {identity.version}" if identity.version else "", identity.model_id or ""]
    if identity.gallery_size is not None:
        parts.append(phrases.counted(identity.gallery_size, "template"))
    left = " · ".join(text(part) for part in parts if part) or "identity not known yet"
    return f"<div class=foot><span>{left}</span><span>data {text(phrases.since(backend.last_sample_at, now))}</span></div>"
