"""Scans in words: what one is, how far it came, what a new one would cost. Pure."""

from __future__ import annotations

from datetime import tzinfo

from backend import wire
from dashboard import phrases

UNDER_WAY = (wire.ScanState.waiting, wire.ScanState.running)
RESUMABLE = (wire.ScanState.cancelled, wire.ScanState.failed)


def kind(scan: wire.Scan) -> str:
    """Whom it compares, and what is special about it."""
    special = [
        "asks again about pairs decided to be different" if scan.reopen_distinct else "",
        "dry run: counts, changes nothing" if scan.dry_run else "",
    ]
    whom = "Everybody" if scan.since_seq == 0 else "Newcomers"
    return ", ".join([whom, *(one for one in special if one)])


def progress(scan: wire.Scan) -> tuple[float, str]:
    """How much of it is done (0 to 1; by templates), and the same in words with its rate and the time left."""
    whole = scan.templates_total
    parts = [f"{scan.templates_done:,} of {phrases.counted(whole, 'template')}"]
    if scan.rate_per_s is not None:
        parts.append(f"{phrases.number(scan.rate_per_s, 0 if scan.rate_per_s >= 10 else 1)} templates/s")
    if scan.estimated_s is not None:
        parts.append(f"{phrases.span(scan.estimated_s)} left")
    elif scan.state in UNDER_WAY:
        parts.append("waits for a replica to go on with it")
    return (min(1.0, scan.templates_done / whole) if whole else 1.0), " · ".join(parts)


def began(scan: wire.Scan, now: float, zone: tzinfo) -> str:
    """When, by whom, and how long it took."""
    by = scan.started_by_name or scan.started_by or "somebody who was not recorded"
    took = ""
    if scan.finished_at is not None and scan.started_at is not None:
        seconds = (scan.finished_at - scan.started_at).total_seconds()
        took = f" · took {phrases.span(seconds) if seconds >= 1 else 'less than 1 s'}"
    return f"Started {phrases.when(scan.created_at, now, zone)} by {by}{took}"


def facts_of(scan: wire.Scan) -> list[tuple[str, str]]:
    asked_again = [("Asked again", f"{scan.reopened:,}")] if scan.reopen_distinct else []
    return [
        ("Templates", f"{scan.templates_total:,}"),
        ("Rate", phrases.number(scan.rate_per_s, 1 if (scan.rate_per_s or 0) < 10 else 0, "templates/s")),
        ("Threshold", f"{scan.threshold:.3f}"),
        ("Pairs would be found" if scan.dry_run else "Pairs found", f"{scan.pairs_found:,}"),
        *asked_again,
    ]


def cost(plan: wire.ScanPlan) -> str:
    """One sentence on what a scan that is started now has to do."""
    if plan.templates_total == 0:
        return "Nobody was enrolled since the last finished scan: there is nothing to compare."
    templates = phrases.counted(plan.templates_total, "template")
    older = f" and with {phrases.counted(plan.templates_older, 'older one')}" if plan.templates_older else ""
    time = "no scan was finished yet, so how long it takes shows once it runs"
    if plan.estimated_s is not None:
        time = f"about {phrases.span(max(1.0, plan.estimated_s))} of work at the pace of the last finished scan"
    return (
        f"{templates} compared with each other{older}: {phrases.counted(plan.comparisons, 'comparison')}, {time}. "
        "It rests between its parts, so that requests come first, and can be stopped and resumed."
    )
