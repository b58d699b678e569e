"""The fleet file, API keys, people and roles as rows: pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo

from backend import wire
from dashboard import phrases
from dashboard.palette import Look
from dashboard.roles import HOLDERS, Right, Role
from dashboard.users import EPOCH, User
from monitor import wire as monitor_wire

BACKENDS = ["Backend", "URL", "Connects to", "Server name", "CA", "Region", "Zone", "Weight"]
PEOPLE = ["Name", "Roles", "State", "Sessions valid since"]

RIGHTS = {
    Right.see_fleet: "See the fleet, its load, certificates and alerts; read the fleet file",
    Right.operate: "Drain and return backends, maintain, silence, acknowledge, diagnose",
    Right.see_queue: "See the queue of duplicates",
    Right.see_faces: "See faces",
    Right.decide: "Claim and decide cases",
    Right.take_over: "Take a case over from somebody who holds it",
    Right.arbitrate: "Settle cases on which two reviewers disagree",
    Right.see_subjects: "Find subjects and read their records",
    Right.enrol: "Enrol people",
    Right.recognise: "Verify and identify",
    Right.export: "Export what is held on a person",
    Right.erase: "Erase a person",
    Right.see_scans: "See scans",
    Right.scan: "Start and stop scans",
    Right.see_accuracy: "See accuracy, and what another threshold would have done",
    Right.see_numbers: "See what reviewers decided and whether they agree",
    Right.see_audit: "Read, verify and export the audit trails",
    Right.manage: "Manage API keys and people",
    Right.see_api: "See how the API is called",
}
ROLES = {
    Role.operator: "looks after the fleet and enrols people",
    Role.reviewer: "looks at faces and decides duplicates",
    Role.supervisor: "a reviewer who also takes over, arbitrates, exports and erases",
    Role.admin: "does all of it, and manages keys and people",
}
YES, NO = "● yes", "–"


def fleet_state(seen: monitor_wire.FleetFileView, now: float) -> tuple[str, str]:
    """Tone and sentence."""
    backends = phrases.counted(len(seen.backends), "backend")
    if not seen.mistakes:
        return "good", f"The fleet file is in force: {backends}, read {phrases.since(seen.read_at, now)}."
    wrong = phrases.counted(len(seen.mistakes), "mistake")
    since = phrases.since(seen.refused_at, now)
    was = phrases.since(seen.read_at, now)
    return (
        "bad",
        f"The file on disk is refused ({wrong}, since {since}). The fleet of before stays watched: {backends}, read {was}.",
    )


def mistakes(seen: monitor_wire.FleetFileView) -> list[list[str]]:
    """Line, field, reason."""
    return [[str(one.line) if one.line else phrases.NOTHING, one.field, one.reason] for one in seen.mistakes]


def backends(seen: monitor_wire.FleetFileView) -> list[list[str]]:
    return [
        [
            one.name,
            one.url,
            one.address,
            one.server_name,
            (one.ca_file or "the system's").rpartition("/")[2],
            one.region,
            one.zone,
            str(one.weight),
        ]
        for one in seen.backends
    ]


def facts(seen: monitor_wire.FleetFileView) -> list[tuple[str, str]]:
    probes, balancer = seen.probes, seen.balancer
    strategy = balancer.strategy.replace("_", " ") if balancer else ""
    return [
        ("Balancer", f"{balancer.kind}, {strategy}" if balancer else "none"),
        ("Clients call", (balancer.url if balancer else None) or phrases.NOTHING),
        ("Probed every", phrases.seconds(probes.interval_s)),
        ("If changing, every", phrases.seconds(probes.fast_interval_s)),
        ("If down, every", phrases.seconds(probes.down_interval_s)),
        ("A probe may take", phrases.seconds(probes.deadline_s)),
        ("Down after / up after", f"{probes.fall} failures / {probes.rise} passes"),
        ("A start may take", phrases.seconds(probes.start_budget_s)),
        ("Availability promised", f"{100 * seen.slo_availability:g} %"),
        ("Certificates read every", phrases.seconds(seen.certificates_check_interval_s)),
        ("Heartbeat to outside", f"every {phrases.seconds(seen.heartbeat_every_s)}" if seen.heartbeat_every_s else "none"),
        ("Known faces tried", f"every {phrases.seconds(seen.synthetic_interval_s)}" if seen.synthetic_interval_s else "no"),
        ("Dashboard may drain", "yes, a key is named" if seen.drain_key_named else "no: no key is named"),
        ("Rules switched off", ", ".join(seen.disabled_rules) or "none"),
    ]


def key_look(one: wire.Key, now: float) -> Look:
    if one.revoked_at is not None and one.revoked_at.timestamp() <= now:
        return Look("REVOKED", "■", "mute")
    if one.expires_at is not None and one.expires_at.timestamp() <= now:
        return Look("EXPIRED", "■", "mute")
    return Look("VALID", "●", "good")


def key_text(one: wire.Key, zone: tzinfo, now: float) -> str:
    limit = "its limit is the server's"
    if one.rate_per_minute is not None:
        limit = f"{one.rate_per_minute:,} requests/min" if one.rate_per_minute else "no limit"
    parts = [
        ", ".join(one.scopes),
        f"used {phrases.since(one.last_used_at, now)}" if one.last_used_at else "never used",
        f"ends {phrases.when(one.expires_at, now, zone)}" if one.expires_at else "has no end",
        limit,
        *(["demo traffic"] if one.synthetic else []),
        f"made {phrases.since(one.created_at, now)}",
        phrases.short_id(one.id),
    ]
    return " · ".join(parts)


def people(users: Iterable[User], zone: tzinfo) -> list[list[str]]:
    """`PEOPLE`, by name; no hash."""
    return [
        [
            one.name,
            ", ".join(sorted(one.roles)),
            "■ disabled" if one.disabled else "● may sign in",
            phrases.moment(one.valid_after, zone) if one.valid_after > EPOCH else "always",
        ]
        for one in users
    ]


def rights() -> list[list[str]]:
    """A row for each right: in words, then yes or no for each role in the order of `Role`."""
    return [[words, *(YES if role in HOLDERS[right] else NO for role in Role)] for right, words in RIGHTS.items()]
