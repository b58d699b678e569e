"""A trail as a table: who did what to what, with the whole ids where a reader points."""

from __future__ import annotations

from collections.abc import Iterable

from dashboard.components.markup import text
from dashboard.tables.trail import Row


def trail(rows: Iterable[Row]) -> str:
    lines = "".join(_line(row) for row in rows)
    heads = "".join(f"<th scope=col>{name}</th>" for name in ("When", "Who", "What", "On", "Details"))
    return f'<div class="scroll"><table class="trail"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'


def _line(row: Row) -> str:
    on = f'<span title="{text(row.on_id)}">{text(row.on)}</span>'
    if row.link:
        on = f'<a href="{text(row.link)}" target="_self" title="{text(row.on_id)}">{text(row.on)}</a>'
    return (
        f'<tr><td>{text(row.when)}</td><td title="{text(row.who_id)}">{text(row.who)}</td><td><code>{text(row.what)}</code></td>'
        f"<td>{on}</td><td>{text(row.about)}</td></tr>"
    )
