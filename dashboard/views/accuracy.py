"""Accuracy: what the thresholds come to, what reviewers decided at which score, and what another threshold would have done."""

from __future__ import annotations

import streamlit as st

from backend import wire
from dashboard import identity, parts, phrases
from dashboard.charts import accuracy as charts
from dashboard.components import frame, plot
from dashboard.components.markup import block, facts, table, verdict
from dashboard.fetch import accuracy
from dashboard.fetch.seen import Seen
from dashboard.roles import Right, may
from dashboard.tables import accuracy as tables

BY_THRESHOLD, BY_TARGET = "A threshold", "A target"
TARGETS = {0.1: "1 in 10", 0.01: "1 in 100", 0.001: "1 in 1,000", 0.0001: "1 in 10,000", 0.00001: "1 in 100,000"}
DAYS = {7: "7 days", 30: "30 days", 90: "90 days", 365: "a year"}
DAYS_AT_FIRST, DAYS_KEY = 30, "accuracy-days"
INDEPENDENT = (
    "Limits are exact (Clopper and Pearson, 95 %) and take each comparison as independent. They are not quite: one photograph is"
    " in many comparisons, so the true limits are wider."
)
CENSORED = (
    "**What this cannot show.** Reviewers only ever see pairs that reached the review threshold of their day. Pairs of one person"
    " that scored lower are in no bar: the left end is cut off, not empty. So these counts give the share of one person at a"
    " score, and at least how much a higher threshold would miss; they give no FMR and no FNMR."
)


def page() -> None:
    frame.heading("Accuracy", "How well people are told apart here: thresholds, errors, and what reviewers decided.")
    told, numbers = _ask()
    if told is None:
        return
    tone, sentence = tables.headline(told)
    st.html(block(verdict(tone, sentence), _facts(told)))
    st.caption(phrases.plain(tables.target(told)))
    _rates(told)
    decided = st.container()  # filled below: the answer on another threshold has the decided pairs too
    found = _other_threshold(told)
    if found is not None:
        with decided:
            _decided(told, found.resolved)
    if numbers is not None:
        _agreement(numbers)


def _ask() -> tuple[wire.CalibrationInForce | None, Seen[wire.ReviewNumbers] | None]:
    """What the page begins with and, for those who may see them, the numbers that it ends with."""
    if not may(identity.person().roles, Right.see_numbers):
        return frame.shown(accuracy.calibration(), "calibration"), None
    # the choice of days is drawn far below, but known by now
    told, numbers = accuracy.beside_numbers(int(st.session_state.get(DAYS_KEY) or DAYS_AT_FIRST))
    return frame.shown(told, "calibration"), numbers


def _facts(told: wire.CalibrationInForce) -> str:
    return facts(
        [
            ("Review threshold", f"{told.thresholds.review:.3f}"),
            ("Set by", tables.SET_BY[told.thresholds.review_set_by]),
            ("Target FPIR", phrases.one_in(told.target.fpir) if told.target else "none"),
            ("Gallery", phrases.counted(told.gallery_size, "template")),
            ("Enrolled a day", phrases.number(told.searches_per_day, 1, "pictures")),
            ("Model", told.model_id),
        ],
        wide=True,
    )


def _rates(told: wire.CalibrationInForce) -> None:
    st.subheader("Errors at the present thresholds", anchor=False)
    calibration = told.calibration
    if calibration is None:
        frame.empty(
            "No calibration is known for this recogniser: `python -m backend calibrate` counts one on photographs of your own."
            " False matches and false non-matches at each threshold would be here."
        )
        return
    if told.rates is None:
        frame.empty("This backend is older than the counts of errors at its thresholds: they would be here.")
    else:
        unknown = f"not counted below a score of {calibration.supported_from:g}"
        st.html(block(table(tables.RATE_HEADS, tables.rates(told.rates, unknown=unknown), numeric=["Score"])))
    counted = f"False matches: counted on {calibration.source}."
    counted += f" False non-matches: on {calibration.genuine.source}." if calibration.genuine else ""
    st.caption(phrases.plain(f"{counted} Not on the people enrolled here. {INDEPENDENT}"))
    with st.expander("Both errors over the threshold"):
        lines = _thresholds(told)
        plot.draw_once(
            lambda: charts.curves(calibration, lines),
            (calibration.model_dump_json(), *lines.items()),
            key="accuracy-curves",
            alt="False matches fall and false non-matches rise as the threshold rises",
        )


def _thresholds(told: wire.CalibrationInForce) -> dict[str, float]:
    it = told.thresholds
    return {"verification": it.verification, "review": it.review, "certain": it.certain}


def _other_threshold(told: wire.CalibrationInForce) -> wire.Simulation | None:
    """Asks for another threshold and says what it would have done; what comes of it has the decided pairs too."""
    st.subheader("What another review threshold would have done", anchor=False)
    threshold, target = _asked(told)
    found = frame.shown(accuracy.simulation(threshold, target), "simulation")
    if found is None:
        return None
    tone, sentence = tables.simulated(found)
    st.html(
        block(verdict(tone, sentence), table(tables.COMPARED_HEADS, tables.compared(found), marked=[False] * 8)),
    )
    if found.target is not None and not found.target.supported:
        st.caption(phrases.plain(tables.LIMITED_BY.get(found.target.limited_by or "", "The target cannot be met.")))
    for caveat in found.caveats[1:]:
        st.caption(phrases.plain(caveat))
    st.caption("Nothing is changed by looking: thresholds are settings of the backends (docs/thresholds.md).")
    return found


def _asked(told: wire.CalibrationInForce) -> tuple[float | None, float | None]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        kinds = [BY_THRESHOLD, *([BY_TARGET] if told.calibration is not None else [])]
        kind = st.segmented_control("By", kinds, default=BY_THRESHOLD, required=True, key="accuracy-by")
        if kind == BY_TARGET:
            target = st.select_slider(
                "A false flag at no more than one enrolment in",
                list(TARGETS),
                value=0.001,
                format_func=TARGETS.__getitem__,
                key="accuracy-target",
            )
            return None, float(target)
        low = min(0.0, told.thresholds.review)
        threshold = st.slider(
            "Review threshold", low, 1.0, round(told.thresholds.review, 3), step=0.005, format="%.3f", key="accuracy-threshold"
        )
    return float(threshold), None


def _decided(told: wire.CalibrationInForce, found: wire.ResolvedPairs) -> None:
    st.subheader("What reviewers decided, by score", anchor=False)
    if not found.by_score:
        frame.empty(
            "No pair that a search flagged has been decided yet: scores of one person and of different people would be here."
        )
        return
    same, different = tables.decided(found)
    st.caption(f"{phrases.counted(same, 'pair')} of one person, {phrases.counted(different, 'pair')} of different people.")
    shown = {name: score for name, score in _thresholds(told).items() if name != "verification"}
    plot.draw_once(
        lambda: charts.distributions(found.by_score, shown),
        (*(one.model_dump_json() for one in found.by_score), *shown.items()),
        key="accuracy-distributions",
        alt=f"Histogram of scores: {same} pairs decided as one person, {different} as different people",
    )
    st.markdown(CENSORED)
    with st.expander("The same as a table, with the share of one person at each score"):
        st.html(block(table(tables.BIN_HEADS, tables.by_score(found.by_score), numeric=tables.BIN_HEADS[1:4])))


def _agreement(seen: Seen[wire.ReviewNumbers]) -> None:
    st.subheader("Whether reviewers agree", anchor=False)
    st.segmented_control(
        "Over the last", list(DAYS), default=DAYS_AT_FIRST, required=True, format_func=DAYS.__getitem__, key=DAYS_KEY
    )
    numbers = frame.shown(seen, "numbers")
    if numbers is None:
        return
    tone, sentence = tables.agreement(numbers.agreement)
    decisions = sum(one.decisions for one in numbers.reviewers)
    overturned = sum(one.overturned for one in numbers.reviewers)
    st.html(
        block(
            verdict(tone, sentence, f"since {phrases.when(numbers.since, parts.current().now(), frame.zone())}"),
            facts(
                [
                    ("Cases opened", f"{numbers.opened:,}"),
                    ("Cases resolved", f"{numbers.resolved:,}"),
                    ("Decisions", f"{decisions:,}"),
                    ("Reviewers", str(len(numbers.reviewers))),
                    ("Overturned later", f"{overturned:,}"),
                ],
                wide=True,
            ),
        )
    )
    st.caption(
        "Kappa is 1 where two who judge without knowing of each other always agree, 0 where they agree as often as by chance"
        " (words after Landis and Koch, 1977). All pairs of reviewers together: it judges the task, not a person."
    )
