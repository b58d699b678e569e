"""The fleet as cards: pure functions from the monitor's answers to HTML, worst first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlencode

from dashboard import phrases
from dashboard.components.markup import badge, facts, text
from dashboard.palette import STATES, Look
from monitor import wire

SEVERITY = {wire.State.down: 0, wire.State.degraded: 1, wire.State.unknown: 2, wire.State.starting: 3, wire.State.up: 4}
VERDICTS = {"probes": "Probes", "balancer": "Balancer", "readiness": "Readiness", "traffic": "Traffic"}
TONES = {"up": "good", "down": "bad", "degraded": "warn", "draining": "warn", "drain": "warn", "maint": "warn", "starved": "warn"}
UNKNOWN = "does not say"

Findings = Mapping[str, Sequence[str]]
"""by backend, what the load's detectors say of it"""
Windows = Mapping[str, Sequence[str]]
"""by backend, the maintenance that holds for it, a phrase each"""


def in_order(backends: Iterable[wire.Backend]) -> list[wire.Backend]:
    """Disagreement first, then what is worst, then by name."""
    return sorted(
        backends, key=lambda backend: (backend.disagreement is None, SEVERITY[backend.state], not backend.stale, backend.name)
    )


def card(
    backend: wire.Backend, now: float, *, findings: Sequence[str] = (), windows: Sequence[str] = (), compact: bool = False
) -> str:
    """One backend. A stale one is grey, whatever it was before. `compact`: the same on fewer lines, for large fleets."""
    tone = "mute" if backend.stale else STATES[backend.state].tone
    name = text(backend.name)
    classes = f"{tone}{' stale' if backend.stale else ''}{' compact' if compact else ''}"
    inside = _numbers(backend, compact=compact) + _probes(backend, compact=compact)
    return (
        f'<article class="{classes} st-key-backend-{name}" aria-label="Backend {name}">'
        f'<div class="head"><h3><a href="{text(link(backend.name))}" target="_self">{name}</a></h3>{badges(backend)}</div>'
        f"{_why(backend, now)}{_said(backend, findings, windows)}{inside}{_foot(backend, now)}</article>"
    )


def link(name: str) -> str:
    """Its own page."""
    return f"/backend?{urlencode({'name': name})}"


def badges(backend: wire.Backend) -> str:
    """Its state, whether that is still trusted, and what an operator wants of it."""
    look = STATES[backend.state]
    shown = badge(Look(look.word, look.shape, "mute" if backend.stale else look.tone))
    if backend.stale:
        shown += badge(STATES["STALE"])
    if backend.flapping:
        shown += badge(Look("FLAPPING", "≈", "warn"))
    if backend.admin_state is not wire.AdminState.active:
        shown += badge(Look(backend.admin_state.value, "◇", "info"))
    return shown


def verdicts(backend: wire.Backend) -> str:
    """The four opinions in one row, each as a word."""
    shown = [
        f'<span class="{TONES.get(said or "", "mute")}">{name}: {text(said or UNKNOWN)}</span>'
        for key, name in VERDICTS.items()
        for said in [backend.verdicts.get(key)]
    ]
    return "".join(shown)


def probes(backend: wire.Backend) -> str:
    return "".join(_probe(probe) for probe in backend.probes)


def _why(backend: wire.Backend, now: float) -> str:
    code = f"<code>{text(backend.reason)}</code> " if backend.reason else ""
    length = f'<span class="soft">for {phrases.span(now - backend.since.timestamp())}</span>' if backend.since else ""
    return f'<p class="why">{code}{text(backend.detail or ("Serving." if backend.state is wire.State.up else ""))} {length}</p>'


def _said(backend: wire.Backend, findings: Sequence[str], windows: Sequence[str]) -> str:
    """What else concerns it: load findings, maintenance, a fault of the monitor."""
    lines = [("warn", sentence) for sentence in findings] + [("info", phrase) for phrase in windows]
    if backend.monitor_fault:
        lines.append(("mute", f"No verdict: the fault is the monitor's own ({backend.monitor_fault})."))
    shown = "".join(f'<li class="{tone}">{text(sentence)}</li>' for tone, sentence in lines)
    return f'<ul class="notes">{shown}</ul>' if shown else ""


def _numbers(backend: wire.Backend, *, compact: bool) -> str:
    load = backend.load
    if load is None:
        share, p95 = "not scraped yet", phrases.NOTHING
    elif load.share is None:
        share, p95 = load.reason or phrases.NOTHING, phrases.milliseconds(load.p95_ms)
    else:
        share, p95 = phrases.percent(load.share), phrases.milliseconds(load.p95_ms)
    pairs = [("Load share", share), ("p95", p95), ("Certificate", phrases.days(backend.certificate_days_left))]
    if not compact:
        pairs.insert(1, ("Expected", phrases.percent(load.expected_share if load else None)))
        pairs.insert(3, ("Connections", phrases.number(load.connections if load else None)))
    return facts(pairs)


def _probes(backend: wire.Backend, *, compact: bool) -> str:
    """The four verdicts; of the probes those that fail or are on their way, and in a large card all of them."""
    moving = [probe for probe in backend.probes if not compact or not probe.up or probe.progress]
    agreed = compact and all(backend.verdicts.get(key) == "up" for key in VERDICTS)
    told = '<span class="good">all four verdicts: up</span>' if agreed else verdicts(backend)
    return f'<div class="probes">{told}</div><div class="probes">{"".join(_probe(one) for one in moving)}</div>'


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
