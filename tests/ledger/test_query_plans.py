"""What is done all day reads no whole table: the plan of each statement, by SQLite without statistics, as it comes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from backend.scoring import Scoring
from backend.wire import Verdict
from tests.ledger.world import ANNA, BERT, CARD, CLIENT, ON_SQLITE, SUSI, THRESHOLDS, Node, People, World, face, probe

GROW = (
    "subject",
    "sample",
    "template",
    "duplicate_pair",
    "duplicate_case",
    "decision",
    "distinct_pair",
    "enrolment",
    "idempotency",
)
"""Tables that grow with the people enrolled."""

Statement = tuple[str, Any]


def enrol(node: Node, people: People) -> None:
    person = people.stranger()
    node.enrol(person)
    assert node.enrol(people.like(person, 0.8)).case_id


def review(node: Node, people: People) -> None:
    case = node.adjudication.next(ANNA)
    node.adjudication.heartbeat(case.id, ANNA)
    node.decide(case.id, Verdict.same, case.subjects[0].id)
    node.undo(case.id)
    node.decide(case.id, Verdict.different, caller=BERT)


def bring_a_sample(node: Node, people: People) -> None:
    person = people.stranger()
    subject = node.enrol(person).subject_id
    sample = node.enrolments.add_samples(subject, [face(people.like(person, 0.9))], caller=CLIENT).answer.sample_ids[0]
    node.subjects.erase_sample(subject, sample, caller=SUSI)


def recognise(node: Node, people: People) -> None:
    person = people.stranger()
    subject = node.enrol(person).subject_id
    assert node.recognition.verify_subject(subject, probe(person)).decision == "match"
    assert node.recognition.identify([probe(person)]).faces[0].candidates


def erase(node: Node, people: People) -> None:
    person = people.stranger()
    first, second = node.enrol(person), node.enrol(people.like(person, 0.8))
    node.decide(second.case_id or "", Verdict.same, first.subject_id)
    node.subjects.erase(first.subject_id, caller=SUSI)


def export(node: Node, people: People) -> None:
    person = people.stranger()
    first, _ = node.enrol(person), node.enrol(people.like(person, 0.8))
    node.export(first.subject_id)


def ask_what_to_expect(node: Node, people: People) -> None:
    enrol(node, people)
    assert Scoring(node.store, CARD, THRESHOLDS, review_set_by="engine").read().searches_per_day > 0


def find_cases_of_a_subject(node: Node, people: People) -> None:
    person = people.stranger()
    first = node.enrol(person).subject_id
    case_id = node.enrol(people.like(person, 0.8)).case_id
    for _ in range(3):
        assert [case.id for case in node.adjudication.list(subject_id=first).items] == [case_id]


@ON_SQLITE
@pytest.mark.parametrize(
    "do", [enrol, find_cases_of_a_subject, bring_a_sample, recognise, review, erase, export, ask_what_to_expect]
)
def test_no_statement_reads_a_whole_table(world: World, people: People, do: Callable[[Node, People], None]) -> None:
    node = world.node()
    enrol(node, people)
    with statements(node) as seen:
        do(node, people)
    assert len(seen) > 10
    with closing(sqlite3.connect(world.folder / "ledger.db")) as database:
        assert database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone() == (0,)
        whole = {text: scans for text, values in seen if (scans := list(_scans(database, text, values)))}
    assert not whole, "\n".join(f"{scans}: {text[-400:]}" for text, scans in whole.items())


def test_a_scan_is_noticed(tmp_path: Any) -> None:
    with closing(sqlite3.connect(tmp_path / "some.db")) as database:
        database.execute("CREATE TABLE sample (id TEXT PRIMARY KEY, subject_id TEXT)")
        assert list(_scans(database, "SELECT id FROM sample WHERE subject_id = ?", ("a",))) == ["SCAN sample"]
        assert list(_scans(database, "SELECT id FROM sample WHERE id = ?", ("a",))) == []


@contextmanager
def statements(node: Node) -> Iterator[list[Statement]]:
    seen: list[Statement] = []

    def note(connection: Any, cursor: Any, text: str, values: Any, *more: object) -> None:
        if text.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            seen.append((text, values))

    with node.store.read() as session:
        engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _scans(database: sqlite3.Connection, text: str, values: Any) -> Iterator[str]:
    """Steps that read one of the tables from end to end; `SEARCH … (gallery_id=?)` alone is as bad: all are of one gallery."""
    for *_, step in database.execute(f"EXPLAIN QUERY PLAN {text}", values):
        table = step.split()[1]
        if table in GROW and (step.startswith("SCAN") or step.endswith("(gallery_id=?)")):
            yield step
