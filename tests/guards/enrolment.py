"""Sentence 2, no duplicate is missed and each pair is in one case; and of sentence 1 what enrolment does for it."""

from __future__ import annotations

from tests.guards.guard import Guard

RACES = "tests/ledger/test_races.py::"
ENROLMENT = "tests/ledger/test_enrolment.py::"
IDEMPOTENCY = "tests/ledger/test_idempotency.py::"
TARGET = "tests/ledger/test_target_fpir.py::"
STORE = "tests/ledger/test_store.py::"

GUARDS = (
    # --- the ledger lock around T1 and T2 ---
    Guard(
        name="sqlite-ledger-lock",
        keeps=2,
        file="backend/store/sqlite.py",
        old='driver.execute("BEGIN IMMEDIATE")',
        new='driver.execute("BEGIN")',
        test=STORE + "test_one_writer_at_a_time_also_across_stores[sqlite]",
    ),
    Guard(
        name="postgresql-ledger-lock",
        keeps=2,
        file="backend/store/postgres.py",
        old="SELECT pg_advisory_xact_lock(:key)",
        new="SELECT CAST(:key AS BIGINT)",
        test=STORE + "test_one_writer_at_a_time_also_across_stores[postgresql]",
    ),
    Guard(
        name="who-is-refused-in-a-batch-leaves-nothing",
        keeps=2,
        file="backend/enrolment.py",
        old="        with session.begin_nested():\n",
        new="        if True:\n",
        test="tests/ledger/test_batches.py::test_a_refusal_in_the_midst_of_a_batch_takes_back_what_was_written_of_it[sqlite]",
    ),
    Guard(
        name="a-rejection-takes-over-a-pair-that-is-known",
        keeps=2,
        file="backend/store/clusters.py",
        old="        row, _ = write(session, pair.ordered(), gallery_id, circumstances)\n        row.state",
        new=(
            "        row = new_pair(pair.ordered(), gallery_id, circumstances, kind=CaseKind.duplicate)\n"
            "        session.add(row)\n        row.state"
        ),
        test=RACES + "test_a_pair_that_a_later_one_gave_up_waiting_for_is_no_obstacle_to_the_rejection[sqlite]",
    ),
    Guard(
        name="nothing-begun-in-doubt",
        keeps=2,
        file="backend/findings.py",
        old="        self._sides.in_force().replica.wait_for(0, timeout_s=DOUBT_WAIT_S)",
        new="        return",
        test=ENROLMENT + "test_nothing_is_begun_by_a_replica_that_could_not_finish_it[sqlite]",
    ),
    # --- the search ---
    Guard(
        name="range-search-not-top-k",
        keeps=2,
        file="backend/gallery/candidates.py",
        old="replica.within_each([(template.vector, one.threshold - MARGIN)",
        new="([replica.nearest(template.vector, 16)",
        test=ENROLMENT + "test_every_match_is_found_not_only_the_best_k[sqlite]",
    ),
    Guard(
        name="margin-for-the-index",
        keeps=2,
        file="backend/gallery/candidates.py",
        old="MARGIN = 1e-3",
        new="MARGIN = 0.0",
        test="tests/ledger/test_snapshots.py::test_a_search_in_rounded_vectors_misses_nothing_that_really_reaches_the_threshold[cosine-1.0-512]",
    ),
    Guard(
        name="exact-scores-decide",
        keeps=2,
        file="backend/gallery/candidates.py",
        old="scored(metric, one.new, old) if match.score >= one.threshold]",
        new="scored(metric, one.new, old)]",
        test=ENROLMENT + "test_a_pair_just_below_the_threshold_is_not_flagged_and_one_just_above_is[sqlite]",
    ),
    Guard(
        name="search-up-to-ones-own-seq",
        keeps=2,
        file="backend/findings.py",
        old="side.replica.wait_for(last.enrolment.last_seq, ",
        new="side.replica.wait_for(0, ",
        test=RACES + "test_duplicates_one_after_the_other_through_different_replicas_are_found[sqlite]",
    ),
    Guard(
        name="only-smaller-seqs",
        keeps=2,
        file="backend/gallery/candidates.py",
        old="for seq in found.ids if seq < one.before_seq)",
        new="for seq in found.ids)",
        test=RACES + "test_of_two_that_race_the_earlier_does_not_look_at_the_later[sqlite]",
    ),
    # --- a target FPIR ---
    Guard(
        name="judged-by-the-threshold-of-its-beginning",
        keeps=2,
        file="backend/findings.py",
        old="work.enrolment.first_seq, work.enrolment.review_threshold)",
        new="work.enrolment.first_seq, 0.95)",
        test=TARGET + "test_whoever_finishes_an_enrolment_judges_by_the_threshold_that_it_was_begun_with[sqlite-another setting]",
    ),
    Guard(
        name="certain-whatever-the-target",
        keeps=2,
        file="backend/faces/target.py",
        old="if found.threshold <= certain:",
        new="if True:",
        test=TARGET + "test_what_certainly_is_a_duplicate_is_flagged_in_a_gallery_of_any_size[sqlite]",
    ),
    # --- pending candidates ---
    Guard(
        name="pending-candidates-are-waited-for",
        keeps=2,
        file="backend/findings.py",
        old="if not waiting or time.monotonic() >= until:",
        new="if True:",
        test=RACES + "test_a_candidate_that_is_pending_is_waited_for[sqlite]",
    ),
    Guard(
        name="pending-candidates-reject-nobody",
        keeps=2,
        file="backend/store/conclusion.py",
        old="if not pending and e.score >=",
        new="if e.score >=",
        test=RACES + "test_after_the_deadline_the_newcomer_is_flagged_and_not_rejected[sqlite]",
    ),
    # --- T2 ---
    Guard(
        name="one-writer-concludes",
        keeps=2,
        file="backend/store/conclusion.py",
        old="    if enrolment.state != EnrolmentState.pending:\n        return answers.read(store, session, enrolment)\n",
        new="",
        test=RACES + "test_whoever_concludes_second_changes_nothing_and_gives_the_first_answer[sqlite]",
    ),
    Guard(
        name="bridged-cases-are-joined",
        keeps=2,
        file="backend/store/clusters.py",
        old="        case = join(session, cases, at=at)\n    for pair in pairs:",
        new="        case = cases[0]\n    for pair in pairs:",
        test=ENROLMENT + "test_a_newcomer_who_bridges_two_cases_joins_them_and_the_older_survives[sqlite]",
    ),
    Guard(
        name="review-band-is-never-rejected",
        keeps=2,
        file="backend/store/conclusion.py",
        old="e.score >= case.enrolment.certain_threshold]",
        new="e.score >= case.enrolment.review_threshold]",
        test=ENROLMENT + "test_reject_leaves_the_review_band_to_a_person[sqlite]",
    ),
    # --- what was begun is finished ---
    Guard(
        name="sweep-of-abandoned-enrolments",
        keeps=1,
        file="backend/sweep.py",
        old="finished += self._take_over(enrolment_id)",
        new="pass",
        test=RACES + "test_an_enrolment_whose_process_was_killed_between_its_transactions_is_finished_by_the_sweep[sqlite]",
    ),
    Guard(
        name="repeated-request-finishes",
        keeps=1,
        file="backend/enrolment.py",
        old="return None if enrolment_id is None else self._finish(enrolment_id)",
        new="return None",
        test=RACES + "test_a_repeated_request_finishes_what_a_killed_process_began_without_waiting_for_the_sweep[sqlite]",
    ),
    Guard(
        name="idempotency-within-t1",
        keeps=1,
        file="backend/enrolment.py",
        old="return None if idempotency is None else answers.earlier(self._store, session, caller, idempotency)",
        new="return None",
        test=RACES + "test_the_same_request_at_the_same_moment_through_different_replicas_is_done_once[sqlite]",
    ),
    Guard(
        name="idempotency-binds-the-body",
        keeps=1,
        file="backend/store/answers.py",
        old="if row.body_sha256 != idempotency.body_sha256:",
        new="if False:",
        test=IDEMPOTENCY + "test_the_key_with_another_body_is_refused[sqlite]",
    ),
)
