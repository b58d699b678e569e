"""Sentences 2 and 3 across a change of model: nobody is missed, and no score of one model is taken for another's."""

from __future__ import annotations

from tests.guards.guard import Guard

CHANGE = "tests/ledger/test_model_change.py::"

GUARDS = (
    Guard(
        name="a-switch-misses-nobody",
        keeps=2,
        file="backend/store/model_change.py",
        old="    if first_since(store, ",
        new="    if False and first_since(store, ",
        test=CHANGE + "test_a_switch_that_would_miss_somebody_is_refused[sqlite]",
    ),
    Guard(
        name="both-models-are-written-while-a-change-is-open",
        keeps=2,
        file="backend/store/admission.py",
        old="    kept_beside = store.gallery(session).other_model_id",
        new="    kept_beside = None",
        test=CHANGE + "test_a_face_that_both_models_saw_is_enrolled_whichever_is_in_force_by_then[sqlite]",
    ),
    Guard(
        name="a-search-by-another-model-concludes-nothing",
        keeps=2,
        file="backend/store/conclusion.py",
        old="    _refuse_outdated(store, session, enrolment, findings)\n    now =",
        new="    now =",
        test=CHANGE + "test_a_search_of_before_the_switch_concludes_nothing_after_it[sqlite]",
    ),
    Guard(
        name="an-answer-is-by-the-model-in-force",
        keeps=3,
        file="backend/recognition.py",
        old="        if gallery.model_id != self._card.model_id:",
        new="        if False:",
        test=CHANGE + "test_answers_by_a_model_that_is_no_longer_in_force_are_refused[sqlite]",
    ),
    Guard(
        name="a-model-that-was-given-up-leaves-memory",
        keeps=6,
        file="backend/gallery/replica.py",
        old="            self._forget()\n",
        new="",
        test=CHANGE + "test_a_model_that_was_given_up_leaves_nothing[sqlite-finished]",
    ),
)
