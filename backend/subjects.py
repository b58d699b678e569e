"""Subjects: reading, searching, changing, erasing, and the picture of a sample for those who may see it."""

from __future__ import annotations

from functools import partial

from sqlmodel import Session, col, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from backend import wire
from backend.errors import PreconditionFailed, SampleNotFound, SubjectNotFound
from backend.faces.engine import Metric
from backend.gallery.candidates import best_comparison
from backend.store import erasure, sample_erasure, scrubbing
from backend.store.admission import claim_external_id, to_come
from backend.store.audit import Audit
from backend.store.caller import Caller
from backend.store.database import Store
from backend.store.forest import roots, tree
from backend.store.paging import decode_cursor, encode_cursor, total_of
from backend.store.sealing import Profile, key_of, open_crop, open_profile, seal_profile
from backend.store.subject_view import views
from backend.store.tables import Sample, SampleState, Subject
from backend.wire import SubjectState

LISTED = (SubjectState.active, SubjectState.merged)


class Subjects:
    def __init__(self, store: Store, metric: Metric) -> None:
        """`metric`: by which the gallery's templates are compared."""
        self._store = store
        self._metric = metric
        self._audit = Audit(store)

    def get(self, subject_id: str) -> wire.Subject:
        """The record itself: one that was merged away says into which (`merged_into`). Raises SubjectNotFound."""
        with self._store.read() as session:
            return views(self._store, session, [self._visible(session, subject_id)])[0]

    def list(
        self,
        *,
        cursor: str | None = None,
        limit: int = 50,
        external_id: str | None = None,
        query: str | None = None,
        state: wire.SubjectState | None = None,
    ) -> wire.Page[wire.Subject]:
        """Newest first; active and merged ones where no state is asked for.

        `external_id` gives the person who has it: the survivor, where the record that carries it was merged away. `query`
        is an external id as a whole, or the beginning of one of our ids: external ids are encrypted, so no part can be searched.
        """
        with self._store.read() as session:
            if external_id is not None:
                return self._by_external_id(session, external_id)
            rows = self._matching(session, query, state)
            total, total_is = total_of(session, rows)
            if cursor is not None:
                rows = rows.where(col(Subject.id) < decode_cursor(cursor, str)[0])
            found = session.exec(rows.order_by(col(Subject.id).desc()).limit(limit + 1)).all()
            page = found[:limit]
            following = encode_cursor(page[-1].id) if len(found) > limit else None
            return wire.Page(items=views(self._store, session, page), next=following, total=total, total_is=total_is)

    def patch(self, subject_id: str, change: wire.SubjectPatch, *, if_match: int | None = None, caller: Caller) -> wire.Subject:
        """Changes the fields that are given; an explicit null takes away what stood there.

        Raises:
            SubjectNotFound, ExternalIdTaken, RetainUntilPast.
            PreconditionFailed: `if_match` is not the present version.
        """
        given = change.model_fields_set
        with self._store.write() as session:
            subject = self._visible(session, subject_id)
            key = key_of(self._store.keyring, subject)
            if key is None:
                raise SubjectNotFound()
            if if_match is not None and if_match != subject.version:
                raise PreconditionFailed()
            old = open_profile(key, subject)
            external_id = change.external_id if "external_id" in given else old.external_id
            metadata = (change.metadata or {}) if "metadata" in given else old.metadata
            if external_id != old.external_id:
                subject.external_id_index = claim_external_id(self._store, session, external_id)
            if "retain_until" in given:
                subject.retain_until = to_come(change.retain_until, now=self._store.now(session))
            subject.sealed_profile = seal_profile(key, Profile(external_id, metadata), subject_id=subject.id)
            subject.version += 1
            self._audit.append(session, caller, "subject.patch", subject.id, {"fields": sorted(given)})
            session.flush()
            return views(self._store, session, [subject])[0]

    def erase(self, subject_id: str, *, caller: Caller, if_match: int | None = None) -> None:
        """The record and everything merged into it: from SQL, from every index, its key, its stored answers, its notes.

        Raises:
            SubjectNotFound: there is none; also the second time.
            PreconditionFailed: `if_match` is not the present version.
        """
        with self._store.write() as session:
            subject = self._visible(session, subject_id)
            if if_match is not None and if_match != subject.version:
                raise PreconditionFailed()
            records = tree(session, subject.id)
            erasure.erase(self._store, session, records, at=self._store.now(session))
            self._audit.append(session, caller, "subject.erase", subject_id, {"records": records})
        scrubbing.settle_soon(self._store)

    def erase_sample(self, subject_id: str, sample_id: str, *, caller: Caller, if_match: int | None = None) -> None:
        """One picture and its template; the sample may be on any record of the subject's set.

        Pairs that rest on it alone are closed, others keep the best of what is left; a case without pairs is resolved.

        Raises:
            SubjectNotFound, SampleNotFound: also the second time, and while its enrolment is under way.
            PreconditionFailed: `if_match` is not the subject's present version.
            LastSample: it is the only active one of its record.
        """
        with self._store.write() as session:
            subject = self._visible(session, subject_id)
            if if_match is not None and if_match != subject.version:
                raise PreconditionFailed()
            sample = session.get(Sample, sample_id)
            if sample is None or sample.state == SampleState.pending or sample.subject_id not in tree(session, subject.id):
                raise SampleNotFound()
            compare, at = partial(best_comparison, self._metric), self._store.now(session)
            sample_erasure.erase_sample(self._store, session, sample, compare=compare, at=at)
            self._audit.append(session, caller, "sample.erase", sample.subject_id, {"sample": sample_id})
        scrubbing.settle_soon(self._store)

    def sample_image(self, subject_id: str, sample_id: str, caller: Caller) -> bytes:
        """The face crop as JPEG; every look is audited. The sample may be on any record of the subject's set.

        Raises:
            SubjectNotFound, SampleNotFound: also where pictures are not stored.
        """
        with self._store.write() as session:
            subject = self._visible(session, subject_id)
            sample = session.get(Sample, sample_id)
            if sample is None or sample.subject_id not in tree(session, subject.id):
                raise SampleNotFound()
            owner = session.get(Subject, sample.subject_id)
            key = key_of(self._store.keyring, owner) if owner is not None else None
            crop = open_crop(key, sample) if key is not None else None
            if crop is None:
                raise SampleNotFound("No picture of this sample is stored")
            self._audit.append(session, caller, "sample.view", sample_id, {"subject": subject_id})
        return crop

    def _visible(self, session: Session, subject_id: str) -> Subject:
        """Between its two transactions nobody sees a subject."""
        subject = session.get(Subject, subject_id)
        if subject is None or subject.gallery_id != self._store.gallery_id or subject.state == SubjectState.pending:
            raise SubjectNotFound()
        return subject

    def _matching(self, session: Session, query: str | None, state: wire.SubjectState | None) -> SelectOfScalar[Subject]:
        rows = select(Subject).where(Subject.gallery_id == self._store.gallery_id)
        rows = rows.where(col(Subject.state).in_(LISTED if state is None else (state,)))
        rows = rows.where(Subject.state != SubjectState.pending)  # between T1 and T2 only the protocol sees it
        if query is not None:
            index = self._store.blind_index(session, query)
            rows = rows.where(or_(col(Subject.external_id_index) == index, col(Subject.id).startswith(query, autoescape=True)))
        return rows

    def _by_external_id(self, session: Session, external_id: str) -> wire.Page[wire.Subject]:
        index = self._store.blind_index(session, external_id)
        rows = select(Subject.id).where(Subject.gallery_id == self._store.gallery_id, Subject.external_id_index == index)
        found = session.exec(rows.where(col(Subject.state).in_(LISTED))).all()
        people = [session.get(Subject, root) for root in sorted(set(roots(session, found).values()))]
        items = views(self._store, session, [person for person in people if person is not None])
        return wire.Page(items=items, next=None, total=len(items))
