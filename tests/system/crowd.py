"""Strangers in bulk, written into a real ledger as an enrolment leaves them: they lengthen the log that replicas follow."""

from __future__ import annotations

import numpy as np

from backend.store import admission
from backend.store.admission import NewSample, Terms
from backend.store.caller import Caller
from backend.store.conclusion import Findings, conclude
from backend.store.database import Store
from backend.store.sealing import Profile, SampleDetails
from backend.wire import OnDuplicate

TOGETHER = 25
"""in one transaction, so that those who really enrol wait for none of them long"""
QUALITY = {"overall": 90, "components": {}, "reasons": []}


def enrol_strangers(store: Store, count: int, *, dimension: int, seed: int) -> None:
    """Random unit vectors of some hundred dimensions: none of them is anywhere near another, or a face."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for start in range(0, count, TOGETHER):
        with store.write() as session:
            terms = _terms(store.gallery(session).model_id or "")
            for vector in vectors[start : start + TOGETHER]:
                sample = NewSample(crop=None, details=SampleDetails([[0.0, 0.0]] * 5, QUALITY), vector=vector)
                begun = admission.admit_subject(store, session, Profile(None, {}), [sample], terms=terms)
                conclude(store, session, begun.enrolment.id, Findings(evidence=[], held=[]))


def _terms(model_id: str) -> Terms:
    return Terms(
        model_id=model_id,
        policy=OnDuplicate.flag,
        verification_threshold=1.0,
        review_threshold=1.0,
        certain_threshold=1.0,
        caller=Caller(id="key_crowd", name="crowd", kind="key"),
        lease_holder="crowd",
        lease_s=60,
    )
