"""The bulk of identical pictures that is open in this session: what would be decided, what was, and its undo.

Knows nothing of Streamlit, like `desk`. Nothing is decided before the exact number was typed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from backend import wire
from backend.client import BackendClient
from dashboard import failures, phrases
from dashboard.desk import Said

AT_ONCE = 200
LEFT_OUT = {
    wire.LeftOutReason.several_members: "more than two records",
    wire.LeftOutReason.not_identical: "not of the same file",
    wire.LeftOutReason.held: "held by somebody",
    wire.LeftOutReason.needs_second_review: "two people must agree",
    wire.LeftOutReason.judged_before: "judged before",
    wire.LeftOutReason.decided_different: "decided to be different people",
}
OUTCOMES = {
    wire.BulkOutcome.decided: "decided",
    wire.BulkOutcome.changed: "changed meanwhile, left alone",
    wire.BulkOutcome.held: "held by somebody, left alone",
    wire.BulkOutcome.needs_second_review: "need two people, left alone",
    wire.BulkOutcome.conflict: "against an earlier decision, left alone",
    wire.BulkOutcome.gone: "no longer there",
}
UNDONE = {
    wire.UndoneOutcome.undone: "undone",
    wire.UndoneOutcome.undone_before: "undone before",
    wire.UndoneOutcome.not_last: "decided again since, left alone",
    wire.UndoneOutcome.rested_on: "under a later merge, left alone: undo that first",
    wire.UndoneOutcome.held: "held by somebody, left alone",
    wire.UndoneOutcome.gone: "no longer there",
}


@dataclass
class BulkDesk:
    is_open: bool = False
    preview: wire.BulkPreview | None = None
    decided_id: str | None = None
    """of the last bulk of this session, for its undo"""
    said: Said | None = None

    def open(self, backend: BackendClient) -> None:
        """Look anew; nothing is reserved by it."""
        self.is_open = True
        try:
            self.preview = backend.preview_bulk(limit=AT_ONCE)
        except failures.FAILURES as error:
            self.preview, self.said = None, Said("bad", failures.sentence(error))

    def close(self) -> None:
        self.is_open, self.preview, self.said = False, None, None

    def confirmed_by(self, typed: str) -> bool:
        """Whether what was typed is how many there are."""
        return self.preview is not None and bool(self.preview.items) and typed.strip() == str(len(self.preview.items))

    def decide(self, backend: BackendClient, typed: str, note: str | None) -> None:
        """Decide all that the preview lists. Sent again after a lost answer it goes on where it was."""
        preview = self.preview
        if preview is None or not self.confirmed_by(typed):
            self.said = Said("warn", "Nothing was decided: type the number of cases first.")
            return
        try:
            done = backend.decide_bulk(preview.bulk_id, preview.items, note=note or None)
        except failures.FAILURES as error:
            self.said = Said("bad", f"{failures.sentence(error)} Press it again: what was decided stays, the rest follows.")
            return
        self.decided_id = done.bulk_id
        counts = Counter(result.outcome for result in done.results)
        whole = counts[wire.BulkOutcome.decided] == len(done.results)
        told = ", ".join(f"{counts[outcome]} {word}" for outcome, word in OUTCOMES.items() if counts[outcome])
        self.open(backend)
        self.said = Said("good" if whole else "warn", f"{phrases.counted(len(done.results), 'case')}: {told}.")

    def undo(self, backend: BackendClient) -> None:
        """Take back what is still the last word on its case."""
        if self.decided_id is None:
            return
        try:
            results = backend.undo_bulk(self.decided_id).results
        except failures.FAILURES as error:
            self.said = Said("bad", failures.sentence(error))
            return
        counts = Counter(result.outcome for result in results)
        told = ", ".join(f"{counts[outcome]} {word}" for outcome, word in UNDONE.items() if counts[outcome])
        whole = all(result.outcome in (wire.UndoneOutcome.undone, wire.UndoneOutcome.undone_before) for result in results)
        if whole:
            self.decided_id = None
        self.open(backend)
        self.said = Said("good" if whole else "warn", f"{phrases.counted(len(results), 'case')}: {told}.")


def left_out(preview: wire.BulkPreview) -> list[tuple[str, int]]:
    """Reason and how many, the most frequent first."""
    counts = Counter(one.reason for one in preview.left_out)
    return [(LEFT_OUT[reason], count) for reason, count in counts.most_common()]
