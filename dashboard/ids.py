"""Whether a word from an address may be one of our ids: only then does it go into the path of a question to an API."""

from __future__ import annotations

import re

OURS = re.compile(r"[A-Za-z0-9_-]{1,80}")


def may_be_ours(word: str) -> bool:
    """No dot, slash or question mark: a link must not choose another path than the page's, and with it another question."""
    return OURS.fullmatch(word) is not None
