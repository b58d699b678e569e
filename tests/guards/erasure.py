"""Sentence 6, erased means erased."""

from __future__ import annotations

from tests.guards.guard import Guard

ERASURE = "tests/ledger/test_erasure.py::"
RACES = "tests/ledger/test_erasure_races.py::"
SNAPSHOTS = "tests/ledger/test_snapshots.py::"
SCRUBBING = "tests/ledger/test_scrubbing.py::"
ERASED_ON_POSTGRESQL = "tests/system/test_erase.py::test_nothing_of_an_erased_person_stands_in_any_file[postgresql]"

GUARDS = (
    Guard(
        name="freed-pages-hold-zeros",
        keeps=6,
        file="backend/store/sqlite.py",
        old='"secure_delete": 1',
        new='"secure_delete": 0',
        test=ERASURE + "test_an_erased_subject_leaves_no_bytes_not_even_encrypted_ones[sqlite]",
    ),
    Guard(
        name="write-ahead-log-is-cut",
        keeps=6,
        file="backend/store/erasure.py",
        old="    scrubbing.ask(session, gallery_id=store.gallery_id, at=at)\n",
        new="",
        test=ERASURE + "test_an_erased_subject_leaves_no_bytes_not_even_encrypted_ones[sqlite]",
    ),
    Guard(
        name="events-that-wait-forget-the-erased",
        keeps=6,
        file="backend/store/erasure.py",
        old="    outbox.forget(session, records)\n",
        new="",
        test="tests/ledger/test_outbox.py::test_an_erased_person_is_in_no_event_that_waits[sqlite]",
    ),
    Guard(
        name="scrubbing-is-tried-again",
        keeps=6,
        file="backend/store/scrubbing.py",
        old="    if not store.scrub():\n        return False\n",
        new="    store.scrub()\n",
        test=ERASURE + "test_a_reader_that_holds_the_log_delays_the_scrubbing_to_the_next_sweep[sqlite]",
    ),
    Guard(
        name="postgresql-is-scrubbed",
        keeps=6,
        file="backend/store/vacuum.py",
        old="    for step in STEPS:\n        connection.exec_driver_sql(step)\n",
        new="",
        test=ERASED_ON_POSTGRESQL,
    ),
    Guard(
        name="the-key-is-destroyed-on-postgresql",
        keeps=6,
        file="backend/store/erasure.py",
        old=(
            "wrapped_key=None, sealed_profile=None, external_id_index=None, merged_into=None))\n"
            "    for some in chunks(records):\n"
            "        session.exec(delete(Subject).where(col(Subject.id).in_(some)))\n"
        ),
        new="sealed_profile=None, external_id_index=None, merged_into=None))\n",
        test=ERASED_ON_POSTGRESQL,
    ),
    Guard(
        name="the-rows-are-deleted-on-postgresql",
        keeps=6,
        file="backend/store/erasure.py",
        old=(
            "        _delete_around(store, session, some)\n"
            "        # Overwritten before they are deleted: the row's key must not survive in a freed cell."
            " And a record may be pointed at\n"
            "        # from any chunk.\n"
            "        blank = update(Subject).where(col(Subject.id).in_(some))\n"
            "        session.exec(blank.values("
            "wrapped_key=None, sealed_profile=None, external_id_index=None, merged_into=None))\n"
            "    for some in chunks(records):\n"
            "        session.exec(delete(Subject).where(col(Subject.id).in_(some)))\n"
        ),
        new=(
            "        blank = update(Subject).where(col(Subject.id).in_(some))\n"
            "        session.exec(blank.values("
            "wrapped_key=None, sealed_profile=None, external_id_index=None, merged_into=None))\n"
        ),
        test=ERASED_ON_POSTGRESQL,
    ),
    Guard(
        name="dead-rows-that-somebody-sees-are-not-gone",
        keeps=6,
        file="backend/store/vacuum.py",
        old="    if not _nobody_sees_the_dead(connection):\n        return False\n",
        new="",
        test=SCRUBBING + "test_as_long_as_somebody_keeps_the_dead_rows_the_scrub_is_not_done[a backup-postgresql]",
    ),
    Guard(
        name="a-table-passed-over-is-not-scrubbed",
        keeps=6,
        file="backend/store/vacuum.py",
        old="return not warnings",
        new="return True",
        test=SCRUBBING + "test_as_long_as_somebody_keeps_the_dead_rows_the_scrub_is_not_done[a running autovacuum-postgresql]",
    ),
    Guard(
        name="a-long-scrub-is-not-cut",
        keeps=6,
        file="backend/store/vacuum.py",
        old='    connection.exec_driver_sql("SET statement_timeout = 0")\n',
        new="",
        test=SCRUBBING + "test_a_long_vacuum_is_not_cut_by_the_limit_for_statements[postgresql]",
    ),
    Guard(
        name="every-index-is-told",
        keeps=6,
        file="backend/store/erasure.py",
        old="        gallery_log.append_remove(session, template, at=at)",
        new="        pass",
        test=ERASURE + "test_erasing_tells_every_index[sqlite]",
    ),
    Guard(
        name="key-of-a-rejected-one-is-destroyed",
        keeps=6,
        file="backend/store/conclusion.py",
        old="subject.external_id_index = subject.sealed_profile = subject.wrapped_key = None",
        new="subject.external_id_index = subject.sealed_profile = None",
        test=ERASURE + "test_a_rejected_newcomer_leaves_no_bytes_either[sqlite]",
    ),
    Guard(
        name="stored-answers-go-too",
        keeps=6,
        file="backend/store/erasure.py",
        old="for table in (tables.Idempotency, Enrolment,",
        new="for table in (Enrolment,",
        test="tests/ledger/test_idempotency.py::test_the_stored_answer_goes_with_the_subject[sqlite]",
    ),
    Guard(
        name="notes-go-too",
        keeps=6,
        file="backend/store/erasure.py",
        old="        _forget_notes(store, session, some)",
        new="        pass",
        test=ERASURE + "test_a_note_goes_with_either_side_of_its_case[sqlite]",
    ),
    Guard(
        name="a-further-sample-goes-too",
        keeps=6,
        file="backend/store/erasure.py",
        old="for table in (tables.Idempotency, Enrolment, Template, Sample):",
        new="for table in (tables.Idempotency, Template, Sample):",
        test=RACES + "test_a_further_sample_between_its_two_transactions_goes_with_its_person[sqlite-before the search]",
    ),
    Guard(
        name="pairs-of-an-erased-sample-are-judged-anew",
        keeps=6,
        file="backend/store/sample_erasure.py",
        old="    touched = _judge_anew(store, session, sample, compare)\n",
        new="    touched: set[str] = set()\n",
        test=ERASURE + "test_a_pair_with_other_evidence_stays_with_the_best_that_is_left[sqlite]",
    ),
    Guard(
        name="a-pair-without-evidence-wakes-for-any",
        keeps=2,
        file="backend/store/pairs.py",
        old="known.state != PairState.open or ",
        new="",
        test=ERASURE + "test_two_people_whose_pair_lost_its_evidence_are_flagged_by_any_new_one[sqlite]",
    ),
    Guard(
        name="retention-is-fenced",
        keeps=6,
        file="backend/retention.py",
        old="if not job_leases.holds(self._store, session, LEASE, holder=self._holder, epoch=epoch):",
        new="if False:",
        test="tests/ledger/test_retention.py::test_who_lost_the_lease_meanwhile_erases_nobody[sqlite]",
    ),
    Guard(
        name="keys-of-old-snapshots-are-destroyed",
        keeps=6,
        file="backend/store/index_snapshots.py",
        old="            destroy(store, session, outdated)\n",
        new="            pass\n",
        test=SNAPSHOTS + "test_whoever_is_up_destroys_the_key_of_a_snapshot_that_holds_an_erased_person_for_too_long[sqlite]",
    ),
    Guard(
        name="keys-of-old-snapshots-are-everybodys-job",
        keeps=6,
        file="backend/parts.py",
        old='    return [Job("outdated index snapshots", look_s, partial(index_snapshots.destroy_outdated, store)), *kept]\n',
        new="    return kept\n",
        test="tests/api/test_quick_start.py::test_a_replica_without_snapshots_destroys_the_key_of_anothers_that_holds_an_erased_person",
    ),
    Guard(
        name="removed-vectors-leave-memory",
        keeps=6,
        file="backend/gallery/flat.py",
        old="        stored[after:] = 0\n",
        new="",
        test="tests/ledger/test_gallery.py::test_what_was_removed_is_overwritten_in_memory",
    ),
)
