"""Pairs that reached the threshold while nobody had to be asked: the two were one person by merges, or known to differ.

They are kept without a case. What settled them may be taken back (an undo, an erasure, a scan that was told to ask again): then
they are asked about like any other, as no search will look at these samples again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlmodel import Session, col, func, select

from backend.store import clusters, distinct
from backend.store.clusters import Placed
from backend.store.forest import chunks, roots, trees
from backend.store.pairs import Circumstances, FoundPair, find, new_pair, renew
from backend.store.sides import of_either
from backend.store.tables import CaseKind, DuplicatePair, PairState, Sample, SampleState


def keep(session: Session, found: Iterable[FoundPair], *, gallery_id: str, circumstances: Circumstances) -> None:
    """What stands in a case already stays there, whatever came of it."""
    for pair in found:
        known = find(session, pair.ordered(), gallery_id)
        fresh = new_pair(pair.ordered(), gallery_id, circumstances, kind=CaseKind.duplicate)
        fresh.state = PairState.aside
        if known is None:
            session.add(fresh)
        elif known.state == PairState.closed or (known.state == PairState.aside and _is_better(fresh, known)):
            renew(known, fresh)
        session.flush()


def _is_better(fresh: DuplicatePair, known: DuplicatePair) -> bool:
    return fresh.model_id != known.model_id or fresh.score > known.score


def reconsider(session: Session, records: Iterable[str], *, gallery_id: str, at: datetime) -> list[Placed]:
    """Put those pairs of these people into cases of whom nothing says any more that they are one, or two."""
    session.flush()
    tops = set(roots(session, records).values())
    placed = []
    for pair in _aside(session, trees(session, tops), gallery_id):
        if not _is_settled(session, pair) and _is_in_the_gallery(session, pair):
            placed.append(clusters.bring_back(session, pair, at=at))
    return placed


def _aside(session: Session, records: Iterable[str], gallery_id: str) -> Sequence[DuplicatePair]:
    """Oldest first."""
    found: dict[str, DuplicatePair] = {}
    for chunk in chunks(records):
        theirs = of_either(DuplicatePair, gallery_id=gallery_id, records=chunk)
        query = select(DuplicatePair).where(theirs, DuplicatePair.state == PairState.aside)
        found.update({pair.id: pair for pair in session.exec(query)})
    return [found[pair_id] for pair_id in sorted(found)]


def _is_settled(session: Session, pair: DuplicatePair) -> bool:
    root = roots(session, [pair.a_subject_id, pair.b_subject_id])
    one, other = root[pair.a_subject_id], root[pair.b_subject_id]
    if one == other:
        return True
    owner = trees(session, [one, other])
    ours = [record for record, top in owner.items() if top == one]
    return distinct.differ(session, gallery_id=pair.gallery_id, ours=ours, theirs=owner.keys() - set(ours))


def _is_in_the_gallery(session: Session, pair: DuplicatePair) -> bool:
    """A picture whose acceptance was taken back is not: accepted again, it is searched for again."""
    samples = {pair.a_sample_id, pair.b_sample_id}
    living = select(func.count()).where(col(Sample.id).in_(samples), Sample.state == SampleState.active)
    return session.exec(living).one() == len(samples)
