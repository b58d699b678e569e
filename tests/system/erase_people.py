"""A few people, one of whom will be erased: with two pictures, a merge, an open case, and requests of every kind about her."""

from __future__ import annotations

import random
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlmodel import col, select

from backend.client import BackendClient, ProblemError
from backend.store.database import Store
from backend.store.forest import tree
from backend.store.sealing import key_of, open_crop, open_vector
from backend.store.tables import Decision, Enrolment, Sample, Subject, Template
from backend.wire import Verdict
from tests.api.service import Service
from tests.system.alterations import altered
from tests.system.erase_search import Trace

EXTERNAL_ID = "PASSPORT-0815-4711-QX"
SECOND_EXTERNAL_ID = "STAFF-CARD-99-ZULU-3"
NAME = "Wilhelmina Fürchtegott-Østergaard"
METADATA = {"name": NAME, "remark": "prefers the window seat, row seventeen"}
NOTE = "Wilhelmina wears glasses since the spring"
HEADER = 700
"""bytes of a JPEG that any picture of the same encoder begins with"""
REFUSED_PERSONALLY = (404, 405, 409, 412, 413, 415, 422, 400, 401)


@dataclass(frozen=True)
class Victim:
    subject_id: str
    records: tuple[str, ...]
    seq: int
    """of her last template"""
    case_id: str
    """open, and claimed"""
    plain: tuple[Trace, ...]
    sealed: tuple[Trace, ...]
    key: tuple[Trace, ...]
    """the wrapped data keys: who has them and the key file reads what they sealed"""


def settle(service: Service, photographs: list[Path], hers: list[Path]) -> tuple[str, str, int]:
    """Everybody is enrolled and her request log is long; her id, the case that stays open, and her last seq."""
    client = service.client(service.site.key("client"))
    for number, photograph in enumerate(photographs):
        client.enrol([photograph.read_bytes()], external_id=f"E-{number}", metadata={"name": f"Person {number}"})
    she = client.enrol([hers[0].read_bytes()], external_id=EXTERNAL_ID, metadata=METADATA)
    more = client.add_samples(she.subject_id, [hers[1].read_bytes()])
    rng = random.Random(7)
    twin = client.enrol([altered(hers[0], rng)], external_id=SECOND_EXTERNAL_ID, metadata={"name": NAME})
    reviewer = service.client(service.site.dashboard.token("reviewer"))
    case = reviewer.case(twin.case_id or "")
    reviewer.decide(case.id, Verdict.same, version=case.version, survivor_id=she.subject_id, note=NOTE)
    lookalike = client.enrol([altered(hers[1], rng)], external_id="E-other", metadata={"name": "Another Person"})
    reviewer.claim(lookalike.case_id or "")
    _ask_about(service, client, reviewer, she.subject_id, more.sample_ids[0], hers[0].read_bytes())
    return she.subject_id, lookalike.case_id or "", max(more.seq, twin.seq)


def _ask_about(
    service: Service, client: BackendClient, reviewer: BackendClient, subject_id: str, sample_id: str, picture: bytes
) -> None:
    service.client(service.site.dashboard.token("supervisor")).export_subject(subject_id)
    reviewer.sample_image(subject_id, sample_id)
    client.identify(picture)
    client.verify(picture, subject_id=subject_id)
    assert client.subjects(external_id=EXTERNAL_ID).total == 1
    client.change_subject(subject_id, {"metadata": METADATA})
    _fail_with(service, subject_id, b64encode(picture).decode())


def _fail_with(service: Service, subject_id: str, picture: str) -> None:
    """Requests that are refused and carry her data: in bodies, paths, queries, headers, field names."""
    key = service.site.key("client")
    person = {"external_id": EXTERNAL_ID, "metadata": METADATA}
    path = f"/v1/subjects/{subject_id}"
    answers = [
        service.request("POST", "/v1/subjects", key, {"images": [picture], **person}),
        service.request("POST", "/v1/subjects", key, {"images": [picture[: len(picture) // 8 * 4]], **person}),
        service.request("POST", "/v1/subjects", key, {"images": [], **person}),
        service.request("POST", "/v1/subjects", key, {"images": [picture], NAME: NAME}),
        service.request("POST", "/v1/subjects", key, {"images": picture, "metadata": {NAME: 1}}),
        service.request("POST", "/v1/subjects", "wrong-key", {"images": [picture], **person}),
        service.request("PATCH", path, key, {"external_id": [EXTERNAL_ID]}),
        service.request("PATCH", path, key, {"external_id": NAME}, **{"If-Match": f'"{EXTERNAL_ID}"'}),
        service.request("PATCH", path, key, {"external_id": "E-0"}),
        service.get(f"/v1/people/{EXTERNAL_ID}", key),
        service.get(f"/v1/subjects?cursor={EXTERNAL_ID}", key),
        service.get(f"/v1/subjects/{SECOND_EXTERNAL_ID}", key, **{"User-Agent": EXTERNAL_ID, "Referer": f"http://{EXTERNAL_ID}"}),
    ]
    assert [answer.status_code for answer in answers if answer.status_code not in REFUSED_PERSONALLY] == []


def traces_of(store: Store, found: tuple[str, str, int], hers: list[Path]) -> Victim:
    """Read through the ledger before she is erased: what was given, and what of it was stored as what."""
    subject_id, case_id, seq = found
    plain = [
        Trace.of_text("external id", EXTERNAL_ID),
        Trace.of_text("second external id", SECOND_EXTERNAL_ID),
        Trace.of_text("name", NAME),
        Trace.of_text("metadata", METADATA["remark"]),
        Trace.of_text("note", NOTE),
        *(Trace.of_bytes(f"photograph {path.name}", path.read_bytes(), skip=HEADER) for path in hers),
    ]
    sealed: list[Trace] = []
    keys: list[Trace] = []
    with store.read() as session:
        records = tuple(tree(session, subject_id))
        for record in records:
            subject = session.get_one(Subject, record)
            key = key_of(store.keyring, subject)
            assert key is not None
            keys.append(Trace.of_bytes(f"wrapped key {record}", subject.wrapped_key or b""))
            sealed.append(Trace.of_bytes(f"profile {record}", subject.sealed_profile or b""))
            sealed.append(Trace(f"external id's keyed hash {record}", ((subject.external_id_index or "").encode(),)))
        for sample in session.exec(select(Sample).where(col(Sample.subject_id).in_(records))):
            key = key_of(store.keyring, session.get_one(Subject, sample.subject_id))
            crop = open_crop(key, sample) if key is not None else None
            plain.append(Trace.of_bytes(f"crop {sample.id}", crop or b"", skip=HEADER))
            sealed.append(Trace.of_bytes(f"sealed crop {sample.id}", sample.sealed_crop or b""))
            sealed.append(Trace.of_bytes(f"sealed landmarks {sample.id}", sample.sealed_details))
        for template in session.exec(select(Template).where(col(Template.subject_id).in_(records))):
            key = key_of(store.keyring, session.get_one(Subject, template.subject_id))
            assert key is not None
            vector = open_vector(key, template.sealed_vector, template_id=template.id, model_id=template.model_id)
            plain.append(Trace.of_bytes(f"float32 vector {template.id}", vector.astype("<f4").tobytes()))
            plain.append(Trace.of_bytes(f"fp16 vector {template.id}", vector.astype(np.float16).tobytes()))
            sealed.append(Trace.of_bytes(f"sealed vector {template.id}", template.sealed_vector))
        for enrolment in session.exec(select(Enrolment).where(col(Enrolment.subject_id).in_(records))):
            if enrolment.sealed_answer is not None:
                sealed.append(Trace.of_bytes(f"sealed answer {enrolment.id}", enrolment.sealed_answer))
        for decision in session.exec(select(Decision).where(col(Decision.note_subject_id).in_(records))):
            sealed.append(Trace.of_bytes(f"sealed note {decision.id}", decision.sealed_note or b""))
    return Victim(subject_id, records, seq, case_id, tuple(plain), tuple(sealed), tuple(keys))


def enrollable(client: BackendClient, photographs: list[Path], wanted: int) -> list[Path]:
    """The first that show one face that is good enough."""
    good: list[Path] = []
    for photograph in photographs:
        if len(good) == wanted:
            break
        try:
            if len(client.detect(photograph.read_bytes()).faces) == 1:
                good.append(photograph)
        except ProblemError:
            continue
    return good
