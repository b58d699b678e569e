"""Whether a renewed certificate is served everywhere: by each place of one name, and as it lies on the disk. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from dashboard import phrases
from dashboard.palette import Look
from monitor import wire

SAME = Look("SAME", "●", "good")
DIFFERENT = Look("DIFFERENT", "▲", "warn")


@dataclass(frozen=True)
class Compared:
    """One name or file, and how what is served for it agrees."""

    look: Look
    what: str
    sentence: str


def compared(certificates: Sequence[wire.Certificate], zone: tzinfo) -> list[Compared]:
    """What differs first. Names that one place alone serves have nothing to be compared with, and are not listed."""
    read = [one for one in certificates if one.fingerprint_sha256]
    found = [*_names([one for one in read if one.server_name], zone), *_files(read, zone)]
    return sorted(found, key=lambda one: (one.look is SAME, one.what))


def _names(served: Iterable[wire.Certificate], zone: tzinfo) -> Iterable[Compared]:
    by_name: dict[str, list[wire.Certificate]] = {}
    for one in served:
        by_name.setdefault(one.server_name or "", []).append(one)
    for name, places in by_name.items():
        if len(places) > 1:
            yield _name(name, places, zone)


def _name(name: str, places: Sequence[wire.Certificate], zone: tzinfo) -> Compared:
    newest = max(places, key=_age)
    late = [one for one in places if one.fingerprint_sha256 != newest.fingerprint_sha256]
    until = phrases.moment(newest.not_after, zone)
    if not late:
        sentence = f"All {len(places)} places that serve it serve the same certificate, {_short(newest)}, valid until {until}."
        return Compared(SAME, name, sentence)
    current = [one.name for one in places if one.fingerprint_sha256 == newest.fingerprint_sha256]
    new, verb = ", ".join(current), "serves" if len(current) == 1 else "serve"
    old = "; ".join(f"{one.name} another one ({_short(one)}, until {phrases.moment(one.not_after, zone)})" for one in late)
    return Compared(
        DIFFERENT,
        name,
        f"A half-done renewal: {new} {verb} the newest certificate ({_short(newest)}, until {until}), {old}. "
        f"Give {', '.join(one.name for one in late)} the new files and reload.",
    )


def _files(read: Sequence[wire.Certificate], zone: tzinfo) -> Iterable[Compared]:
    for file in (one for one in read if one.server_name is None):
        for place in (one for one in read if one.server_name and set(one.sans) == set(file.sans) and one.issuer == file.issuer):
            yield _file(file, place, zone)


def _file(file: wire.Certificate, place: wire.Certificate, zone: tzinfo) -> Compared:
    what = f"{place.name} and {file.endpoint}"
    if file.fingerprint_sha256 == place.fingerprint_sha256:
        return Compared(SAME, what, f"{place.name} serves what lies in the file ({_short(file)}).")
    if _age(file) > _age(place):
        until = phrases.moment(file.not_after, zone)
        sentence = f"The file was renewed ({_short(file)}, until {until}), {place.name} still serves {_short(place)}: reload it."
    else:
        sentence = (
            f"{place.name} serves {_short(place)}, which is newer than the file ({_short(file)}): is the path the right one?"
        )
    return Compared(DIFFERENT, what, sentence)


def _age(one: wire.Certificate) -> float:
    return one.not_before.timestamp() if one.not_before else 0.0


def _short(one: wire.Certificate) -> str:
    return (one.fingerprint_sha256 or "")[:12]
