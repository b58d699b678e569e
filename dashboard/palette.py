"""Colours and shapes of states: always word, shape and colour together. Each colour is legible on light and dark."""

from __future__ import annotations

from dataclasses import dataclass

# Okabe and Ito (2008), less black and yellow: told apart by colour-blind readers, mid-toned for both themes
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
EXPECTED = "#8894a8"
BAD = "#D55E00"


@dataclass(frozen=True)
class Look:
    """How one state is drawn; `tone` is a class of the style sheet."""

    word: str
    shape: str
    tone: str


STATES = {
    "UP": Look("UP", "●", "good"),
    "DEGRADED": Look("DEGRADED", "▲", "warn"),
    "DOWN": Look("DOWN", "■", "bad"),
    "STARTING": Look("STARTING", "◔", "info"),
    "UNKNOWN": Look("UNKNOWN", "?", "mute"),
    "STALE": Look("STALE", "○", "mute"),
}

STATE_COLOURS = {
    "UP": "#009E73",
    "DEGRADED": "#E69F00",
    "DOWN": "#D55E00",
    "STARTING": "#56B4E9",
    "UNKNOWN": "#8894a8",
}

STEPS = {
    "ok": Look("OK", "●", "good"),
    "warn": Look("WARNING", "▲", "warn"),
    "fail": Look("FAILED", "■", "bad"),
    "skipped": Look("SKIPPED", "○", "mute"),
}

CERTIFICATES = {
    "ok": Look("OK", "●", "good"),
    "warning": Look("RENEW SOON", "▲", "warn"),
    "critical": Look("RENEW NOW", "◆", "bad"),
    "expired": Look("EXPIRED", "■", "bad"),
    "invalid": Look("INVALID", "■", "bad"),
    "unknown": Look("UNKNOWN", "?", "mute"),
}

CASES = {
    "open": Look("Open", "○", "info"),
    "claimed": Look("Claimed", "◔", "warn"),
    "second_review": Look("Second review", "◑", "info"),
    "arbitration": Look("Arbitration", "▲", "warn"),
    "resolved": Look("Resolved", "●", "good"),
}

SUBJECTS = {
    "pending": Look("Pending", "◔", "info"),
    "active": Look("Active", "●", "good"),
    "rejected": Look("Rejected", "■", "bad"),
    "merged": Look("Merged", "◆", "mute"),
}

FINDINGS = {
    "unfair_share": Look("UNFAIR SHARE", "▲", "warn"),
    "errors": Look("ERRORS", "■", "bad"),
    "sinkhole": Look("SINKHOLE", "■", "bad"),
    "latency": Look("SLOW", "▲", "warn"),
    "decision_mix": Look("DECIDES DIFFERENTLY", "◆", "warn"),
    "fleet_share": Look("FLEET: SHARES", "▲", "warn"),
    "fleet_errors": Look("FLEET: ERRORS", "■", "bad"),
    "fleet_latency": Look("FLEET: SLOW", "▲", "warn"),
    "fleet_mix": Look("FLEET: DECISIONS", "◆", "warn"),
}

DISTRIBUTION = {
    "even": Look("AS PROMISED", "●", "good"),
    "sticky": Look("AS PROMISED", "●", "good"),
    "uneven": Look("NOT AS PROMISED", "▲", "warn"),
    "too_few": Look("TOO FEW TO TELL", "?", "mute"),
    "nothing_to_compare": Look("NOTHING TO COMPARE", "?", "mute"),
    "failed": Look("FAILED", "■", "bad"),
}

SHARE_VERDICTS = {
    "as_expected": Look("as expected", "●", "good"),
    "more": Look("more", "▲", "warn"),
    "fewer": Look("fewer", "▼", "warn"),
    "absent": Look("none", "■", "bad"),
    "not_judged": Look("not judged", "○", "mute"),
    "not_in_service": Look("out of service", "◇", "mute"),
    "not_in_fleet": Look("not in fleet.yaml", "?", "warn"),
}

SCANS = {
    "waiting": Look("Waiting", "○", "info"),
    "running": Look("Running", "◔", "info"),
    "done": Look("Done", "●", "good"),
    "cancelled": Look("Stopped", "◇", "mute"),
    "failed": Look("Failed", "■", "bad"),
}

SEVERITIES = {
    "critical": Look("CRITICAL", "■", "bad"),
    "warning": Look("WARNING", "▲", "warn"),
    "info": Look("INFO", "●", "info"),
}

ALERTS = {
    "pending": Look("PENDING", "◔", "mute"),
    "firing": Look("FIRING", "■", "bad"),
    "resolved": Look("OVER", "●", "good"),
}

QUIET = {
    "silenced": "a silence holds it back",
    "maintenance": "maintenance holds it back",
    "flapping": "told to nobody while its backend flaps",
}

SPANS = {"on": Look("IN FORCE", "◑", "info"), "to come": Look("TO COME", "○", "mute"), "over": Look("OVER", "●", "mute")}

DELIVERIES = {
    "waiting": Look("Waiting", "◔", "warn"),
    "sent": Look("Sent", "●", "good"),
    "given_up": Look("Given up", "■", "bad"),
}


def series_colours(names: list[str]) -> dict[str, str]:
    """A colour per name that stays the same whatever the order of the answer."""
    return {name: SERIES[place % len(SERIES)] for place, name in enumerate(sorted(names))}
