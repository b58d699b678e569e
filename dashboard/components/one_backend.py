"""One backend in HTML: how it stands now, who it says it is, what it takes, and a diagnosis step by step. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from dashboard import phrases
from dashboard.components.backend_card import badges, probes, verdicts
from dashboard.components.markup import badge, facts, text, verdict
from dashboard.palette import CERTIFICATES, STATES, STEPS
from monitor import wire

MIB = 2**20


def now(backend: wire.Backend, at: float, lines: Sequence[tuple[str, str]]) -> str:
    """State, since when, why; the four verdicts; what is said of it (tone and sentence)."""
    tone = "mute" if backend.stale else STATES[backend.state].tone
    stands = f"is {backend.state}"
    if backend.since:
        stands = f"has been {backend.state} for {phrases.span(at - backend.since.timestamp())}"
    why = " ".join(part for part in (backend.reason, backend.detail) if part)
    sentence = f"{backend.name} {stands}" + (f": {why}" if why else ".")
    said = "".join(f'<li class="{tone}">{text(line)}</li>' for tone, line in lines)
    shown = f'<ul class="notes">{said}</ul>' if said else ""
    return (
        verdict(tone, sentence, f"data {phrases.since(backend.last_sample_at, at)}")
        + f'<div class="probes">{badges(backend)}{verdicts(backend)}{probes(backend)}</div>{shown}'
    )


def busy(backend: wire.Backend, last: wire.Resources | None) -> str:
    """What it does: the load of the last minute, and what is in flight at this moment."""
    load = backend.load
    rate = load.rate if load else None
    share = load.share if load else None
    return facts(
        [
            ("Per second", phrases.number(rate, 2)),
            ("In flight", phrases.number(last.in_flight if last else None)),
            ("Connections", phrases.number(load.connections if load else None)),
            ("Share", phrases.percent(share) if share is not None else (load.reason if load else None) or phrases.NOTHING),
            ("Expected share", phrases.percent(load.expected_share if load else None)),
            ("Errors, 1 min", phrases.number(load.errors if load else None)),
            ("p50", phrases.milliseconds(load.p50_ms if load else None)),
            ("p95", phrases.milliseconds(load.p95_ms if load else None)),
        ]
    )


def takes(last: wire.Resources) -> str:
    """Memory, processor, gallery: of the last scrape."""
    limit = f" of {_mib(last.gallery_memory_limit_bytes)} allowed" if last.gallery_memory_limit_bytes else ""
    return facts(
        [
            ("Memory", _mib(last.memory_bytes)),
            ("Processor", phrases.number(last.cpu_percent, 0, "% of a core")),
            ("Inferences running", phrases.number(last.inference_busy)),
            ("Inferences waiting", phrases.number(last.inference_waiting)),
            ("Gallery", phrases.counted(last.gallery_size, "template") if last.gallery_size is not None else phrases.NOTHING),
            ("Gallery's memory", _mib(last.gallery_memory_bytes) + limit),
            ("Gallery's lag", phrases.milliseconds(None if last.lag_s is None else 1000 * last.lag_s)),
        ],
        wide=True,
    )


def identity(backend: wire.Backend, at: float, zone: tzinfo) -> str:
    """Who it says it is, compared across the fleet."""
    it = backend.identity
    return facts(
        [
            ("Version", it.version or phrases.NOTHING),
            ("Model", it.model_id or phrases.NOTHING),
            ("Gallery", phrases.counted(it.gallery_size, "template") if it.gallery_size is not None else phrases.NOTHING),
            ("At change", phrases.number(it.seq)),
            ("Review threshold", phrases.number(it.review_threshold, 3)),
            ("Process started", phrases.when(it.process_started_at, at, zone)),
            ("Address", backend.url),
            ("Region / zone", f"{backend.region} / {backend.zone}"),
            ("Weight", str(backend.weight)),
        ],
        wide=True,
    )


def certificate(found: wire.Certificate, zone: tzinfo) -> str:
    look = CERTIFICATES[found.state]
    why = " ".join(part for part in (found.reason, found.detail) if part)
    line = f'<p class="why {look.tone}">{text(why)}</p>' if why else ""
    return (
        f'<div class="head"><h3>{text(found.name)} <span class="soft">{text(found.endpoint)}</span></h3>'
        f"<strong>{text(phrases.days(found.days_left))}</strong>{badge(look)}</div>{line}"
        + facts(
            [
                ("Valid until", phrases.moment(found.not_after, zone)),
                ("Names", ", ".join(found.sans) or phrases.NOTHING),
                ("Issuer", found.issuer or phrases.NOTHING),
            ],
            wide=True,
        )
    )


def diagnosis(found: wire.Diagnosis, zone: tzinfo) -> str:
    """The steps one below the other: result, time, what was seen, and what to do where it failed."""
    tone = "good" if found.passed else "bad"
    about = f"{found.address}, {phrases.milliseconds(found.took_ms)} in all, {phrases.moment(found.at, zone)}"
    steps = "".join(_step(one) for one in found.steps)
    return verdict(tone, found.sentence, about) + f'<ol class="steps">{steps}</ol>'


def _step(one: wire.DiagnosisStep) -> str:
    look = STEPS[one.status]
    code = f"<code>{text(one.code)}</code> " if one.code else ""
    advice = f'<p class="look"><strong>What to do:</strong> {text(one.look)}</p>' if one.look else ""
    took = f'<span class="soft">{text(phrases.milliseconds(one.took_ms))}</span>' if one.took_ms is not None else ""
    head = f'<div class="row">{badge(look)}<strong>{text(one.name)}</strong>{took}</div>'
    return f'<li class="{look.tone}">{head}<p>{code}{text(one.detail)}</p>{advice}</li>'


def _mib(value: int | None) -> str:
    return phrases.NOTHING if value is None else f"{value / MIB:,.0f} MiB"
