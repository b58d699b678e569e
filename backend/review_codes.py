"""What a site offers its reviewers: which of the verdicts, its own reasons under each, and which of them want a word of why.

The verdicts are the machine's and fixed, reasons are the site's: they are kept and shown, and lead to nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backend import wire
from backend.errors import NoteRequired, UnknownReason, VerdictNotOffered
from backend.wire import Verdict

CODE = re.compile(r"[a-z0-9_]{1,40}")
NEEDED = (Verdict.same, Verdict.different)
"""Without these two no case could be settled."""


@dataclass(frozen=True)
class Codes:
    """`reasons`: the allowed ones by verdict, in the order in which they are offered."""

    offered: tuple[Verdict, ...] = tuple(Verdict)
    reasons: Mapping[Verdict, tuple[str, ...]] = field(default_factory=dict)
    note_required: frozenset[Verdict] = frozenset()

    def check(self, verdict: Verdict, *, reason: str | None, note: str | None) -> None:
        """Raises VerdictNotOffered, UnknownReason, NoteRequired."""
        if verdict not in self.offered:
            raise VerdictNotOffered(f"`{verdict}` is not offered here: decide {_listed(self.offered)}")
        allowed = self.reasons.get(verdict, ())
        if reason is not None and reason not in allowed:
            raise UnknownReason(
                f"reason must be one of {_listed(allowed)} for `{verdict}`"
                if allowed
                else f"No reasons are configured for `{verdict}`: leave reason out"
            )
        if verdict in self.note_required and reason is None and not (note or "").strip():
            raise NoteRequired(f"`{verdict}` needs a note or a reason")

    def told(self) -> wire.ReviewCodes:
        return wire.ReviewCodes(
            verdicts=[
                wire.OfferedVerdict(
                    verdict=verdict,
                    reasons=list(self.reasons.get(verdict, ())),
                    needs_note_or_reason=verdict in self.note_required,
                )
                for verdict in self.offered
            ]
        )


ALL_CODES = Codes()


def verdicts_in(text: str) -> tuple[Verdict, ...]:
    """Of a comma-separated list; raises ValueError with a sentence that repeats nothing of it."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not set(words) <= set(Verdict):
        raise ValueError(f"names something else than the verdicts {_listed(tuple(Verdict))}")
    return tuple(verdict for verdict in Verdict if verdict in words)


def reasons_in(text: str) -> dict[Verdict, tuple[str, ...]]:
    """Of a JSON object of lists, by verdict; raises ValueError with a sentence."""
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError('is not JSON: write it as {"different": ["different_ears"]}') from None
    if not isinstance(found, dict) or not all(isinstance(codes, list) for codes in found.values()):
        raise ValueError('is not an object of lists: write it as {"different": ["different_ears"]}')
    if not set(found) <= set(Verdict):
        raise ValueError(f"has a key that is none of the verdicts {_listed(tuple(Verdict))}")
    for codes in found.values():
        if not all(isinstance(code, str) and CODE.fullmatch(code) for code in codes):
            raise ValueError("has a reason that is no code: 1 to 40 of a-z, 0-9 and _")
        if len(set(codes)) < len(codes):
            raise ValueError("has a reason twice under one verdict")
    return {Verdict(verdict): tuple(codes) for verdict, codes in found.items()}


def fit_together(offered: Sequence[Verdict], reasons: Mapping[Verdict, Sequence[str]], note_required: Sequence[Verdict]) -> None:
    """Raises ValueError with a sentence."""
    if not set(NEEDED) <= set(offered):
        raise ValueError(f"BACKEND_REVIEW_VERDICTS must offer {_listed(NEEDED)}: without them no case is ever settled")
    for name, named in (("REASONS", reasons), ("NOTE_REQUIRED", note_required)):
        if not set(named) <= set(offered):
            raise ValueError(f"BACKEND_REVIEW_{name} names a verdict that BACKEND_REVIEW_VERDICTS does not offer")


def _listed(words: Sequence[str]) -> str:
    return ", ".join(str(word) for word in words)
