"""Cases of identical pictures, many at a time: what a preview shows is what is decided, and one request takes all of it back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import col, select, update

from backend import wire
from backend.bulk import BulkReviews
from backend.errors import BulkNotFound, IdempotencyKeyReused, NoteRequired
from backend.faces.engine import Vector
from backend.review_codes import Codes
from backend.review_policy import SecondReview
from backend.store.caller import Caller
from backend.store.tables import BulkReview, DuplicateCase, Sample
from backend.wire import BulkOutcome, BulkPreviewRequest, BulkRequest, CaseState, LeftOutReason, UndoneOutcome, Verdict
from tests.ledger.world import ANNA, BERT, CLIENT, SUSI, Node, People, World, face


def enrol(node: Node, vector: Vector, picture: bytes) -> wire.Enrolment:
    return node.enrolments.enrol([face(vector, picture)], caller=CLIENT).answer


def twice(node: Node, vector: Vector, picture: bytes) -> tuple[str, str, str]:
    """Two records of one very picture, the older first, and their case."""
    a, b = enrol(node, vector, picture), enrol(node, vector, picture)
    return a.subject_id, b.subject_id, b.case_id or ""


@pytest.fixture
def three(node: Node, people: People) -> list[tuple[str, str, str]]:
    return [twice(node, vector, bytes([n]) * 99) for n, vector in enumerate(people.strangers(3))]


def preview(node: Node, caller: Caller = ANNA, **asked: object) -> wire.BulkPreview:
    return node.bulk.preview(BulkPreviewRequest(**asked), caller)  # type: ignore[arg-type]


def request_of(seen: wire.BulkPreview, **more: str) -> BulkRequest:
    return BulkRequest(bulk_id=seen.bulk_id, items=seen.items, **more)  # type: ignore[arg-type]


def decide(node: Node, seen: wire.BulkPreview, caller: Caller = ANNA, **more: str) -> list[BulkOutcome]:
    answer, _ = node.bulk.decide(request_of(seen, **more), caller)
    return [result.outcome for result in answer.results]


def undo(node: Node, bulk_id: str, caller: Caller = ANNA) -> list[UndoneOutcome]:
    return [result.outcome for result in node.bulk.undo(bulk_id, caller)[0].results]


def left_out(seen: wire.BulkPreview) -> dict[str, LeftOutReason]:
    return {one.case_id: one.reason for one in seen.left_out}


# --- looking ------------------------------------------------------------------------------------------------------


def test_a_preview_pins_the_cases_with_their_versions_and_the_older_record_as_survivor(
    node: Node, three: list[tuple[str, str, str]]
) -> None:
    seen = preview(node)
    assert {(item.case_id, item.version, item.survivor_id) for item in seen.items} == {(case, 1, a) for a, _, case in three}
    assert (seen.found, seen.more, seen.left_out, seen.survivor_rule) == (3, False, [], "oldest_record")
    assert all(node.open_case(case).state is CaseState.open for _, _, case in three)
    assert preview(node, limit=2).more
    assert len(preview(node, limit=2).items) == 2
    assert preview(node, source="scan").items == []
    created = node.open_case(three[1][2]).created_at
    assert {item.case_id for item in preview(node, created_from=created).items} == {three[1][2], three[2][2]}
    assert {item.case_id for item in preview(node, created_until=created).items} == {three[0][2], three[1][2]}


def test_what_is_not_two_records_of_one_picture_is_left_out_and_the_preview_says_why(node: Node, people: People) -> None:
    vectors = people.strangers(6)
    enrol(node, vectors[0], b"one")
    other_picture = enrol(node, vectors[0], b"another").case_id or ""
    _, _, several = twice(node, vectors[1], b"thrice")
    enrol(node, vectors[1], b"thrice")
    _, _, held = twice(node, vectors[2], b"held")
    node.adjudication.claim(held, None, BERT)
    _, _, judged = twice(node, vectors[3], b"judged")
    node.decide(judged, Verdict.poor_image)
    node.adjudication.undo(judged, wire.UndoRequest(version=2), ANNA)
    _, _, fine = twice(node, vectors[4], b"fine")
    enrol(node, vectors[5], b"near")
    enrol(node, people.like(vectors[5], 0.95), b"near")
    seen = preview(node)
    assert {item.case_id for item in seen.items} == {fine, judged}
    assert left_out(seen) == {
        other_picture: LeftOutReason.not_identical,
        several: LeftOutReason.several_members,
        held: LeftOutReason.held,
    }


def test_what_a_person_judged_before_and_what_was_decided_to_differ_is_for_people(node: Node, people: People) -> None:
    a, b, differ = twice(node, people.stranger(), b"twins")
    node.decide(differ, Verdict.different)
    node.together.ask(wire.TogetherRequest(subject_ids=[a, b], override_different=True), SUSI)
    c, d, poor = twice(node, people.stranger(), b"poor")
    node.decide(poor, Verdict.poor_image)
    node.together.ask(wire.TogetherRequest(subject_ids=[c, d]), ANNA)
    assert left_out(preview(node)) == {differ: LeftOutReason.judged_before, poor: LeftOutReason.judged_before}


def test_pictures_that_are_not_stored_or_of_before_there_were_marks_are_not_taken_for_identical(
    world: World, people: People
) -> None:
    node = world.node(store_images=False)
    _, _, without = twice(node, people.stranger(), b"one")
    kept = world.node()
    _, _, old = twice(kept, people.stranger(), b"two")
    with node.store.write() as session:
        session.exec(update(Sample).where(col(Sample.sealed_crop).is_not(None)).values(image_digest=None))
    seen = preview(kept)
    assert left_out(seen) == dict.fromkeys((without, old), LeftOutReason.not_identical)


def test_the_mark_of_a_picture_says_nothing_of_it_and_goes_with_its_sample(node: Node, people: People) -> None:
    import hashlib

    a, b, _ = twice(node, people.stranger(), b"a picture")
    with node.store.read() as session:
        first, second = session.exec(select(Sample.image_digest)).all()
    assert first == second
    assert first not in (hashlib.sha256(b"a picture").hexdigest(), node.store.keyring.blind_index("main", "a picture"))
    node.subjects.erase(a, caller=SUSI)
    node.subjects.erase(b, caller=SUSI)
    with node.store.read() as session:
        assert session.exec(select(Sample.image_digest)).all() == []


# --- deciding -----------------------------------------------------------------------------------------------------


def test_a_bulk_decides_each_case_of_its_preview_and_each_stands_in_the_trail(
    node: Node, three: list[tuple[str, str, str]]
) -> None:
    seen = preview(node)
    assert decide(node, seen, note="sent twice by the importer") == [BulkOutcome.decided] * 3
    for a, b, case_id in three:
        case = node.open_case(case_id)
        assert (case.state, node.subjects.get(b).merged_into) == (CaseState.resolved, a)
        (decision,) = case.decisions
        assert (decision.verdict, decision.survivor_id, decision.actor) == ("same", a, ANNA.id)
        assert (decision.bulk_id, decision.note) == (seen.bulk_id, "sent twice by the importer")
    events = [event for event in node.audit.list().items if event.action == "case.decide"]
    assert {event.object_id for event in events} == {case_id for _, _, case_id in three}
    assert {event.detail["bulk"] for event in events} == {seen.bulk_id}
    assert "importer" not in str(events)


def test_the_same_request_is_answered_alike_and_done_once(node: Node, three: list[tuple[str, str, str]]) -> None:
    seen = preview(node)
    node.adjudication.claim(three[0][2], None, BERT)
    first, count = node.bulk.decide(request_of(seen), ANNA)
    assert {result.outcome for result in first.results} == {BulkOutcome.decided, BulkOutcome.held}
    assert count == 2
    node.adjudication.release(three[0][2], BERT)
    assert node.bulk.decide(request_of(seen), ANNA) == (first, 0)
    assert node.open_case(three[0][2]).decisions == []
    for other in (BERT, SUSI):
        with pytest.raises(IdempotencyKeyReused):
            node.bulk.decide(request_of(seen), other)
    with pytest.raises(IdempotencyKeyReused):
        node.bulk.decide(BulkRequest(bulk_id=seen.bulk_id, items=seen.items[:1]), ANNA)


def test_one_that_was_cut_off_goes_on_where_it_was(node: Node, three: list[tuple[str, str, str]]) -> None:
    seen = preview(node)
    node.bulk.decide(request_of(seen), ANNA)
    with node.store.write() as session:  # as if the process had ended before its last transaction
        session.exec(update(BulkReview).values(results=None))
    node.adjudication.undo(three[0][2], wire.UndoRequest(version=2), ANNA)
    answer, count = node.bulk.decide(request_of(seen), ANNA)
    assert [result.outcome for result in answer.results if result.case_id == three[0][2]] == [BulkOutcome.changed]
    assert [result.outcome for result in answer.results if result.case_id != three[0][2]] == [BulkOutcome.decided] * 2
    assert count == 0
    assert node.open_case(three[0][2]).state is CaseState.open


def test_two_at_once_decide_each_case_once(world: World, people: People) -> None:
    nodes = [world.node(), world.node()]
    cases = [twice(nodes[0], vector, bytes([n]) * 9)[2] for n, vector in enumerate(people.strangers(4))]
    seen, together = preview(nodes[0]), threading.Barrier(2)

    def send(node: Node) -> tuple[wire.Bulk, int]:
        together.wait()
        return node.bulk.decide(request_of(seen), ANNA)

    with ThreadPoolExecutor(2) as pool:
        (one, _), (other, _) = pool.map(send, nodes)
    assert one == other
    assert {result.outcome for result in one.results} == {BulkOutcome.decided}
    assert all(len(nodes[0].open_case(case_id).decisions) == 1 for case_id in cases)


def test_a_case_that_changed_since_the_preview_is_left_alone_and_reported(node: Node, people: People) -> None:
    vectors = people.strangers(5)
    changed, resolved, erased, fine, stolen = (twice(node, vector, bytes([n]) * 9) for n, vector in enumerate(vectors))
    seen = preview(node)
    enrol(node, people.like(vectors[0], 0.8), b"a third")
    node.decide(resolved[2], Verdict.different)
    node.subjects.erase(erased[1], caller=SUSI)
    items = [item.model_copy(update={"survivor_id": stolen[1]}) if item.case_id == stolen[2] else item for item in seen.items]
    items.append(wire.BulkItem(case_id="case_nobody", version=1, survivor_id=fine[0]))
    answer, count = node.bulk.decide(BulkRequest(bulk_id=seen.bulk_id, items=items), ANNA)
    assert {result.case_id: result.outcome for result in answer.results} == {
        changed[2]: BulkOutcome.changed,
        resolved[2]: BulkOutcome.changed,
        erased[2]: BulkOutcome.changed,
        stolen[2]: BulkOutcome.changed,
        fine[2]: BulkOutcome.decided,
        "case_nobody": BulkOutcome.gone,
    }
    assert count == 1


def test_a_list_that_no_preview_gave_decides_nothing_that_a_preview_would_leave_out(node: Node, people: People) -> None:
    person = people.stranger()
    a = enrol(node, person, b"one")
    b = enrol(node, people.like(person, 0.95), b"one")
    item = wire.BulkItem(case_id=b.case_id or "", version=1, survivor_id=a.subject_id)
    answer, _ = node.bulk.decide(BulkRequest(bulk_id=f"bulk_{0:032x}", items=[item]), ANNA)
    assert [result.outcome for result in answer.results] == [BulkOutcome.changed]
    assert node.subjects.get(b.subject_id).merged_into is None


@pytest.mark.parametrize("policy", [SecondReview.certain, SecondReview.all])
def test_where_two_must_agree_a_bulk_decides_nothing(world: World, people: People, policy: SecondReview) -> None:
    node = world.node()
    _, b, case_id = twice(node, people.stranger(), b"one")
    seen = preview(node)
    strict = world.node(second_review=policy)
    assert left_out(preview(strict)) == {case_id: LeftOutReason.needs_second_review}
    assert decide(strict, seen) == [BulkOutcome.needs_second_review]
    assert node.subjects.get(b).merged_into is None
    assert node.open_case(case_id).version == 1


def test_a_bulk_gives_a_note_or_a_reason_where_the_site_wants_one(node: Node, three: list[tuple[str, str, str]]) -> None:
    codes = Codes(reasons={Verdict.same: ("sent_twice",)}, note_required=frozenset({Verdict.same}))
    node.bulk = BulkReviews(node.store, codes=codes)
    seen = preview(node)
    with pytest.raises(NoteRequired):
        decide(node, seen)
    assert decide(node, seen, reason="sent_twice") == [BulkOutcome.decided] * 3
    assert node.open_case(three[0][2]).decisions[0].reason == "sent_twice"


# --- taking back --------------------------------------------------------------------------------------------------


def test_one_request_takes_a_whole_bulk_back(node: Node, three: list[tuple[str, str, str]]) -> None:
    seen = preview(node)
    decide(node, seen)
    assert undo(node, seen.bulk_id, BERT) == [UndoneOutcome.undone] * 3
    for _, b, case_id in three:
        assert node.open_case(case_id).state is CaseState.open
        assert node.subjects.get(b).merged_into is None
    assert undo(node, seen.bulk_id) == [UndoneOutcome.undone] * 3
    events = [event for event in node.audit.list().items if event.action == "case.undo"]
    assert [(event.actor, event.detail["bulk"]) for event in events] == [(BERT.id, seen.bulk_id)] * 3
    again = preview(node)
    assert again.bulk_id != seen.bulk_id
    assert decide(node, again) == [BulkOutcome.decided] * 3


def test_what_cannot_be_taken_back_is_reported_and_the_rest_is(node: Node, people: People) -> None:
    before, erased, held, fine = (twice(node, vector, bytes([n]) * 9) for n, vector in enumerate(people.strangers(4)))
    seen = preview(node)
    decide(node, seen)
    node.undo(before[2], BERT)
    node.subjects.erase(erased[0], caller=SUSI)
    with node.store.write() as session:
        lease = {"lease_holder": BERT.id, "lease_until": node.store.now(session) + timedelta(hours=1)}
        session.exec(update(DuplicateCase).where(col(DuplicateCase.id) == held[2]).values(**lease))
    expected = {
        before[2]: UndoneOutcome.undone_before,
        erased[2]: UndoneOutcome.gone,
        held[2]: UndoneOutcome.held,
        fine[2]: UndoneOutcome.undone,
    }
    assert {result.case_id: result.outcome for result in node.bulk.undo(seen.bulk_id, ANNA)[0].results} == expected
    assert node.subjects.get(held[1]).merged_into == held[0]
    expected[held[2]] = UndoneOutcome.undone
    assert {result.case_id: result.outcome for result in node.bulk.undo(seen.bulk_id, BERT)[0].results} == expected


def test_a_merge_that_a_later_one_rests_on_is_undone_after_it(node: Node, people: People) -> None:
    person = people.stranger()
    a, b, case_id = twice(node, person, b"one")
    seen = preview(node)
    decide(node, seen)
    later = node.enrol(people.like(person, 0.8))
    node.decide(later.case_id or "", Verdict.same, later.subject_id)
    assert node.subjects.get(a).merged_into == later.subject_id
    assert undo(node, seen.bulk_id) == [UndoneOutcome.rested_on], "the later one was said of both"
    assert node.subjects.get(b).merged_into == a
    node.undo(later.case_id or "")
    assert undo(node, seen.bulk_id) == [UndoneOutcome.undone]
    assert node.subjects.get(b).merged_into is None
    assert node.open_case(case_id).state is CaseState.open


def test_a_case_that_is_joined_when_it_is_open_again_is_reported_by_the_one_that_lives_on(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    older = node.enrol(one).subject_id
    older_case = node.enrol(people.like(one, 0.8)).case_id
    a, _, case_id = twice(node, other, b"one")
    seen = preview(node)
    decide(node, seen)
    node.together.ask(wire.TogetherRequest(subject_ids=[older, a]), ANNA)
    first, count = node.bulk.undo(seen.bulk_id, ANNA)
    assert [(result.case_id, result.outcome) for result in first.results] == [(older_case, UndoneOutcome.undone)]
    assert (count, case_id != older_case) == (1, True)
    assert node.bulk.undo(seen.bulk_id, ANNA) == (first, 0)


def test_a_bulk_that_never_was_is_not_found(node: Node) -> None:
    with pytest.raises(BulkNotFound):
        node.bulk.undo("bulk_nothing", ANNA)
