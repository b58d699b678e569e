"""One certificate as HTML: its state, what is left of its life, why it is not trusted. Pure."""

from __future__ import annotations

from dashboard import phrases
from dashboard.components.markup import badge, text
from dashboard.palette import CERTIFICATES
from dashboard.tables.certificates import CRITICAL, WARN
from dashboard.tables.rotation import Compared
from monitor import wire


def summary(certificate: wire.Certificate, now: float) -> str:
    look = CERTIFICATES[certificate.state]
    code = f"<code>{text(certificate.reason)}</code> " if certificate.reason else ""
    why = ""
    if certificate.reason or certificate.detail:
        why = f'<p class="why {look.tone}">{code}{text(certificate.detail or "")}</p>'
    notes = "".join(f'<p class="why warn">{text(note)}</p>' for note in certificate.notes)
    names = ", ".join(certificate.sans[:4]) + (f" and {len(certificate.sans) - 4} more" if len(certificate.sans) > 4 else "")
    foot = " · ".join(
        part for part in (names, certificate.key_type or "", f"checked {phrases.since(certificate.at, now)}") if part
    )
    return (
        f'<div class="head"><h3>{text(certificate.name)} <span class="soft">{text(certificate.endpoint)}</span></h3>'
        f"<strong>{text(phrases.days(certificate.days_left))}</strong>{badge(look)}</div>"
        f'{life(certificate)}{why}{notes}<p class="soft">{text(foot)}</p>'
    )


def life(certificate: wire.Certificate) -> str:
    """What is left of the lifetime as a bar, with marks where it becomes pressing."""
    left = certificate.lifetime_left
    if left is None or certificate.not_before is None or certificate.not_after is None:
        return ""
    whole = phrases.span((certificate.not_after - certificate.not_before).total_seconds())
    shown = max(0.0, min(1.0, left))
    words = f"{phrases.percent(shown)} of its {whole} left"
    tone = CERTIFICATES[certificate.state].tone
    marks = f'<u style="left:{100 * WARN:.1f}%"></u><u style="left:{100 * CRITICAL:.1f}%"></u>'
    bar = f'<span class="meter" role="img" aria-label="{text(words)}"><i style="width:{100 * shown:.1f}%"></i>{marks}</span>'
    return f'<div class="life {tone}">{bar}<span>{text(words)}</span></div>'


def rotation(compared: list[Compared]) -> str:
    """Whether every place serves the same."""
    if not compared:
        return '<p class="soft quiet">Each name is served in one place, with no file beside it: nothing to compare.</p>'
    lines = "".join(
        f'<li class="{one.look.tone}">{badge(one.look)} <strong>{text(one.what)}</strong><br>{text(one.sentence)}</li>'
        for one in compared
    )
    return f'<ul class="notes findings">{lines}</ul>'
