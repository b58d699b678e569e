"""What is wrong with the load's distribution, a line each: pure functions from the monitor's answer to HTML."""

from __future__ import annotations

from urllib.parse import quote

from dashboard import phrases
from dashboard.components.markup import badge, text
from dashboard.palette import FINDINGS
from monitor import wire


def lines(view: wire.LoadView, now: float) -> str:
    """Each finding with its sentence and the way to its backend; without one, since when nothing stands out."""
    if view.findings_at is None:
        return (
            '<p class="soft quiet">Outliers and sinkholes are judged once a minute; the first whole minute is not over yet.</p>'
        )
    if not view.findings:
        ended = phrases.since(view.findings_at, now)
        return f'<p class="soft quiet">No outlier and no sinkhole in the last whole minute (it ended {text(ended)}).</p>'
    return f'<ul class="notes findings">{"".join(_line(one, now) for one in view.findings)}</ul>'


def backend_link(name: str) -> str:
    return f'<a href="/backend?name={text(quote(name, safe=""))}" target="_self">{text(name)}</a>'


def _line(finding: wire.LoadFinding, now: float) -> str:
    look = FINDINGS[finding.kind]
    whose = backend_link(finding.backend) if finding.backend else "the whole fleet"
    since = f'<span class="soft">for {text(phrases.span(now - finding.since.timestamp()))}</span>'
    return f'<li class="{look.tone}">{badge(look)} <strong>{whose}</strong> {since}<br>{text(finding.sentence)}</li>'
