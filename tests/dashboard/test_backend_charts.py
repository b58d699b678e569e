"""What is drawn and listed of one backend: pure functions."""

from __future__ import annotations

from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

from dashboard.charts import backend as charts
from dashboard.tables import backend as tables
from dashboard.tables import fleet as of_fleet
from tests.dashboard import samples
from tests.dashboard import samples_backend as of_one

TOKYO = ZoneInfo("Asia/Tokyo")


def test_neighbouring_points_of_one_state_are_one_stretch_and_a_gap_belongs_to_none() -> None:
    course = {9: "UP", 8: "UP", 7: "DOWN", 3: "DOWN", 2: "UP"}
    view = of_one.history(*(of_one.point(ago, state) for ago, state in course.items()))
    found = charts.stretches(view)
    assert [one.state for one in found] == ["UP", "DOWN", "DOWN", "UP"]
    assert [(one.until - one.since).total_seconds() for one in found] == [120, 60, 60, 60]


def test_the_last_stretch_ends_with_the_present() -> None:
    view = of_one.history(of_one.point(0), step_s=3600)
    (only,) = charts.stretches(view)
    assert only.until == view.until


def test_each_state_has_a_row_of_its_own_and_times_are_the_readers() -> None:
    figure = charts.states(of_one.busy_history(), TOKYO, key="b1-1h")
    rows = {trace.name: trace for trace in figure.data if trace.name}
    assert set(rows) == {"UP", "DEGRADED", "DOWN"}
    assert set(rows["DOWN"].y) == {"DOWN"}
    assert sum(rows["DOWN"].x) == 4 * 60_000
    assert rows["UP"].base[0].utcoffset() == timedelta(hours=9)
    assert len({trace.marker.color for trace in rows.values()}) == 3
    assert list(figure.layout.yaxis.categoryarray) == ["DOWN", "DEGRADED", "UP"]


def test_no_line_is_drawn_across_a_time_that_nobody_watched() -> None:
    figure = charts.latencies(of_one.busy_history(), UTC, key="b1-1h")
    p95 = next(trace for trace in figure.data if trace.name == "requests p95")
    assert [place for place, value in enumerate(p95.y) if value is None] == [10]
    assert [trace.name for trace in figure.data if trace.name] == ["requests p50", "requests p95", "requests p99", "/live p95"]


def test_requests_are_per_second_whatever_the_step_and_errors_are_crosses() -> None:
    view = of_one.history(of_one.point(2, requests=120), of_one.point(1, requests=60, errors=6))
    figure = charts.requests(view, UTC, key="b1-1h")
    assert list(figure.data[0].y) == [2.0, 1.0]
    crosses = next(trace for trace in figure.data if trace.name == "errors per second")
    assert (list(crosses.y), crosses.marker.symbol) == ([0.1], "x")


def test_no_axis_has_a_range_of_its_own_or_each_refresh_would_undo_the_readers_zoom() -> None:
    view = of_one.busy_history()
    for draw in (charts.states, charts.latencies, charts.requests):
        first, later = draw(view, UTC, key="b1-1h"), draw(of_one.busy_history(), UTC, key="b1-1h")
        assert first.layout.xaxis.range is None
        assert first.layout.uirevision == later.layout.uirevision
        assert draw(view, UTC, key="b1-24h").layout.uirevision != first.layout.uirevision
        ends = [trace for trace in first.data if not trace.name][-1]
        assert (ends.x[0], ends.x[1]) == (view.since, view.until), "the whole window is shown, watched or not"


def test_stages_stand_in_the_order_in_which_a_request_passes_them() -> None:
    bars, marks = charts.stages(of_one.figures().stages).data
    assert list(bars.y) == ["commit", "search", "embed", "detect", "decode"], "Plotly draws from below"
    assert dict(zip(bars.y, bars.x, strict=True))["detect"] == 31.0
    assert list(marks.y) == list(bars.y)


def test_memory_and_processor_have_an_axis_each_and_what_is_not_known_is_a_gap() -> None:
    points = [of_one.resources(1, cpu_percent=None), of_one.resources(0, memory_bytes=512 * 2**20)]
    memory, processor = charts.resources(points, UTC).data
    assert memory.y[1] == 512
    assert (processor.y[0], processor.yaxis) == (None, "y2")


def test_the_moment_of_the_drain_is_a_line_over_its_traffic() -> None:
    points = samples.series("b1").items
    assert len(charts.falling(points, UTC, since=points[3].at).layout.shapes) == 1
    assert len(charts.falling(points, UTC, since=None).layout.shapes) == 0


def test_charts_of_nothing_are_still_charts() -> None:
    empty = of_one.history()
    for figure in (charts.states(empty, UTC, key=""), charts.latencies(empty, UTC, key=""), charts.stages([])):
        assert figure.layout.height > 0


def test_events_are_lines_with_words_and_shapes_and_only_those_of_the_window() -> None:
    events = [of_one.event(2, "DOWN", "UP", minutes_ago=5), of_one.event(1, "UP", "DOWN", minutes_ago=90)]
    within = tables.within(events, samples.now() - timedelta(hours=1))
    rows = tables.events(within, samples.now().timestamp(), UTC)
    assert list(rows["To"]) == ["● UP"]
    assert rows["When"][0].endswith("(5 min ago)")
    assert len(tables.within(events, None)) == 2


def test_calls_stand_by_their_number_and_decisions_with_their_part() -> None:
    routes = tables.routes(of_one.figures().routes[::-1])
    assert list(routes["Call"]) == ["POST /v1/verify", "POST /v1/subjects"]
    decisions = tables.decisions({"verify": {"match": 75, "non_match": 25}})
    assert decisions.values.tolist() == [["verify", "match", "75", "75.0 %"], ["verify", "non match", "25", "25.0 %"]]


def test_the_window_in_one_sentence_says_how_much_of_it_was_watched() -> None:
    said = tables.whole(of_one.busy_history(), "1 h")
    assert said.startswith("Over the last 1 h it was UP for 98.75 % of the time that was watched; 100 % of it was watched;")
    assert tables.whole(of_one.history(), "1 h") == "Nothing of the last 1 h was watched."
    assert tables.held(of_one.busy_history()).startswith("UP for 42 min")
    assert tables.held(of_one.history()) == "nothing was watched"


def test_a_window_of_maintenance_holds_between_its_ends_unless_it_was_lifted() -> None:
    now = samples.now()
    holds, whole = of_one.window("b1"), of_one.window()
    others = [
        of_one.window("b2"),
        of_one.window("b1", lifted_by="usr_bob"),
        of_one.window("b1", ends_at=now - timedelta(seconds=1)),
        of_one.window("b1", starts_at=now + timedelta(minutes=1)),
    ]
    assert tables.active([*others, holds, whole], "b1", now.timestamp()) == [holds, whole]


def test_findings_are_sorted_by_whom_they_concern() -> None:
    found = [of_one.finding("b1", "one"), of_one.finding(None, "all", "fleet_errors"), of_one.finding("b1", "two")]
    assert of_fleet.findings(found) == {"b1": ["one", "two"], None: ["all"]}
    assert of_fleet.maintained(of_one.window(), 0.0, UTC).startswith("Maintenance of the whole fleet until")
    assert of_fleet.out_of_service([samples.backend("b1")], [], 0.0, UTC) == {}
