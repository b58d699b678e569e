"""Links from one page to another inside HTML: a whole page load, which the session's cookie survives. Our own ids only."""

from __future__ import annotations

from dashboard.components.markup import text


def to_subject(subject_id: str, words: str) -> str:
    return _to(f"/subjects?id={subject_id}", words)


def to_case(case_id: str, words: str) -> str:
    return _to(f"/duplicates?case={case_id}", words)


def _to(address: str, words: str) -> str:
    return f'<a class="to" href="{text(address)}" target="_self">{text(words)}</a>'
