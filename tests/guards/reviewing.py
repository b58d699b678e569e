"""Guards of putting records together and of deciding in bulk."""

from __future__ import annotations

from tests.guards.guard import Guard

ASIDE = "tests/ledger/test_aside.py::"
TOGETHER = "tests/ledger/test_force_together.py::"
BULK = "tests/ledger/test_bulk.py::"

GUARDS = (
    Guard(
        name="what-needs-no-asking-is-kept",
        keeps=2,
        file="backend/store/conclusion.py",
        old="    aside.keep(session, _pairs(case, settled), gallery_id=gallery, circumstances=case.circumstances)\n",
        new="",
        test=ASIDE + "test_records_of_one_person_that_turn_out_alike_are_asked_about_once_they_are_two[sqlite]",
    ),
    Guard(
        name="what-settled-it-is-undone",
        keeps=2,
        file="backend/deciding.py",
        old="records = settled.loosened | settled.no_longer_distinct",
        new="records = set[str]()",
        test=ASIDE + "test_of_whom_it_was_known_through_a_merge_that_they_differ_it_is_asked_when_the_merge_is_undone[sqlite]",
    ),
    Guard(
        name="what-settled-it-is-erased",
        keeps=2,
        file="backend/store/erasure.py",
        old="    aside.reconsider(session, above, gallery_id=store.gallery_id, at=at)\n",
        new="",
        test=ASIDE + "test_it_is_asked_when_the_record_through_which_it_was_known_is_erased[sqlite]",
    ),
    Guard(
        name="different-is-said-of-who-was-compared",
        keeps=2,
        file="backend/store/forest.py",
        old="for node in asked & parents.keys()}",
        new="for node in parents}",
        test=ASIDE + "test_of_whom_it_was_known_through_a_merge_that_they_differ_it_is_asked_when_the_merge_is_undone[sqlite]",
    ),
    Guard(
        name="an-override-holds-for-those-two-alone",
        keeps=2,
        file="backend/store/distinct.py",
        old="len(persons) == 2 and persons not in excused:",
        new="len(persons) == 2 and not excused:",
        test=TOGETHER + "test_an_override_opens_no_door_to_a_third[sqlite]",
    ),
    Guard(
        name="a-note-of-the-case-that-was-left-is-forgotten",
        keeps=6,
        file="backend/store/erasure.py",
        old="        col(Decision.case_id).in_(left),\n",
        new="",
        test=TOGETHER + "test_a_note_of_the_case_that_a_pair_left_goes_with_its_people_too[sqlite]",
    ),
    Guard(
        name="a-pair-that-somebody-asked-for-outlives-a-sample",
        keeps=2,
        file="backend/store/sample_erasure.py",
        old="    if pair.asked_by is not None or pair.model_id",
        new="    if pair.model_id",
        test=TOGETHER + "test_erasing_a_sample_leaves_it_open_with_the_best_of_what_is_left[sqlite]",
    ),
    Guard(
        name="no-bulk-where-two-must-agree",
        keeps=2,
        file="backend/store/identical.py",
        old="    if two_must_agree:\n        return LeftOutReason.needs_second_review\n",
        new="",
        test=BULK + "test_where_two_must_agree_a_bulk_decides_nothing[sqlite-certain]",
    ),
    Guard(
        name="a-bulk-looks-at-each-case-again",
        keeps=2,
        file="backend/bulk.py",
        old="return None if found == item.survivor_id else BulkOutcome.changed",
        new="return None",
        test=BULK + "test_a_list_that_no_preview_gave_decides_nothing_that_a_preview_would_leave_out[sqlite]",
    ),
)
