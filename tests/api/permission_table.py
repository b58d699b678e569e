"""The table of docs/permissions.md, from the code: each call of both APIs, and who may make it.

    python -m tests.api.permission_table          # writes the document

The backend's rows come from its routes, and from what each of them asks of `backend.permissions`; the monitor's from its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from backend.app import ROUTERS
from backend.permissions import PERMISSIONS, PERSONS_ONLY, Action
from backend.routes.deps import May
from backend.wire import Scope
from monitor.api.alert_routes import alert_routes
from monitor.api.identity import READERS
from monitor.api.operator_routes import operator_routes
from monitor.api.roles import Needs
from monitor.api.routes import open_routes, routes

DOCUMENT = Path(__file__).parents[2] / "docs" / "permissions.md"
ROLES = (Scope.operator, Scope.reviewer, Scope.supervisor, Scope.admin)
YES, UNAUTHENTICATED, FORBIDDEN, PERSON_NEEDED = "yes", "401 unauthenticated", "403 forbidden", "403 person_needed"
BEGIN, END = "<!-- from here on: python -m tests.api.permission_table -->", "<!-- up to here -->"


@dataclass(frozen=True)
class Who:
    """One column: nobody, a key with one scope, or a person with one role."""

    kind: str
    word: Scope | None = None

    @property
    def title(self) -> str:
        return f"{self.kind} `{self.word}`" if self.word else self.kind


COLUMNS = (
    Who("nobody"),
    *(Who("key", scope) for scope in Scope),
    *(Who("person", role) for role in ROLES),
)


@dataclass(frozen=True)
class Row:
    call: str
    cells: tuple[str, ...]
    """one for each of `COLUMNS`: `YES`, or the status and the code of the refusal"""


def backend_rows() -> list[Row]:
    return [Row(call, tuple(_cell(action, who) for who in COLUMNS)) for call, action in _backend_calls()]


def _backend_calls() -> Iterator[tuple[str, Action | None]]:
    for route in (route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)):
        actions = [needed.call.action for needed in route.dependant.dependencies if isinstance(needed.call, May)]
        for method in sorted(route.methods):
            yield f"{method} {route.path}", actions[0] if actions else None
    for path in ("/openapi.json", "/docs"):
        yield f"GET {path}", None


def _cell(action: Action | None, who: Who) -> str:
    if action is None:
        return YES
    if who.word is None:
        return UNAUTHENTICATED
    if who.kind == "key" and action in PERSONS_ONLY:
        return PERSON_NEEDED
    return YES if who.word in PERMISSIONS[action] else FORBIDDEN


def monitor_rows() -> list[Row]:
    guarded = [*routes.routes, *alert_routes.routes, *operator_routes.routes]
    calls = [(route, _monitor_roles(route)) for route in guarded] + [(route, None) for route in open_routes.routes]
    return [
        Row(f"{method} {route.path}", tuple(_monitor_cell(who, roles) for who in COLUMNS))
        for route, roles in calls
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]


def _monitor_roles(route: BaseRoute) -> frozenset[str]:
    """Every route of `/v1` may be called by who may read, unless it asks for more."""
    needs = [one.call for one in route.dependant.dependencies] if isinstance(route, APIRoute) else []
    return next((one.roles for one in needs if isinstance(one, Needs)), READERS)


def _monitor_cell(who: Who, roles: frozenset[str] | None) -> str:
    if roles is None:
        return YES
    if who.word is None:
        return UNAUTHENTICATED
    return YES if who.word in roles else FORBIDDEN


def table(rows: list[Row]) -> str:
    lines = [["Call", *(who.title for who in COLUMNS)], ["---"] * (len(COLUMNS) + 1)]
    lines += [[f"`{row.call}`", *row.cells] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def generated() -> str:
    return f"{BEGIN}\n\n## The backend\n\n{table(backend_rows())}\n\n## The monitor\n\n{table(monitor_rows())}\n\n{END}"


def documented(heading: str) -> list[Row]:
    """The rows that the document has under `heading`."""
    section = DOCUMENT.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]
    return [Row(call.strip("`"), tuple(cells)) for call, *cells in lines]


def with_generated(document: str) -> str:
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: generated(), document)


if __name__ == "__main__":
    DOCUMENT.write_text(with_generated(DOCUMENT.read_text("utf-8")), encoding="utf-8")
    print(f"{DOCUMENT.name}: {len(backend_rows())} calls of the backend, {len(monitor_rows())} of the monitor")
