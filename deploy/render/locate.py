"""Where in a fleet file a refusal's place stands: ``backends.worker2.weight`` becomes a line number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monitor import fleet_file
from monitor.fleet import Fleet


def with_lines(refused: str, file: Path, fleet: Fleet) -> str:
    """Each line of a refusal with the file's name and the line that is to be changed (of the nearest part that stands there)."""
    lines = fleet_file.lines(file.read_bytes(), path=file)
    return "\n".join(f"{file.name}:{_line(one, lines, fleet)}: {one}" for one in refused.splitlines())


def _line(refusal: str, lines: Mapping[fleet_file.Place, int], fleet: Fleet) -> int:
    place = _place(refusal.partition(":")[0].partition(",")[0], fleet)
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _place(dotted: str, fleet: Fleet) -> fleet_file.Place:
    """Refusals name a backend by its name, what stands in another list by its number; the file knows numbers."""
    words = dotted.split(".")
    parts: list[str | int] = [int(word) if word.isdigit() and words[0] != "backends" else word for word in words]
    names = [backend.name for backend in fleet.backends]
    if parts[0] == "backends" and len(parts) > 1 and parts[1] in names:
        parts[1] = names.index(str(parts[1]))
    return tuple(parts)
