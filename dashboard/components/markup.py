"""HTML that is put together from foreign values: everything is escaped here, and only here."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from dashboard.palette import Look

LONGEST_WORD = 18
"""characters; ids, addresses and paths are longer"""


def text(value: object) -> str:
    return html.escape(str(value), quote=True)


def badge(look: Look) -> str:
    return f'<span class="badge {look.tone}"><span aria-hidden="true">{text(look.shape)}</span>{text(look.word)}</span>'


def line(look: Look | None, strong: str, soft: str) -> str:
    """One line of a list: a badge, what matters, and what is said of it."""
    shown = badge(look) if look else ""
    return f'<div class="row">{shown}<strong>{text(strong)}</strong><span class="soft">{text(soft)}</span></div>'


def said(tone: str, sentence: str) -> str:
    """What came of the last action."""
    role = "alert" if tone == "bad" else "status"
    return f'<p class="said {tone}" role="{role}">{text(sentence)}</p>'


def verdict(tone: str, sentence: str, aside: str = "") -> str:
    """The whole of a page in one sentence, with a shape beside its colour."""
    shape = {"bad": "■", "warn": "▲", "good": "●"}.get(tone, "○")
    said = f'<strong><span aria-hidden="true">{shape}</span> {text(sentence)}</strong>'
    return f'<div class="verdict {tone}" role="status">{said}<span class="soft">{text(aside)}</span></div>'


def facts(pairs: Iterable[tuple[str, str]], *, wide: bool = False) -> str:
    """A list of name and value; a value of more than 14 characters is set smaller."""
    cells = "".join(
        f"<div><dt>{text(name)}</dt><dd{' class=small' if len(value) > 14 else ''}>{text(value)}</dd></div>"
        for name, value in pairs
    )
    return f"<dl{' class=wide' if wide else ''}>{cells}</dl>"


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], *, numeric: Sequence[str] = (), marked: Sequence[bool] = ()
) -> str:
    """A table; columns named in `numeric` stand right; rows that are `marked` differ."""
    sides = [" class=num" if head in numeric else "" for head in heads]
    head = "".join(f"<th scope=col{side}>{text(name)}</th>" for name, side in zip(heads, sides, strict=True))
    lines = []
    for place, row in enumerate(rows):
        mark = " class=differs" if place < len(marked) and marked[place] else ""
        cells = "".join(_cell(value, side) for value, side in zip(row, sides, strict=True))
        lines.append(f"<tr{mark}>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _cell(value: object, side: str) -> str:
    """Words stay whole; what is longer than any of them breaks after a slash or a comma, or else anywhere."""
    shown = text(value)
    if not side and any(len(word) > LONGEST_WORD for word in re.split(r"[\s-]+", str(value))):
        return "<td class=long>" + re.sub("([/,])", r"\1<wbr>", shown) + "</td>"
    return f"<td{side}>{shown}</td>"


def block(*parts: str) -> str:
    return f'<div class="fa">{"".join(parts)}</div>'
