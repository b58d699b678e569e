"""Comparing a face with one subject, with another image, or with everybody."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import failures, identity, parts, phrases
from dashboard.components import faces, frame, images
from dashboard.components.markup import badge, block, facts, line
from dashboard.fetch import people
from dashboard.palette import Look
from dashboard.roles import Right, may

SUBJECT, IMAGE = "A subject", "Another image"
FACES_SHOWN = 5
"""of the candidates of one face, the best: each look at a face is audited"""
MATCH = {"match": Look("MATCH", "●", "good"), "non_match": Look("NO MATCH", "○", "mute")}


def verify() -> None:
    """1:1: is this the person?"""
    against = st.segmented_control("Compare with", [SUBJECT, IMAGE], default=SUBJECT, required=True, key="verify-against")
    left, right = st.columns(2, gap="medium")
    with left:
        probe = images.ask("Probe image", "verify-probe")
    with right:
        subject_id = st.text_input("Subject id or external id", key="verify-subject").strip() if against == SUBJECT else ""
        reference = images.ask("Reference image", "verify-reference") if against == IMAGE else None
    ready = probe is not None and (subject_id or reference)
    if not st.button("Verify", type="primary", key="verify-do", disabled=not ready) or probe is None:
        return
    backend = parts.current().backend
    try:
        with st.spinner("Comparing …"):
            known = _resolve(subject_id) if against == SUBJECT else None
            answer = backend.verify(probe, subject_id=known, reference_image=reference)
    except failures.FAILURES as error:
        st.error(phrases.plain(failures.sentence(error)))
        return
    except LookupError as error:
        st.error(phrases.plain(str(error.args[0])))
        return
    _say_verified(answer)


def identify() -> None:
    """1:N: who is this?"""
    probe = images.ask("Probe image", "identify-probe")
    limit = st.slider("Candidates per face, at most", 1, 50, 10, key="identify-limit")
    if not st.button("Identify", type="primary", key="identify-do", disabled=probe is None) or probe is None:
        return
    try:
        with st.spinner("Searching …"):
            answer = parts.current().backend.identify(probe, limit=limit)
    except failures.FAILURES as error:
        st.error(phrases.plain(failures.sentence(error)))
        return
    chance = (
        f" Chance of any false candidate: {phrases.one_in(answer.expected_fpir)}." if answer.expected_fpir is not None else ""
    )
    size = f"{phrases.counted(len(answer.faces), 'face')} searched in {phrases.counted(answer.gallery_size, 'template')}"
    st.caption(f"{size}, threshold {answer.threshold:.3f}.{chance}")
    for place, face in enumerate(answer.faces, start=1):
        _say_candidates(place, face)


def _resolve(given: str) -> str:
    """Our id, from ours or from an external one."""
    if given.startswith("sub_"):
        return given
    found = parts.current().backend.subjects(external_id=given, limit=1).items
    if not found:
        raise LookupError(f"Nobody has the external id {given}.")
    return found[0].id


def _say_verified(answer: wire.Verification) -> None:
    st.html(
        block(
            f'<div class="verdict {MATCH[answer.decision].tone}" role="status">{badge(MATCH[answer.decision])}'
            f"<strong>score {answer.score:.3f}, threshold {answer.threshold:.3f}</strong></div>",
            facts(
                [
                    ("Faces in the probe", str(answer.faces_in_image)),
                    ("Samples compared", phrases.number(answer.samples_compared)),
                    ("False match expected", expected(answer)),
                    ("Quality of the probe", f"{answer.quality.overall} of 100" if answer.quality else phrases.NOTHING),
                    ("Model", answer.model_id),
                ],
                wide=True,
            ),
        )
    )
    if answer.expected_fmr_of_all is not None and (answer.samples_compared or 0) > 1:
        chance = phrases.one_in(answer.expected_fmr_of_all)
        st.caption(f"That somebody else reaches the threshold with any of {answer.samples_compared} samples: {chance}.")
    if answer.quality and answer.quality.reasons:
        better = " ".join(reason.advice for reason in answer.quality.reasons)
        st.caption(f"A better picture may score higher: {phrases.plain(better)}")
    if answer.faces_in_image > 1:
        st.caption("The largest face was compared.")


def expected(answer: wire.Verification) -> str:
    """The false match rate in words; without a calibration, why it is not known."""
    if answer.expected_fmr is None:
        return answer.expected_fmr_reason or "not known for this model"
    return f"{phrases.one_in(answer.expected_fmr)} at this threshold"


def _say_candidates(place: int, face: wire.FaceCandidates) -> None:
    st.subheader(f"Face {place}", anchor=False)
    if face.face.quality.reasons:
        st.caption(phrases.plain(" ".join(reason.advice for reason in face.face.quality.reasons)))
    if not face.candidates:
        frame.empty("Nobody in the gallery is above the threshold.")
        return
    may_see = may(identity.person().roles, Right.see_faces)
    for candidate in face.candidates:
        with st.container(
            horizontal=True, vertical_alignment="center", border=True, gap="small", key=f"row-{place}-{candidate.subject_id}"
        ):
            name = candidate.external_id or phrases.short_id(candidate.subject_id)
            if may_see and candidate.rank <= FACES_SHOWN:
                seen = people.crop(candidate.subject_id, candidate.sample_id)
                shown = faces.picture(seen.value or seen.failure, f"Face of {name}")
                st.html(block(f'<div class="thumb">{shown}</div>'), width=76)
            st.html(block(line(None, f"{candidate.rank}. {name}", f"score {candidate.score:.3f}")), width="stretch")
            st.button(
                "Open", key=f"candidate-{place}-{candidate.subject_id}", on_click=_open, args=(candidate.subject_id,), width=90
            )
    if not may_see:
        st.caption("Faces are shown to reviewers only.")


def _open(subject_id: str) -> None:
    st.query_params["id"] = subject_id
