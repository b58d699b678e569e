from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

from dashboard import palette
from dashboard.charts import load as charts
from dashboard.components.markup import table as drawn
from dashboard.tables import certificates, load
from monitor import wire
from tests.dashboard import samples


def test_each_share_is_a_bar_and_what_is_expected_a_mark_on_it() -> None:
    figure = charts.shares({"b1": samples.load(0.6), "b2": samples.load(0.4, expected_share=0.25), "b3": samples.load(None)})
    bars, marks = figure.data
    assert dict(zip(bars.y, bars.x, strict=True)) == {"b2": 40.0, "b1": 60.0}
    assert dict(zip(marks.y, (round(x, 1) for x in marks.x), strict=True)) == {"b2": 25.0, "b1": 33.3}
    assert figure.layout.uirevision == "shares"


def test_a_backend_keeps_its_colour_whatever_else_is_there() -> None:
    both = palette.series_colours(["b2", "b1"])
    assert both == palette.series_colours(["b1", "b2"])
    assert len(set(both.values())) == 2


def test_the_course_has_a_line_per_backend_in_the_readers_time_and_crosses_for_errors() -> None:
    points = samples.series("b2", "b1", errors=0).items
    failed = wire.LoadPoint(at=points[0].at, backend="b1", requests=3, errors=2, p95_ms=None)
    zone = ZoneInfo("Asia/Tokyo")
    figure = charts.series([*points, failed], zone, window_s=900)
    assert [trace.name for trace in figure.data] == ["b1", "b2", "errors"]
    line = figure.data[1]
    assert list(line.x) == sorted(line.x)
    assert line.x[0].utcoffset() == zone.utcoffset(line.x[0].replace(tzinfo=None))
    assert list(figure.data[2].y) == [2]
    assert figure.layout.uirevision == "series-900"
    assert figure.layout.yaxis.title.text == "requests per 15 s"


def test_a_chart_of_nothing_is_still_a_chart() -> None:
    assert not charts.series([], UTC, window_s=60).data
    assert not list(charts.shares({}).data[0].x)


def test_the_table_of_load_says_no_traffic_and_errors_with_their_share() -> None:
    table = load.by_backend({"b2": samples.load(None), "b1": samples.load(1.0, errors=3, error_ratio=0.025)})
    assert list(table["Backend"]) == ["b1", "b2"]
    assert list(table["Share"]) == ["100.0 %", "no traffic"]
    assert list(table["Errors"]) == ["3 (2.5 %)", "0"]
    assert list(table["p95"]) == ["123 ms", "–"]


def test_what_is_longer_than_a_word_may_break_and_words_may_not() -> None:
    html = drawn(["Call", "Requests"], [["GET /v1/subjects/{subject_id}", "1"], ["demo-astronaut-recompressed", "2"]])
    assert "<td class=long>GET /<wbr>v1/<wbr>subjects/<wbr>{subject_id}</td>" in html
    assert "<td>demo-astronaut-recompressed</td>" in html, "it breaks at its hyphens by itself"


def test_certificates_are_ordered_by_what_breaks_first() -> None:
    listed = [
        samples.certificate("fine", "ok", 300.0),
        samples.certificate("soon", "warning", 20.0),
        samples.certificate("unread", "unknown", None),
        samples.certificate("gone", "expired", -1.0),
        samples.certificate("sooner", "warning", 10.0),
        samples.certificate("broken", "invalid", 80.0),
        samples.certificate("now", "critical", 2.0),
    ]
    ordered = certificates.by_urgency(listed)
    assert [one.name for one in ordered] == ["gone", "broken", "now", "sooner", "soon", "unread", "fine"]
    assert certificates.sentence(ordered) == "3 certificates need action now: gone, broken, now."
    assert certificates.sentence(ordered[3:]) == "2 certificates should be renewed soon: sooner, soon."
    assert certificates.sentence(ordered[5:]) == "Of 2 certificates, 1 could not be read."
    assert certificates.sentence(ordered[6:]) == "All 1 certificate are in order; the next one runs out in 300 days."


def test_a_chain_is_shown_leaf_first_as_it_was_sent() -> None:
    chain = certificates.chain(samples.certificate("b1"), UTC, samples.now().timestamp())
    places, subjects = certificates.CHAIN.index("Place"), certificates.CHAIN.index("Subject")
    assert [row[places] for row in chain] == ["leaf", "issuer 1"]
    assert [row[subjects] for row in chain] == ["CN=b1", "CN=local CA"]


def test_every_state_that_an_api_knows_has_a_word_a_shape_and_a_tone() -> None:
    from backend import wire as backend_wire

    known = (
        (wire.State, palette.STATES),
        (wire.CertificateState, palette.CERTIFICATES),
        (backend_wire.CaseState, palette.CASES),
        (backend_wire.SubjectState, palette.SUBJECTS),
        (backend_wire.ScanState, palette.SCANS),
        (wire.FindingKind, palette.FINDINGS),
        (wire.DistributionVerdict, palette.DISTRIBUTION),
        (wire.ShareVerdict, palette.SHARE_VERDICTS),
    )
    for states, looks in known:
        for state in states:
            look = looks[state.value]
            assert look.word
            assert look.shape
            assert look.tone
