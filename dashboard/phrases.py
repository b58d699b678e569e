"""Numbers and times as a person reads them. Pure; None reads as a dash."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

NOTHING = "–"


def span(seconds: float) -> str:
    """A length of time in its two largest useful units: `4 s`, `3 min`, `2 h 5 min`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 and days < 10 else f"{days} d"


def ago(seconds: float) -> str:
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def since(at: datetime | None, now: float) -> str:
    return NOTHING if at is None else ago(now - at.timestamp())


def moment(at: datetime | None, zone: tzinfo) -> str:
    return NOTHING if at is None else at.astimezone(zone).strftime("%d %b %Y, %H:%M")


def when(at: datetime | None, now: float, zone: tzinfo) -> str:
    """A moment in the reader's zone with its distance: `26 Nov 2026, 14:03 (3 min ago)`, `… (in 2 h)`."""
    if at is None:
        return NOTHING
    distance = now - at.timestamp()
    return f"{moment(at, zone)} ({ago(distance) if distance > -1 else f'in {span(-distance)}'})"


def number(value: float | None, digits: int = 0, unit: str = "") -> str:
    if value is None:
        return NOTHING
    return f"{value:,.{digits}f}" + (f" {unit}" if unit else "")


def percent(ratio: float | None, digits: int = 0) -> str:
    return NOTHING if ratio is None else f"{100 * ratio:.{digits}f} %"


def milliseconds(value: float | None) -> str:
    if value is None:
        return NOTHING
    if value >= 10_000:
        return f"{value / 1000:.0f} s"
    if value >= 1_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def seconds(value: float) -> str:
    """A setting in seconds, exact: `0.5 s`, `90 s`."""
    return f"{value:g} s"


def days(value: float | None) -> str:
    if value is None:
        return NOTHING
    if value < 0:
        return f"expired {span(-value * 86_400)} ago"
    return f"{value:.0f} days" if value >= 10 else span(value * 86_400)


def counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def one_in(ratio: float | None) -> str:
    """A small probability as `1 in 12,000`."""
    if ratio is None:
        return NOTHING
    if ratio <= 0:
        return "none expected"
    return "nearly always" if ratio > 0.5 else f"1 in {round(1 / ratio):,}"


def plain(text: str) -> str:
    """`text` for a place that reads Markdown, shown as it is: no link, image, formula or colour can come out of it."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:])", r"\\\1", text).replace("\n", " ")


def short_id(identifier: str) -> str:
    """The end of one of our ids: its beginning is a time, so neighbours share it."""
    kind, _, rest = identifier.partition("_")
    return f"{kind}…{rest[-6:]}" if len(rest) > 8 else identifier


def actor(identifier: str) -> str:
    """Who did something, from our ids: a person by name, a key by the end of its id."""
    kind, _, name = identifier.partition("_")
    return name if kind == "usr" and name else short_id(identifier)


OWNERS = {
    "MON": "the monitor itself",
    "NET": "the network",
    "TLS": "a certificate",
    "APP": "the backend",
    "DEP": "what the backend depends on",
    "LB": "the balancer",
}


def owner(code: str) -> str:
    """Whose fault a reason code says it is."""
    return OWNERS.get(code, code)


def in_words(component: str) -> str:
    """`SingleFacePresent` (ISO/IEC 29794-5) and `single_face_present` as `Single face present`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", component).capitalize()
