"""What must hold in every ledger, whatever was done to it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from sqlmodel import col, select

from backend.store import audit_chain, gallery_log, templates
from backend.store.database import Store
from backend.store.forest import roots
from backend.store.keyring import Keyring
from backend.store.tables import (
    Decision,
    DistinctPair,
    DuplicateCase,
    DuplicatePair,
    Gallery,
    GalleryChange,
    PairState,
    Sample,
    SampleState,
    Subject,
    Template,
)
from tests.ledger.world import MODEL, World


def assert_ledger_is_whole(world: World) -> None:
    store = Store.open(world.url, keyring=Keyring.load(world.key_file))
    try:
        seal_all(store)
        assert audit_chain.verify(store).why is None
        assert_merges_are_a_forest(store)
        assert_each_person_is_in_one_open_case_at_most(store)
        assert_whoever_is_called_one_is_one(store)
        assert_counts_agree(store)
        assert_a_fresh_index_agrees_with_the_log(world, store)
    finally:
        store.close()


def seal_all(store: Store) -> None:
    """As the leased job would, whoever has its lease just now."""
    with store.write() as session:
        while audit_chain.seal(store, session):
            pass


def assert_merges_are_a_forest(store: Store) -> None:
    with store.read() as session:
        subjects = {subject.id: subject for subject in session.exec(select(Subject))}
    for subject in subjects.values():
        seen = {subject.id}
        while subject.merged_into is not None:
            assert subject.state == "merged"
            assert subject.merged_by is not None
            assert subject.merged_into not in seen, "a circle of merges"
            seen.add(subject.merged_into)
            subject = subjects[subject.merged_into]
        assert subject.state != "merged"


def assert_each_person_is_in_one_open_case_at_most(store: Store) -> None:
    """One case per connected cluster: of open pairs and merges."""
    with store.read() as session:
        query = (
            select(DuplicatePair, DuplicateCase)
            .join(DuplicateCase, col(DuplicateCase.id) == DuplicatePair.case_id)
            .where(DuplicatePair.kind == "duplicate", DuplicatePair.state == PairState.open, DuplicateCase.state != "resolved")
        )
        rows = session.exec(query).all()
        root = roots(session, {s for pair, _ in rows for s in (pair.a_subject_id, pair.b_subject_id)})
        pairs_without_case = session.exec(
            select(DuplicatePair.id).where(DuplicatePair.state == PairState.open, col(DuplicatePair.case_id).is_(None))
        ).all()
        joined = session.exec(
            select(DuplicatePair.id)
            .join(DuplicateCase, col(DuplicateCase.id) == DuplicatePair.case_id)
            .where(col(DuplicateCase.joined_into).is_not(None))
        ).all()
    assert not pairs_without_case
    assert not joined, "a pair was left in a case that was joined away"
    cases = defaultdict(set)
    for pair, case in rows:
        assert case.joined_into is None
        cases[root[pair.a_subject_id]].add(case.id)
        cases[root[pair.b_subject_id]].add(case.id)
    assert all(len(ids) == 1 for ids in cases.values()), f"a person in two open cases: {dict(cases)}"


def assert_whoever_is_called_one_is_one(store: Store) -> None:
    """No merge is undone under another that rests on it."""
    with store.read() as session:
        query = (
            select(Decision)
            .join(DuplicateCase, col(DuplicateCase.id) == Decision.case_id)
            .where(DuplicateCase.kind == "duplicate", DuplicateCase.state == "resolved", col(DuplicateCase.joined_into).is_(None))
            .where(Decision.applied, col(Decision.undone_by).is_(None))
            .order_by(col(Decision.at), col(Decision.id))
        )
        last = {decision.case_id: decision for decision in session.exec(query)}
        for case_id, decision in last.items():
            pairs = session.exec(
                select(DuplicatePair).where(DuplicatePair.case_id == case_id, DuplicatePair.state == PairState.open)
            ).all()
            people = set(roots(session, {s for pair in pairs for s in (pair.a_subject_id, pair.b_subject_id)}).values())
            assert decision.verdict != "same" or len(people) <= 1, f"{case_id} calls them one, and they are {len(people)}"


def assert_no_pair_is_missed(store: Store, *, threshold: float, model_id: str = MODEL) -> None:
    """Every two records of which two pictures reach `threshold` are in a case, or one person, or known to differ.

    By brute force, for a cosine engine and a threshold that never changed.
    """
    with store.read() as session:
        stored = list(templates.all_of(session, store.keyring, gallery_id=store.gallery_id, model_id=model_id))
        active = [one for one in stored if one.sample_state == SampleState.active]
        query = select(DuplicatePair).where(DuplicatePair.kind == "duplicate", DuplicatePair.state == PairState.open)
        pairs = session.exec(query).all()
        in_case = {frozenset((pair.a_subject_id, pair.b_subject_id)) for pair in pairs}
        owner = roots(session, {one.subject_id for one in active})
        distinct = {
            frozenset((owner[row.a_subject_id], owner[row.b_subject_id]))
            for row in session.exec(select(DistinctPair))
            if row.a_subject_id in owner and row.b_subject_id in owner
        }
    if not active:
        return
    vectors = np.stack([one.vector for one in active])
    first, second = np.nonzero(np.triu(vectors @ vectors.T >= threshold + 1e-4, 1))
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        a, b = active[one].subject_id, active[other].subject_id
        people = frozenset((owner[a], owner[b]))
        is_settled = len(people) == 1 or people in distinct
        assert is_settled or frozenset((a, b)) in in_case, f"{a} and {b} were never put before anybody"


def assert_counts_agree(store: Store) -> None:
    with store.read() as session:
        ours = select(Template.sample_id).join(Sample, col(Sample.id) == Template.sample_id).distinct()
        active = session.exec(ours.where(Sample.state == SampleState.active)).all()
        gallery = session.exec(select(Gallery)).one()
    assert gallery.active_templates == len(active)


def assert_a_fresh_index_agrees_with_the_log(world: World, store: Store) -> None:
    """`rebuild` compares count and checksum itself; here against the samples that are in the gallery. Of every model kept."""
    from backend.gallery.follow import rebuild, stated
    from backend.gallery.memory import room_for

    with store.read() as session:
        gallery = store.gallery(session)
        kept = {gallery.model_id, gallery.other_model_id} - {None}
        rows = session.exec(select(GalleryChange).order_by(col(GalleryChange.seq))).all()
    assert [row.seq for row in rows] == sorted({row.seq for row in rows})
    for card in world.cards:
        if card.model_id not in kept:
            continue
        position = rebuild(store, card, room_for(card))
        with store.read() as session:
            in_gallery = set(
                session.exec(
                    select(Template.seq)
                    .join(Sample, col(Sample.id) == Template.sample_id)
                    .where(col(Sample.state).in_([SampleState.active, SampleState.pending]), Template.model_id == card.model_id)
                )
            )
            last = gallery_log.head(session, store.gallery_id, card.model_id)
        assert set(position.index.ids().tolist()) == in_gallery
        assert stated(last) == position.count_and_checksum()
