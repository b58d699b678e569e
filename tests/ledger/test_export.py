from __future__ import annotations

import json

import numpy as np
import pytest
from sqlmodel import select

from backend import wire
from backend.errors import SubjectNotFound
from backend.export_format import SubjectExport
from backend.store import tables
from backend.store.tables import DuplicateCase
from backend.wire import CaseState, DecideRequest, Verdict
from tests.ledger.world import ANNA, BERT, CLIENT, MODEL, SUSI, Node, People, face

LEFT_OUT = {
    "BulkReview",  # ids of cases
    "ApiKey", "CalibrationRow", "Gallery", "GalleryChange", "IndexSnapshot", "JobLease", "ModelChange", "Scan",  # of nobody
    "Outbox", "Idempotency",  # ids that wait to be told, and digests of what the client itself sent: gone after days
}  # fmt: skip


def test_everything_that_was_given_comes_back_as_it_was(node: Node, people: People) -> None:
    vector = people.stranger()
    a = node.enrolments.enrol(
        [face(vector, crop=b"\xff\xd8 her picture")], caller=CLIENT, external_id="E-1", metadata={"name": "Mary"}
    ).answer
    export = node.export(a.subject_id)
    (record,) = export.records
    assert (record.id, record.external_id, record.metadata, record.state) == (a.subject_id, "E-1", {"name": "Mary"}, "active")
    (sample,) = export.samples
    assert (sample.id, sample.record_id, sample.crop) == (a.sample_ids[0], a.subject_id, b"\xff\xd8 her picture")
    assert (sample.quality.overall, len(sample.landmarks)) == (90, 5)
    (template,) = sample.templates
    assert template.model_id == MODEL
    assert np.array_equal(np.frombuffer(template.vector, "<f4"), vector)
    (enrolment,) = export.enrolments
    assert (enrolment.record_id, enrolment.state, enrolment.policy) == (a.subject_id, "done", "flag")
    assert [event.action for event in export.audit] == ["subject.enrol", "subject.export"]


def test_an_export_names_others_by_id_alone(node: Node, people: People) -> None:
    vector = people.stranger()
    other = node.enrolments.enrol(
        [face(vector, crop=b"\xff\xd8 the other")], caller=CLIENT, external_id="OTHER-1", metadata={"name": "Percy"}
    ).answer
    a = node.enrol(people.like(vector, 0.8), external_id="E-1")
    request = DecideRequest(verdict=Verdict.different, version=1, note="Percy has a scar")
    node.adjudication.decide(a.case_id or "", request, ANNA)
    export = node.export(a.subject_id)
    (pair,) = export.pairs
    assert (pair.record_id, pair.sample_id, pair.other_record_id) == (a.subject_id, a.sample_ids[0], other.subject_id)
    (decision,) = export.decisions
    assert (decision.verdict, decision.applied, decision.has_note) == ("different", True, True)
    assert [(one.record_id, one.other_record_id) for one in export.distinct] == [(a.subject_id, other.subject_id)]
    assert [case.id for case in export.cases] == [a.case_id]
    text = export.model_dump_json()
    assert "E-1" in text
    for foreign in ("OTHER-1", "Percy", "scar", other.sample_ids[0], ANNA.id, ANNA.name):
        assert foreign not in text


def test_a_survivors_export_holds_its_whole_set_and_a_losers_its_own(node: Node, people: People) -> None:
    person = people.stranger()
    a, b = node.enrol(person, external_id="E-a"), node.enrol(people.like(person, 0.95), external_id="E-b")
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    whole = node.export(a.subject_id)
    assert {record.external_id for record in whole.records} == {"E-a", "E-b"}
    assert {sample.id for sample in whole.samples} == {*a.sample_ids, *b.sample_ids}
    assert whole.records[1].merged_into == a.subject_id
    assert whole.records[1].merged_by == whole.decisions[0].id
    assert {sample.id for sample in node.export(b.subject_id).samples} == set(b.sample_ids)


def test_a_first_decision_that_waits_for_a_blind_second_one_is_hidden_here_too(node: Node, people: People) -> None:
    vector = people.stranger()
    node.enrol(vector)
    b = node.enrol(people.like(vector, 0.8))
    node.decide(b.case_id or "", Verdict.unsure)
    assert len(node.export(b.subject_id).decisions) == 1
    with node.store.write() as session:
        session.get_one(DuplicateCase, b.case_id).state = CaseState.second_review
    assert node.export(b.subject_id).decisions == []


def test_held_and_refused_pictures_are_held_on_a_person_and_are_given(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    a = node.enrol(one)
    held = node.enrolments.add_samples(a.subject_id, [face(other)], caller=CLIENT).answer
    assert [sample.state for sample in node.export(a.subject_id).samples] == ["active", "held"]
    node.decide(held.case_id or "", Verdict.different, caller=BERT)
    assert [sample.state for sample in node.export(a.subject_id).samples] == ["active", "refused"]


def test_each_export_is_audited_before_its_first_byte(node: Node, people: People) -> None:
    a = node.enrol(people.stranger())
    node.exports.export(a.subject_id, caller=SUSI)
    event = node.audit.list().items[0]
    assert (event.actor, event.action, event.object_id) == (SUSI.id, "subject.export", a.subject_id)


def test_a_sample_that_is_erased_while_the_export_is_sent_is_left_out_and_the_document_stays_whole(
    node: Node, people: People
) -> None:
    person = people.stranger()
    a = node.enrol(person, people.like(person, 0.9), people.like(person, 0.8))
    pieces = node.exports.export(a.subject_id, caller=SUSI).pieces
    sent = [next(pieces), next(pieces)]
    node.subjects.erase_sample(a.subject_id, a.sample_ids[1], caller=CLIENT)
    sent.append(next(pieces))
    node.subjects.erase(a.subject_id, caller=CLIENT)
    export = SubjectExport.model_validate(json.loads(b"".join([*sent, *pieces])))
    assert [sample.id for sample in export.samples] == [a.sample_ids[0], a.sample_ids[2]]


def test_there_is_nothing_to_export_of_nobody_or_of_the_erased(node: Node, people: People) -> None:
    a = node.enrol(people.stranger())
    node.subjects.erase(a.subject_id, caller=CLIENT)
    for nobody in (a.subject_id, "sub_nobody"):
        with pytest.raises(SubjectNotFound):
            node.exports.export(nobody, caller=SUSI)


def test_what_is_left_of_a_rejected_newcomer_is_exported(node: Node, people: People) -> None:
    vector = people.stranger()
    node.enrol(vector)
    rejected = node.outcome(vector, external_id="E-2", on_duplicate=wire.OnDuplicate.reject).answer
    export = node.export(rejected.subject_id)
    assert [(record.state, record.external_id) for record in export.records] == [("rejected", None)]
    assert (export.samples, len(export.pairs)) == ([], 1)


def test_an_export_knows_every_table_that_speaks_of_people(node: Node, people: People) -> None:
    """A table that is added later is either exported or named here."""
    exported = {
        "Subject",
        "Sample",
        "Template",
        "Enrolment",
        "DuplicatePair",
        "DuplicateCase",
        "Decision",
        "DistinctPair",
        "AuditRow",
    }
    known = {name for name in tables.__all__ if hasattr(getattr(tables, name), "__table__")}
    assert known == exported | LEFT_OUT
    a = node.enrol(people.stranger())
    with node.store.read() as session:  # what is left out names no person
        for name in LEFT_OUT - {"Outbox", "Idempotency"}:
            assert a.subject_id not in str(session.exec(select(getattr(tables, name))).all())
