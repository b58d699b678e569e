"""Pure parts of the case page: alignment, the two distributions, quality, decisions, the address of the queue."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import pytest

from backend import wire
from dashboard.charts import score
from dashboard.components import alignment, faces
from dashboard.queue_filters import NAMES, QueueFilters
from tests.dashboard import samples
from tests.dashboard import samples_review as sr

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


# --- alignment --------------------------------------------------------------------------------------------------------


def on_frame(point: tuple[float, float], place: alignment.Placed, width_px: int) -> tuple[float, float]:
    """Where a point of the picture comes to lie, in percent of the frame, as a browser does it."""
    scale, turn = place.width / width_px, math.radians(place.degrees)
    x, y = point[0] * scale, point[1] * scale
    return (
        place.left + x * math.cos(turn) - y * math.sin(turn),
        place.top + x * math.sin(turn) + y * math.cos(turn),
    )


@pytest.mark.parametrize(
    ("eyes", "width"),
    [([(70.0, 80.0), (130.0, 92.0)], 200), ([(10.0, 40.0), (40.0, 10.0)], 64), ([(150.0, 210.0), (360.0, 205.0)], 512)],
)
def test_whatever_the_picture_its_eyes_come_to_lie_in_the_same_places(eyes: list[tuple[float, float]], width: int) -> None:
    place = alignment.placed(eyes, width)
    assert place is not None
    assert on_frame(eyes[0], place, width) == pytest.approx((36, 42))
    assert on_frame(eyes[1], place, width) == pytest.approx((64, 42))


@pytest.mark.parametrize("eyes", [None, [], [(0.0, 0.0)] * 5, [(50.0, 50.0), (51.0, 50.0)], [(90.0, 50.0), (20.0, 50.0)]])
def test_without_two_eyes_to_go_by_a_picture_is_shown_whole_and_that_is_said(eyes: list[tuple[float, float]] | None) -> None:
    assert alignment.placed(eyes, 200) is None
    (sample,) = samples.subject(1).samples
    subject = samples.subject(1, samples=[sample.model_copy(update={"landmarks": eyes})])
    case = samples.case(1, subjects=[subject, sr.seen(samples.subject(2))])
    sides = [case.pairs[0].a, case.pairs[0].b]
    html = faces.side_by_side(case, sides, {"smp_00000001": sr.face(), "smp_00000002": sr.face()}, None, UTC)
    assert html.count("eyes not aligned") == 1
    assert html.count('class="frame whole"') == 1
    assert html.count("rotate(") == 1


def test_what_is_no_picture_has_no_width() -> None:
    assert alignment.width_of(b"not a picture") is None
    assert alignment.width_of(sr.face(size=320)) == 320


# --- two distributions ------------------------------------------------------------------------------------------------


def test_each_distribution_is_the_difference_of_its_counts() -> None:
    calibration = sr.calibration().calibration
    assert calibration is not None
    strangers, same = score.impostors(calibration), score.genuines(calibration)
    assert sum(step.density * (step.end - step.start) for step in strangers) == pytest.approx(0.1445 - 0.00022)
    assert sum(step.density * (step.end - step.start) for step in same) == pytest.approx(1)
    assert [(step.start, step.end) for step in same] == [(0.38, 0.5), (0.5, 0.62), (0.62, 0.7), (0.7, 0.86)]


def test_the_score_stands_where_it_is_between_them() -> None:
    calibration = sr.calibration().calibration
    assert calibration is not None
    html = score.figure(calibration, sr.weighed(samples.pair(score=0.44)), certain=0.6)
    lefts = {kind: float(left) for kind, left in re.findall(r'<u class="(score|limit)" style="left:([\d.]+)%">', html)}
    border = re.search(r'<i class="strangers" style="left:([\d.]+)%[^>]*></i>\s*<b', html)
    assert border is not None
    assert lefts["score"] == pytest.approx(float(border[1]), abs=0.1), "0.44 is where the last step of the strangers begins"
    assert lefts["score"] < lefts["limit"]


def test_the_odds_are_said_with_their_bounds_and_counts() -> None:
    said = " ".join(score.sentences(sr.weighed(samples.pair())))
    assert "at most 1 of 4,543 comparisons (13,629 were counted)" in said
    assert "score lower in 82 % of comparisons (66 were counted)" in said
    assert "at least 830 times as often" in said
    assert "Among 120 templates a search meets a stranger as alike as this at most 1 in 38 times." in said


def test_where_nothing_is_counted_that_is_said_and_no_odds() -> None:
    unknown = sr.weighed(samples.pair(), impostor_above=None, genuine_below=None, expected_fmr_reason="No calibration is loaded")
    assert score.sentences(unknown) == [
        "Nothing is known of how often strangers reach this score: no calibration of this model says. No calibration is loaded."
    ]
    few = wire.DistributionPlace(share=0.95, bound="at_least", trials=66, source="portraits")
    assert "times as often" not in " ".join(score.sentences(sr.weighed(samples.pair(), genuine_below=few)))


# --- quality, decisions, clusters -------------------------------------------------------------------------------------


def test_qualities_far_apart_are_marked_in_a_word_and_advice_names_its_picture() -> None:
    html = faces.qualities([("A", samples.quality(81)), ("B", samples.quality(40))])
    assert "<tr class=differs><td>Sharpness</td><td>81</td><td>40</td><td>far apart</td></tr>" in html
    assert "<tr><td>Illumination uniformity</td><td>70</td><td>70</td><td>alike</td></tr>" in html
    assert "<strong>B</strong> Hold the camera still." in html
    assert "Nothing is known of the picture of B." in faces.qualities([("A", samples.quality()), ("B", None)])


def test_an_arbiter_reads_both_decisions_with_reason_survivor_and_note() -> None:
    rows = [
        sr.decision("same", "ada", survivor_id="sub_00000001", reason="same_document", note="<b>scar</b>"),
        sr.decision("different", "bob", undone=True),
    ]
    words = {"same": "Same person", "different": "Different people"}
    html = faces.decisions(samples.case(1, decisions=rows), words, {"sub_00000001": "A"}, samples.now().timestamp())
    assert "reason same_document · A remains · &lt;b&gt;scar&lt;/b&gt;" in html
    assert "<td>Different people (undone since)</td><td>bob</td>" in html
    assert faces.decisions(samples.case(1), words, {}, 0.0) == ""


def test_the_matrix_says_of_every_two_what_is_known_the_most_alike_first() -> None:
    named = {f"sub_0000000{place}": letter for place, letter in enumerate("ABC", start=1)}
    html = faces.matrix(sr.matrix(), named)
    assert html.index("B and C") < html.index("A and B") < html.index("A and C")
    assert "<td>A and C</td><td class=num>0.440</td><td>below the threshold</td>" in html


# --- the queue's address ----------------------------------------------------------------------------------------------


def test_an_address_asks_the_server_for_what_it_says() -> None:
    asked = {
        "source": "scan",
        "state": "claimed",
        "from": "0.5",
        "to": "0.62",
        "age": "over_day",
        "holder": "me",
        "due": "overdue",
    }
    question = QueueFilters.from_address(asked | {"order": "due", "band": "review"}).as_question("usr_ada", NOON)
    assert question == {
        "state": wire.CaseState.claimed, "source": "scan", "band": "review", "min_score": 0.5, "max_score": 0.62,
        "created_from": None, "created_until": NOON - timedelta(days=1), "overdue": True, "order": "due", "assignee": "usr_ada",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("holder", "asked"),
    [("nobody", {"held": False}), ("bob", {"assignee": "usr_bob"}), ("usr_bob", {"assignee": "usr_bob"}), ("", {})],
)
def test_a_holder_is_a_name_nobody_or_whoever(holder: str, asked: dict[str, object]) -> None:
    question = QueueFilters(holder=holder).as_question("usr_ada", NOON)
    assert {name: value for name, value in question.items() if name in ("held", "assignee")} == asked


def test_the_address_holds_what_differs_and_comes_back_as_it_was() -> None:
    assert QueueFilters().as_address() == {}
    filters = QueueFilters(state="any", source="scan", least=0.55, age="hour", holder="nobody", order="due")
    address = filters.as_address()
    assert set(address) <= set(NAMES)
    assert QueueFilters.from_address(address) == filters


def test_words_that_are_none_of_the_filters_are_left_out() -> None:
    wrong = {"state": "blue", "source": "x", "from": "nan", "to": "lots", "age": "old", "due": "1", "order": "9", "band": "?"}
    assert QueueFilters.from_address(wrong) == QueueFilters()
