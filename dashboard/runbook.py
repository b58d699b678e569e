"""The entry of docs/alerts.md on one rule, where the document lies beside the program, as it does in a checkout."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "alerts.md"
_ENTRY = re.compile(r"^### (?P<rule>\w+)\n(?P<body>.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def entry(rule: str) -> tuple[str, str] | None:
    """What the rule means, and what to look at, as plain text; None where the document is not here or does not know it."""
    return _entries().get(rule)


@cache
def _entries() -> dict[str, tuple[str, str]]:
    try:
        text = DOCUMENT.read_text("utf-8")
    except OSError:
        return {}
    return {found["rule"]: _read(found["body"]) for found in _ENTRY.finditer(text)}


def _read(body: str) -> tuple[str, str]:
    paragraphs = [" ".join(part.split()) for part in body.split("\n\n") if part.strip() and not part.lstrip().startswith("|")]
    plain = [_LINK.sub(r"\1", one).replace("`", "") for one in paragraphs]
    look = next((one for one in plain if one.startswith("*Look at:*")), "")
    return " ".join(one for one in plain if one != look), look.removeprefix("*Look at:*").strip()
