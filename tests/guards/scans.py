"""Of sentence 2 what a scan does for it: it looks for pairs that no enrolment asks about, and misses none either."""

from __future__ import annotations

from tests.guards.guard import Guard

SCANS = "tests/ledger/test_scans.py::"
GALLERY = "tests/ledger/test_gallery.py::"

GUARDS = (
    Guard(
        name="scan-is-fenced",
        keeps=2,
        file="backend/store/scans.py",
        old="return scan if job_leases.holds(store, session, JOB, holder=fence.holder, epoch=fence.epoch) else None",
        new="return scan",
        test=SCANS + "test_a_frozen_worker_never_moves_the_scan_back_before_its_restarted_successor[sqlite]",
    ),
    Guard(
        name="a-process-is-its-own-holder",
        keeps=2,
        file="backend/store/job_leases.py",
        old='return f"{instance}.{secrets.token_hex(4)}"',
        new="return instance",
        test="tests/ledger/test_job_leases.py::test_a_process_and_its_successor_of_the_same_name_are_two_holders[sqlite]",
    ),
    Guard(
        name="next-scan-begins-before-the-pending",
        keeps=2,
        file="backend/store/scans.py",
        old=" if first is None else first - 1",
        new="",
        test=SCANS + "test_who_is_pending_while_a_scan_passes_is_compared_by_the_next_one_and_keeps_nobody_else_back[sqlite]",
    ),
    Guard(
        name="moved-templates-are-compared",
        keeps=2,
        file="backend/gallery/flat.py",
        old="np.flatnonzero(self._ids[:there] != compared[:there])",
        new="np.flatnonzero(self._ids[:0])",
        test=GALLERY + "test_a_block_misses_nothing_that_stays_while_others_leave_and_come_between_its_parts[cosine-0]",
    ),
    Guard(
        name="who-cannot-scan-takes-no-lease",
        keeps=2,
        file="backend/scan_job.py",
        old="if scan is None or not self._is_fit_for(scan):",
        new="if scan is None:",
        test=SCANS + "test_a_replica_with_the_wrong_model_leaves_the_scan_to_the_others[sqlite]",
    ),
)
