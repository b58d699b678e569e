"""The detectors of the load distribution: what each finds, what it leaves alone, and what it says."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact

from monitor.balancer.access_log import BOUNDS_S
from monitor.distribution.candidate import Candidate, Kind
from monitor.distribution.history import ServedHistory
from monitor.distribution.judge import Memory, candidates, judge
from monitor.distribution.proportions import fisher_greater, lower_limit, upper_limit
from monitor.distribution.window import Member, Window
from monitor.fleet import BalancerKind, Strategy
from monitor.histogram import of_values
from monitor.probe.scrape import parse
from monitor.tally import Served, Tally
from tests.monitor.test_load import RealCounters

AT = datetime(2026, 1, 1, tzinfo=UTC)
RR, LC, HASH = Strategy.round_robin, Strategy.least_connections, Strategy.ip_hash


def tally(requests: int, *, mean_s: float = 0.1, errors: int = 0, refused: int = 0, seed: int = 0) -> Tally:
    """Lognormal times with the given mean."""
    dice = random.Random(seed)
    times = [mean_s * dice.lognormvariate(-0.125, 0.5) for _ in range(requests)]
    return Tally(requests, errors, refused, of_values(times, BOUNDS_S), sum(times))


def member(
    name: str,
    routes: Tally | Mapping[str, Tally],
    *,
    weight: int = 100,
    settled: bool = True,
    decisions: dict[tuple[str, str], float] | None = None,
) -> Member:
    by_route = {"POST /v1/verify": routes} if isinstance(routes, Tally) else dict(routes)
    return Member(name, weight, settled, Served(by_route, decisions or {}))


def window(*members: Member, strategy: Strategy = RR, kind: BalancerKind = BalancerKind.nginx) -> Window:
    return Window(AT, 60, kind, strategy, members)


def found(*members: Member, strategy: Strategy = RR) -> list[tuple[str, str | None]]:
    return [(one.kind.value, one.backend) for one in candidates(window(*members, strategy=strategy))]


def fleet(*tallies: Tally) -> list[Member]:
    return [member(f"b{number}", one) for number, one in enumerate(tallies, 1)]


def even(size: int, requests: int = 200) -> list[Tally]:
    return [tally(requests, seed=seed) for seed in range(size)]


def only(found_now: Sequence[Candidate]) -> Candidate:
    (one,) = found_now
    return one


@given(st.integers(1, 300), st.integers(1, 3000), st.data())
def test_fishers_test_is_scipys(of: int, other_of: int, data: st.DataObject) -> None:
    hits, other = data.draw(st.integers(0, of)), data.draw(st.integers(0, other_of))
    expected = fisher_exact([[hits, of - hits], [other, other_of - other]], alternative="greater")[1]
    assert fisher_greater(hits, of, other, other_of) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.integers(1, 12_000), st.data())
def test_the_exact_limits_are_scipys(of: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, of))
    both = binomtest(hits, of).proportion_ci(0.9)
    assert upper_limit(hits, of) == pytest.approx(both.high, abs=1e-9)
    assert lower_limit(hits, of) == pytest.approx(both.low, abs=1e-9)


def test_of_nothing_the_limits_say_nothing() -> None:
    assert (upper_limit(0, 0), lower_limit(0, 0)) == (1.0, 0.0)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("size", [1, 2, 3, 12])
def test_of_an_even_fleet_nothing_is_said(size: int, strategy: Strategy) -> None:
    assert found(*fleet(*even(size)), strategy=strategy) == []


@pytest.mark.parametrize("size", [2, 3, 4, 12])
def test_one_that_fails_is_found_against_the_rest_from_two_backends_on(size: int) -> None:
    members = fleet(*even(size - 1), tally(200, errors=60, seed=9))
    one = only(candidates(window(*members)))
    assert (one.kind, one.backend, one.overwhelming) == (Kind.errors, f"b{size}", True)
    assert f"b{size} fails 30% of its requests (60 of 200 in 60 s), the others 0.0%" in one.sentence
    assert "app.log" in one.sentence


@pytest.mark.parametrize(
    ("requests", "errors", "why"),
    [(20, 20, "fewer than 30 requests"), (1000, 40, "fewer than five points"), (40, 3, "may be chance")],
)
def test_what_is_too_little_to_tell_is_not_told(requests: int, errors: int, why: str) -> None:
    assert found(*fleet(tally(requests), tally(requests, errors=errors))) == [], why


def test_two_of_five_that_fail_do_not_hide_each_other() -> None:
    members = fleet(*even(3), tally(200, errors=60), tally(200, errors=30))
    assert found(*members) == [("errors", "b4"), ("errors", "b5")]


@pytest.mark.parametrize("ill", [3, 4])
def test_more_than_a_third_are_the_fleets_problem_and_nobodys(ill: int) -> None:
    members = fleet(*even(4 - ill), *(tally(200, errors=60) for _ in range(ill)))
    one = only(candidates(window(*members)))
    assert (one.kind, one.backend) == (Kind.fleet_errors, None)
    assert "no single backend is to blame" in one.sentence


@pytest.mark.parametrize("size", [2, 3, 4, 12])
def test_one_four_times_as_slow_is_found_from_two_backends_on(size: int) -> None:
    one = only(candidates(window(*fleet(*even(size - 1), tally(200, mean_s=0.4, seed=9)))))
    assert (one.kind, one.backend) == (Kind.latency, f"b{size}")
    assert one.figures["p95_ratio"] > 3
    assert "times slower than the others: p95" in one.sentence
    assert " ms" in one.sentence


def test_a_tenth_slower_across_a_buckets_bound_is_no_outlier() -> None:
    """p95 by interpolation says 2.4 times; the exact means say 1.1."""
    close = of_values([0.095] * 199 + [0.2], BOUNDS_S)
    beyond = of_values([0.105] * 190 + [0.2] * 10, BOUNDS_S)
    members = fleet(Tally(200, 0, 0, close, 19.0), Tally(200, 0, 0, close, 19.0), Tally(200, 0, 0, beyond, 21.9))
    assert beyond.quantile(0.95) > 2 * close.quantile(0.95)  # type: ignore[operator]
    assert found(*members) == []


def test_a_costly_mix_of_routes_is_no_slowness() -> None:
    cheap, costly = "GET /v1/stats", "POST /v1/subjects"
    ordinary = [member(f"b{i}", {cheap: tally(190, mean_s=0.01, seed=i), costly: tally(60, mean_s=0.5, seed=i)}) for i in (1, 2)]
    one_clients = member("b3", {cheap: tally(10, mean_s=0.01), costly: tally(200, mean_s=0.5, seed=8)})
    assert found(*ordinary, one_clients, strategy=HASH) == []
    slow = member("b3", {cheap: tally(10, mean_s=0.04), costly: tally(200, mean_s=2.0, seed=8)})
    assert found(*ordinary, slow, strategy=HASH) == [("latency", "b3")]


def test_too_many_slow_ones_are_a_problem_of_the_fleet() -> None:
    slow = [tally(200, mean_s=0.8, seed=seed) for seed in (1, 2, 3)]
    assert found(*fleet(*even(4), *slow)) == [("latency", "b5"), ("latency", "b6"), ("latency", "b7")]
    weights = fleet(*even(3), *slow[:2])
    assert [kind for kind, _ in found(*weights)] == ["latency", "latency"]
    three_of_six = found(*fleet(*even(3), *slow))
    assert all(kind == "fleet_latency" for kind, _ in three_of_six), three_of_six


@pytest.mark.parametrize("size", [2, 4, 12])
@pytest.mark.parametrize("strategy", [RR, LC])
def test_forty_percent_of_the_fair_share_is_found(size: int, strategy: Strategy) -> None:
    fair = 400
    members = fleet(*even(size - 1, fair), tally(fair * 2 // 5, seed=9))
    one = next(one for one in candidates(window(*members, strategy=strategy)) if one.kind is Kind.unfair_share)
    assert one.backend == f"b{size}"
    assert "the balancer holds it back" in one.sentence


def test_who_gets_nothing_at_all_is_found_though_it_shows_no_request() -> None:
    for strategy in (RR, LC):
        assert found(*fleet(*even(3), Tally()), strategy=strategy) == [("unfair_share", "b4")]


def test_ip_hash_and_no_balancer_promise_nothing() -> None:
    members = fleet(*even(2), tally(1000))
    assert found(*members, strategy=HASH) == []
    assert candidates(window(*members, kind=BalancerKind.none)) == []


def test_a_share_by_weight_is_fair_and_chance_is_no_unfairness() -> None:
    heavy = member("b1", tally(400), weight=200)
    assert found(heavy, member("b2", tally(200)), member("b3", tally(200))) == []
    assert found(*fleet(tally(24), tally(36))) == [], "within three times what chance does to 60 requests"


def test_under_least_connections_a_slow_backend_with_fewer_requests_has_its_fair_share() -> None:
    slow, usual = tally(70, mean_s=0.16), [tally(110, seed=seed) for seed in (1, 2, 3)]
    assert found(*fleet(*usual, slow), strategy=LC) == []
    assert found(*fleet(*usual, slow), strategy=RR) == [("unfair_share", "b4")]


def test_an_idle_haproxy_that_takes_unequal_weights_in_turn_is_not_called_unfair() -> None:
    members = [member("b1", tally(200), weight=200), member("b2", tally(200)), member("b3", tally(200))]
    assert found(*members, strategy=LC) == []


@pytest.mark.parametrize("how", ["errors", "refused"])
def test_a_fast_failing_backend_that_draws_traffic_is_a_sinkhole_and_nothing_else(how: str) -> None:
    hole = replace(tally(500, mean_s=0.02), **{how: 400})
    one = only(candidates(window(*fleet(*even(3), hole), strategy=LC)))
    assert (one.kind, one.backend) == (Kind.sinkhole, "b4")
    assert "draws 45% of the traffic where 25% is fair" in one.sentence
    assert found(*fleet(*even(3), hole), strategy=HASH) == ([("errors", "b4")] if how == "errors" else [])


def test_a_backend_that_decides_otherwise_is_found_and_only_that_one() -> None:
    mixes = [{("verify", "match"): 180.0, ("verify", "non_match"): 20.0}] * 3
    mixes += [{("verify", "match"): 90.0, ("verify", "non_match"): 110.0}]
    members = [member(f"b{i}", one, decisions=mix) for i, (one, mix) in enumerate(zip(even(4), mixes, strict=True), 1)]
    one = only(candidates(window(*members)))
    assert (one.kind, one.backend, one.overwhelming) == (Kind.decision_mix, "b4", False)
    assert "the others in" in one.sentence
    assert candidates(window(*members, strategy=HASH)) == []
    assert only(candidates(window(*members[2:]))).kind is Kind.fleet_mix, "of two nobody can say which"


def test_who_is_not_settled_is_neither_judged_nor_compared_with() -> None:
    ill = member("b3", tally(200, errors=150), settled=False)
    assert found(*fleet(*even(2)), ill) == []


def mild() -> Window:
    """Suspicious, not overwhelming."""
    return window(*fleet(tally(200), tally(200, errors=20)))


def test_a_suspicion_becomes_a_finding_in_its_second_window_in_a_row() -> None:
    first, memory = judge(mild(), Memory())
    assert first == []
    later = replace(mild(), until=AT + timedelta(seconds=60))
    second, _ = judge(later, memory)
    assert [(one.kind, one.since, one.at) for one in second] == [(Kind.errors, AT, later.until)]
    calm, memory = judge(window(*fleet(*even(2))), memory)
    assert calm == []
    again, _ = judge(mild(), memory)
    assert again == [], "the row was broken"


def test_overwhelming_evidence_is_a_finding_at_once_and_stays_one_while_it_is_suspected() -> None:
    hard = window(*fleet(tally(200), tally(200, errors=100)))
    first, memory = judge(hard, Memory())
    assert [one.kind for one in first] == [Kind.errors]
    second, _ = judge(mild(), memory)
    assert [one.kind for one in second] == [Kind.errors]


def test_a_window_is_cut_out_of_counters_that_were_scraped_at_other_times() -> None:
    counters, history = RealCounters(), ServedHistory()
    history.add(counters.scrape(-2))
    for second in range(2, 70, 4):
        counters.serve(8, seconds=0.1)
        counters.serve(4, status=422, route="/v1/identify")
        history.add(counters.scrape(second))
    start = counters.scrape(0).at
    served = history.between(start, start + timedelta(seconds=60))
    assert served.routes["POST /v1/verify"].requests == pytest.approx(120)
    assert served.routes["POST /v1/identify"].refused == pytest.approx(60)
    settled = history.settled(start, start + timedelta(seconds=60), eligible_since=start)
    assert settled
    assert not history.settled(start, start + timedelta(seconds=60), eligible_since=start + timedelta(seconds=1))
    assert not history.settled(start, start + timedelta(seconds=70), eligible_since=start), "its end was not seen"


def test_a_process_that_began_anew_is_not_judged_until_its_slow_start_is_over() -> None:
    history, first = ServedHistory(), RealCounters(started=1000)
    history.add(first.scrape(0))
    restarted = AT.timestamp() + 20
    second = RealCounters(started=restarted)
    for at in (30, 60, 120, 180):
        history.add(second.scrape(at))
    spans = [
        (at, history.settled(AT + timedelta(seconds=at), AT + timedelta(seconds=at + 60), eligible_since=AT))
        for at in (0, 40, 60)
    ]
    assert spans == [(0, False), (40, False), (60, True)]


def test_decisions_and_routes_are_read_off_the_backends_metrics() -> None:
    text = (
        'http_requests_total{method="POST",route="/v1/verify",status="200"} 5\n'
        'http_requests_total{method="POST",route="/v1/verify",status="422"} 2\n'
        'http_request_duration_seconds_sum{method="POST",route="/v1/verify"} 0.7\n'
        'face_auth_decisions_total{operation="verify",decision="match"} 5\n'
        'synthetic_requests_total{route="/v1/verify",status="200"} 900\n'
    )
    served = parse(text, at=AT).served
    assert served.decisions == {("verify", "match"): 5}
    one = served.routes["POST /v1/verify"]
    assert (one.requests, one.refused, one.latency_sum_s) == (7, 2, 0.7), "marked demo traffic counts in nothing"
