"""Sentence 8, what was done stays told: by the chain itself, and by a head of it that was kept elsewhere."""

from __future__ import annotations

from tests.guards.guard import Guard

CHAIN = "tests/ledger/test_audit_chain.py::"
FILE = "backend/store/audit_chain.py"

GUARDS = (
    Guard(
        name="a-changed-event-is-told",
        keeps=8,
        file=FILE,
        old="if row.hash != chained_hash(row):",
        new="if False:",
        test=CHAIN + "test_a_changed_column_breaks_the_chain_at_its_row[sqlite-actor]",
    ),
    Guard(
        name="a-missing-event-is-told",
        keeps=8,
        file=FILE,
        old="if row.position != before.position + 1:",
        new="if False:",
        test=CHAIN + "test_a_row_taken_out_is_missed[sqlite]",
    ),
    Guard(
        name="events-follow-from-one-another",
        keeps=8,
        file=FILE,
        old="if row.previous_hash != before.hash:",
        new="if False:",
        test=CHAIN + "test_a_row_taken_out_and_its_place_filled_is_told[sqlite]",
    ),
    Guard(
        name="a-chain-written-anew-is-told",
        keeps=8,
        file=FILE,
        old="if wanted[verdict.position] == row.hash:",
        new="if True:",
        test=CHAIN + "test_a_chain_written_anew_is_told_by_a_witness[sqlite]",
    ),
    Guard(
        name="a-chain-cut-off-is-told",
        keeps=8,
        file=FILE,
        old="    differing |= {place: hash_ for place, hash_ in wanted.items() if place > verdict.position}\n",
        new="",
        test=CHAIN + "test_a_cut_off_end_is_told_by_a_witness_alone[sqlite]",
    ),
    Guard(
        name="a-restore-gives-up-no-more-than-it-replaced",
        keeps=8,
        file=FILE,
        old="return place < last or hash_ == restore.get(",
        new="return True or hash_ == restore.get(",
        test=CHAIN + "test_heads_given_up_by_a_restore_are_believed_where_the_chain_itself_says_so[sqlite]",
    ),
    Guard(
        name="the-lease-of-the-seal-is-fenced",
        keeps=8,
        file=FILE,
        old="if not job_leases.holds(self._store, session, JOB, holder=self._holder, epoch=epoch):",
        new="if False:",
        test=CHAIN + "test_who_lost_the_lease_meanwhile_seals_nothing[sqlite]",
    ),
)
