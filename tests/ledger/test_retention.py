from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError
from sqlmodel import col, select

from backend import wire
from backend.errors import RetainUntilPast, SubjectNotFound
from backend.retention import BATCH, LEASE, Periods, Retention
from backend.store import job_leases
from backend.store.tables import DuplicatePair, Enrolment, Outbox, Subject
from backend.wire import SubjectPatch, SubjectState, Verdict
from tests.ledger.world import CLIENT, Node, People, World

DAY = timedelta(days=1)
OFF = Periods(subject=None, rejected=30 * DAY)
SOON = datetime(2099, 1, 1, tzinfo=UTC)


def retention(node: Node, periods: Periods = OFF, holder: str = "b1") -> Retention:
    return Retention(node.store, periods, holder=holder)


def let_pass(node: Node, subject_id: str, *, days: float = 0, retain_until: timedelta | None = None) -> None:
    """As if it had been enrolled so many days ago; `retain_until`: from now."""
    with node.store.write() as session:
        subject = session.get_one(Subject, subject_id)
        now = node.store.now(session)
        subject.created_at = now - timedelta(days=days)
        subject.retain_until = None if retain_until is None else now + retain_until


def living(node: Node) -> set[str]:
    return {subject.id for subject in node.subjects.list(limit=200).items}


def test_nobody_is_erased_for_their_age_where_no_period_is_set(node: Node, people: People) -> None:
    a = node.enrol(people.stranger())
    let_pass(node, a.subject_id, days=10_000)
    assert retention(node).erase_due() == 0
    assert living(node) == {a.subject_id}


def test_the_period_of_the_settings_holds_for_those_without_a_time_of_their_own(node: Node, people: People) -> None:
    old, young, kept, early = (node.enrol(vector).subject_id for vector in people.strangers(4))
    let_pass(node, old, days=8)
    let_pass(node, young, days=6)
    let_pass(node, kept, days=8, retain_until=DAY)
    let_pass(node, early, days=1, retain_until=-timedelta(seconds=1))
    week = retention(node, Periods(subject=7 * DAY, rejected=30 * DAY))
    assert (week.due(), week.due(within=2 * DAY)) == (2, 4)
    assert week.erase_due() == 2
    assert living(node) == {young, kept}
    assert week.due() == 0


def test_retention_erases_as_the_api_does_and_says_so_in_the_audit_trail(world: World, people: People) -> None:
    node, other = world.node(), world.node()
    vector = people.stranger()
    a = node.enrol(vector, external_id="E-1")
    b = node.enrol(people.like(vector, 0.8))
    other.replica.catch_up()
    let_pass(node, a.subject_id, retain_until=-DAY)
    assert retention(node).erase_due() == 1
    with pytest.raises(SubjectNotFound):
        node.subjects.get(a.subject_id)
    with node.store.read() as session:
        assert session.exec(select(DuplicatePair)).all() == []
        assert session.exec(select(Enrolment.id).where(Enrolment.subject_id == a.subject_id)).all() == []
        assert session.exec(select(Outbox).where(Outbox.topic == "scrub")).all() == [], "the scrubbing was not done"
    assert node.open_case(b.case_id or "").state is wire.CaseState.resolved
    other.replica.catch_up()
    assert (other.replica.size, other.replica.status().problem) == (1, None)
    event = node.audit.list().items[0]
    assert (event.actor, event.action, event.object_id) == ("system", "subject.erase", a.subject_id)
    assert event.detail == {"records": [a.subject_id], "reason": "retention"}


def test_a_merged_set_goes_when_the_survivors_time_is_over_and_not_before(node: Node, people: People) -> None:
    person = people.stranger()
    a, b = node.enrol(person), node.enrol(people.like(person, 0.95))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    let_pass(node, b.subject_id, retain_until=-DAY)
    assert retention(node).due() == 0
    assert retention(node).erase_due() == 0
    let_pass(node, a.subject_id, retain_until=-DAY)
    assert retention(node).due() == 1
    assert retention(node).erase_due() == 1
    for gone in (a, b):
        with pytest.raises(SubjectNotFound):
            node.subjects.get(gone.subject_id)
    assert set(node.audit.list().items[0].detail["records"]) == {a.subject_id, b.subject_id}


def test_what_is_left_of_a_rejected_enrolment_goes_after_its_own_period(node: Node, people: People) -> None:
    vector = people.stranger()
    a = node.enrol(vector)
    rejected = node.outcome(vector, on_duplicate=wire.OnDuplicate.reject).answer
    assert rejected.state is SubjectState.rejected
    let_pass(node, rejected.subject_id, days=29)
    assert retention(node).erase_due() == 0
    let_pass(node, rejected.subject_id, days=31)
    assert retention(node).erase_due() == 1
    with node.store.read() as session:
        assert session.get(Subject, rejected.subject_id) is None
        assert session.exec(select(Enrolment.id).where(Enrolment.subject_id == rejected.subject_id)).all() == []
        assert session.exec(select(DuplicatePair)).all() == []
    assert living(node) == {a.subject_id}
    assert node.audit.list().items[0].detail["reason"] == "rejected"


def test_more_than_one_batch_goes_in_one_turn(node: Node, people: People) -> None:
    ids = [node.enrol(vector).subject_id for vector in people.strangers(BATCH + 3)]
    with node.store.write() as session:
        for subject in session.exec(select(Subject).where(col(Subject.id).in_(ids[1:]))):
            subject.retain_until = node.store.now(session) - DAY
    assert retention(node).erase_due() == BATCH + 2
    assert living(node) == {ids[0]}


def test_one_replica_at_a_time_erases_and_a_stopped_one_not_at_all(world: World, people: People) -> None:
    node, other = world.node(), world.node()
    a = node.enrol(people.stranger())
    let_pass(node, a.subject_id, retain_until=-DAY)
    epoch = job_leases.hold(other.store, LEASE, holder="b2", seconds=60)
    assert retention(node, holder="b1").erase_due() == 0
    job_leases.release(other.store, LEASE, holder="b2", epoch=epoch or 0)
    stopped = retention(node, holder="b1")
    stopped.stop()
    assert stopped.erase_due() == 0
    assert living(node) == {a.subject_id}
    assert retention(node, holder="b1").erase_due() == 1


def test_who_lost_the_lease_meanwhile_erases_nobody(node: Node, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    a = node.enrol(people.stranger())
    let_pass(node, a.subject_id, retain_until=-DAY)
    monkeypatch.setattr(job_leases, "hold", lambda *_, **__: 0)  # an epoch from before somebody else took it
    assert retention(node).erase_due() == 0
    assert living(node) == {a.subject_id}


def test_a_time_of_ones_own_is_set_at_enrolment_changed_and_taken_away(node: Node, people: People) -> None:
    a = node.enrol(people.stranger(), retain_until=SOON)
    assert node.subjects.get(a.subject_id).retain_until == SOON
    later = SOON + DAY
    changed = node.subjects.patch(a.subject_id, SubjectPatch(retain_until=later), caller=CLIENT)
    assert (changed.retain_until, changed.version) == (later, 2)
    assert node.subjects.patch(a.subject_id, SubjectPatch(metadata={}), caller=CLIENT).retain_until == later
    assert node.subjects.patch(a.subject_id, SubjectPatch(retain_until=None), caller=CLIENT).retain_until is None
    assert node.audit.list().items[0].detail == {"fields": ["retain_until"]}


def test_a_time_in_the_past_is_refused_and_nothing_is_changed(node: Node, people: People) -> None:
    past = datetime.now(UTC) - timedelta(seconds=5)
    with pytest.raises(RetainUntilPast, match="erase the subject"):
        node.enrol(people.stranger(), retain_until=past)
    assert living(node) == set()
    a = node.enrol(people.stranger())
    with pytest.raises(RetainUntilPast):
        node.subjects.patch(a.subject_id, SubjectPatch(retain_until=past), caller=CLIENT)
    assert node.subjects.get(a.subject_id).retain_until is None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("2099-01-01T00:00:00", "timezone"),
        ("9999-12-31T23:59:59-12:00", "years 1 to 9999"),
        ("0001-01-01T00:00:00+12:00", "years 1 to 9999"),
        ("tomorrow", "datetime"),
    ],
)
def test_a_time_that_is_none_is_refused_with_a_sentence(value: str, says: str) -> None:
    for request in (SubjectPatch.model_validate, lambda given: wire.EnrolRequest.model_validate({"images": ["AA=="], **given})):
        with pytest.raises(ValidationError, match=says):
            request({"retain_until": value})
    assert SubjectPatch.model_validate({"retain_until": "2099-01-01T00:00:00+02:00"}).retain_until == SOON - timedelta(hours=2)
