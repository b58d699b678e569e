from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import event

from backend import wire
from backend.errors import BadCursor, ExternalIdTaken, FaceAuthError, PreconditionFailed, SampleNotFound, SubjectNotFound
from backend.wire import SubjectState, Verdict
from tests.ledger.world import ANNA, CLIENT, Node, People, World, face


def test_a_list_pages_through_everything_once_newest_first(node: Node, people: People) -> None:
    ids = [node.enrol(vector).subject_id for vector in people.strangers(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = node.subjects.list(cursor=cursor, limit=3)
        assert (page.total, page.total_is) == (7, "exact")
        seen += [subject.id for subject in page.items]
        if (cursor := page.next) is None:
            break
    assert seen == ids[::-1]


def test_a_page_is_not_shaken_by_what_is_enrolled_meanwhile(node: Node, people: People) -> None:
    vectors = people.strangers(5)
    ids = [node.enrol(vector).subject_id for vector in vectors[:4]]
    first = node.subjects.list(limit=2)
    node.enrol(vectors[4])
    second = node.subjects.list(limit=2, cursor=first.next)
    assert [subject.id for subject in (*first.items, *second.items)] == ids[::-1]


@pytest.mark.parametrize("cursor", ["nonsense", "", "eyJhIjoxfQ", "W10", "WzFd", "Wy"])
def test_a_cursor_that_is_not_ours_is_refused(node: Node, cursor: str) -> None:
    with pytest.raises(BadCursor):
        node.subjects.list(cursor=cursor)


def test_a_subject_is_found_by_its_whole_external_id_and_by_the_beginning_of_its_id(node: Node, people: People) -> None:
    a = node.enrol(people.stranger(), external_id="Müller 17%")
    node.enrol(people.stranger(), external_id="E-2")
    assert [s.id for s in node.subjects.list(external_id="Müller 17%").items] == [a.subject_id]
    assert [s.id for s in node.subjects.list(query="Müller 17%").items] == [a.subject_id]
    assert [s.id for s in node.subjects.list(query=a.subject_id).items] == [a.subject_id]
    assert node.subjects.list(query=a.subject_id[:6]).total == 2
    for nothing in ("Müller", "%", "_" * 36):
        assert node.subjects.list(query=nothing).total == 0
    assert node.subjects.list(external_id="unknown").items == []


def test_a_patch_changes_what_it_names_and_nothing_else(node: Node, people: People) -> None:
    a = node.enrol(people.stranger(), external_id="E-1", metadata={"office": "north"})
    changed = node.subjects.patch(a.subject_id, wire.SubjectPatch(metadata={"office": "south"}), caller=CLIENT)
    assert (changed.external_id, changed.metadata, changed.version) == ("E-1", {"office": "south"}, 2)
    changed = node.subjects.patch(a.subject_id, wire.SubjectPatch(external_id="E-2"), caller=CLIENT, if_match=2)
    assert (changed.external_id, changed.metadata, changed.version) == ("E-2", {"office": "south"}, 3)
    assert node.subjects.list(external_id="E-1").items == []
    assert node.subjects.list(external_id="E-2").total == 1
    assert node.subjects.patch(a.subject_id, wire.SubjectPatch(external_id=None), caller=CLIENT).external_id is None
    assert node.subjects.list(external_id="E-2").total == 0


def test_a_patch_of_another_version_is_refused(node: Node, people: People) -> None:
    a = node.enrol(people.stranger())
    with pytest.raises(PreconditionFailed):
        node.subjects.patch(a.subject_id, wire.SubjectPatch(metadata={}), if_match=7, caller=CLIENT)
    with pytest.raises(PreconditionFailed):
        node.subjects.erase(a.subject_id, if_match=7, caller=CLIENT)
    assert node.subjects.get(a.subject_id).version == 1


def test_a_patch_cannot_take_somebody_elses_external_id(node: Node, people: People) -> None:
    node.enrol(people.stranger(), external_id="E-1")
    b = node.enrol(people.stranger())
    with pytest.raises(ExternalIdTaken):
        node.subjects.patch(b.subject_id, wire.SubjectPatch(external_id="E-1"), caller=CLIENT)


def test_the_picture_of_a_sample_comes_back_as_it_was_and_every_look_is_audited(node: Node, people: People) -> None:
    a = node.enrolments.enrol([face(people.stranger(), crop=b"\xff\xd8 the picture")], caller=CLIENT).answer
    assert node.subjects.sample_image(a.subject_id, a.sample_ids[0], ANNA) == b"\xff\xd8 the picture"
    event = node.audit.list().items[0]
    assert (event.actor, event.action, event.object_id) == (ANNA.id, "sample.view", a.sample_ids[0])
    path = node.subjects.get(a.subject_id).samples[0].image
    assert path == f"/v1/subjects/{a.subject_id}/samples/{a.sample_ids[0]}/image"


def test_a_picture_is_reached_through_its_own_subject_only(node: Node, people: People) -> None:
    a, b = (node.enrol(vector) for vector in people.strangers(2))
    with pytest.raises(SampleNotFound):
        node.subjects.sample_image(b.subject_id, a.sample_ids[0], ANNA)
    with pytest.raises(SubjectNotFound):
        node.subjects.sample_image("sub_nobody", a.sample_ids[0], ANNA)


def test_a_merged_subject_points_at_the_survivor_which_unites_the_set(node: Node, people: People) -> None:
    person = people.stranger()
    a = node.enrol(person, external_id="E-a")
    b = node.enrol(people.like(person, 0.9), external_id="E-b")
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    survivor, loser = node.subjects.get(a.subject_id), node.subjects.get(b.subject_id)
    assert (loser.state, loser.merged_into, loser.external_id) == (SubjectState.merged, a.subject_id, "E-b")
    assert (survivor.state, survivor.merged, survivor.external_id) == (SubjectState.active, [b.subject_id], "E-a")
    assert {sample.id for sample in survivor.samples} == {*a.sample_ids, *b.sample_ids}
    assert [sample.id for sample in loser.samples] == b.sample_ids
    for external_id in ("E-a", "E-b"):
        assert [s.id for s in node.subjects.list(external_id=external_id).items] == [a.subject_id]
    assert node.subjects.sample_image(a.subject_id, b.sample_ids[0], ANNA)
    assert {s.id for s in node.subjects.list(state=SubjectState.merged).items} == {b.subject_id}


def test_a_page_of_many_asks_the_database_no_more_often_than_one_of_few(node: Node, people: People) -> None:
    for stranger in people.strangers(14):
        node.enrol(stranger)
    few, many = (_statements(node, lambda limit=limit: node.subjects.list(limit=limit)) for limit in (2, 14))
    assert few == many


def _statements(node: Node, do: Callable[[], object]) -> int:
    """How many reach the database while `do` runs."""
    seen: list[str] = []

    def note(*said: object) -> None:
        seen.append(str(said[2]))

    with node.store.read() as session:
        engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    try:
        do()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_erasing_a_survivor_erases_its_set_and_erasing_a_loser_only_that(world: World, people: People) -> None:
    node = world.node()
    person = people.stranger()
    a, b, c = node.enrol(person), node.enrol(people.like(person, 0.95)), node.enrol(people.like(person, 0.96))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    node.subjects.erase(c.subject_id, caller=CLIENT)
    assert node.subjects.get(a.subject_id).merged == [b.subject_id]
    node.subjects.erase(a.subject_id, caller=CLIENT)
    for gone in (a, b, c):
        with pytest.raises(SubjectNotFound):
            node.subjects.get(gone.subject_id)
        with pytest.raises(SubjectNotFound):
            node.subjects.erase(gone.subject_id, caller=CLIENT)
    node.replica.catch_up()
    assert node.replica.size == 0
    assert node.enrol(person).duplicates == []


def test_erasing_the_bridge_of_a_case_leaves_one_case_for_each_part(node: Node, people: People) -> None:
    left, right = people.strangers(2)
    a, b = node.enrol(left), node.enrol(people.like(left, 0.9))
    c, d = node.enrol(right), node.enrol(people.like(right, 0.9))
    bridge = node.enrol((0.7071 * (left + right)).astype("float32"))
    (whole,) = node.cases(wire.CaseState.open)
    node.subjects.erase(bridge.subject_id, caller=CLIENT)
    parts = node.cases(wire.CaseState.open)
    assert {frozenset(case.subject_ids) for case in parts} == {
        frozenset((a.subject_id, b.subject_id)),
        frozenset((c.subject_id, d.subject_id)),
    }
    assert whole.id in {case.id for case in parts}
    node.subjects.erase(a.subject_id, caller=CLIENT)
    assert len(node.cases(wire.CaseState.open)) == 1
    assert len(node.cases(wire.CaseState.resolved)) == 1


def test_the_numbers_count_people_and_what_is_in_force(node: Node, people: People) -> None:
    from backend.store.stats import stats

    person, other = people.strangers(2)
    a, b = node.enrol(person), node.enrol(people.like(person, 0.9))
    node.enrol(other)
    node.enrol(people.like(other, 0.9))
    node.adjudication.claim(b.case_id or "", None, ANNA)
    now = stats(node.store)
    assert (now.subjects, now.samples, now.decisions) == (4, 4, 0)
    assert now.cases == dict.fromkeys(wire.CaseState, 0) | {wire.CaseState.claimed: 1, wire.CaseState.open: 1}
    assert now.oldest_open_case_at is not None
    assert now.oldest_open_case_at.tzinfo is not None
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    now = stats(node.store)
    assert (now.subjects, now.samples, now.decisions) == (3, 4, 1)
    assert now.cases[wire.CaseState.resolved] == 1
    node.undo(b.case_id or "")
    assert stats(node.store).decisions == 0


def test_a_nul_in_an_id_is_the_callers_mistake(node: Node) -> None:
    """SQLite finds nothing by such an id; PostgreSQL cannot even be asked for it."""
    for read in (node.subjects.get, node.open_case):
        with pytest.raises(FaceAuthError) as refused:
            read("sub_\x00")
        assert 400 <= refused.value.status < 500
