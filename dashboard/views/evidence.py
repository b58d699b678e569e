"""Below the faces of a case: what was decided, the score among its distributions, quality and records beside each other."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import parts
from dashboard.charts import score
from dashboard.components import faces, frame
from dashboard.components.markup import block, text
from dashboard.desk import WORDS, Desk, by_age, sides
from dashboard.fetch import queue

ARBITRATION = "Two people did not agree, or one was unsure. What each decided, and why:"
BLIND = "Somebody else decided this case before you. What was decided is shown to nobody before you have decided, too."
VERDICTS = {**{str(verdict): word for verdict, word in WORDS.items()}, "undo": "Undone"}


def draw(desk: Desk, case: wire.Case, named: dict[str, str]) -> None:
    _rounds(case, named)
    left, right = st.columns(2, gap="medium")
    pair = case.pairs[desk.pair] if case.pairs else None
    with left:
        if pair is not None:
            st.html(block(*_score(pair)))
        if desk.matrix:
            st.html(block("<h3>Every two of them</h3>", faces.matrix(desk.matrix, named)))
    with right:
        st.html(block(faces.differences(by_age(case), named, frame.zone())))
        if pair is not None:
            st.html(block(_quality(desk, case, pair, named)))


def _rounds(case: wire.Case, named: dict[str, str]) -> None:
    told = faces.decisions(case, VERDICTS, named, parts.current().now())
    if case.state is wire.CaseState.second_review:
        st.caption(BLIND)
    if told:
        lead = f"<p>{text(ARBITRATION)}</p>" if case.state is wire.CaseState.arbitration else ""
        st.html(block(lead, told))
    for asked in case.asked:
        letters = " and ".join(named.get(one, "?") for one in asked.subject_ids)
        note = f": {asked.note}" if asked.note else "."
        st.html(block(f'<p class="soft">{text(f"{asked.asked_by_name} put {letters} together{note}")}</p>'))


def _score(pair: wire.CasePair) -> list[str]:
    """On its two distributions where they were counted for this model, else on its scale."""
    known = queue.calibration().value
    counted = known.calibration if known is not None and known.model_id == pair.model_id else None
    words = "".join(f"<p>{text(sentence)}</p>" for sentence in score.sentences(pair))
    if counted is None or known is None or not counted.points:
        return [faces.score_scale(pair), words]
    drawn = score.figure(counted, pair, certain=known.thresholds.certain)
    source = f'<p class="soft">Each curve to its own height. {text(counted.source)}.</p>'
    return [f"<p>{text(faces.score_sentence(pair))}</p>", drawn, words, source]


def _quality(desk: Desk, case: wire.Case, pair: wire.CasePair, named: dict[str, str]) -> str:
    of = {pair.a.sample_id: pair.quality_a, pair.b.sample_id: pair.quality_b}
    samples = {sample.id: sample.quality for subject in case.subjects for sample in subject.samples}
    shown = sides(case, desk.pair)
    return faces.qualities(
        [(named.get(side.subject_id, "?"), of.get(side.sample_id) or samples.get(side.sample_id)) for side in shown]
    )
