"""How many requests a key may make: the rule with a clock of the test's own, then a running service."""

from __future__ import annotations

import re

import pytest

from backend.client import ProblemError
from backend.errors import RateLimited
from backend.rates import Allowance, Rates
from backend.store.caller import Caller
from backend.wire import Scope
from tests.api.pictures import woman
from tests.api.service import Service, problem_of, serving

UNLIMITED = 0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def key(rate: int | None, *, name: str = "a", synthetic: bool = False) -> Caller:
    return Caller(f"key_{name}", name, "key", frozenset({"client"}), rate_per_minute=rate, synthetic=synthetic)


def heard(rates: Rates, caller: Caller, *, times: int, marked: bool = False) -> int:
    found = [rates.count(caller, marked=marked) for _ in range(times)]
    return sum(one is None or one.heard for one in found)


def test_a_key_is_heard_as_often_as_it_may_be_and_again_when_its_first_request_is_a_minute_old(clock: Clock) -> None:
    rates = Rates(UNLIMITED, now=clock)
    assert rates.count(key(3), marked=False) == Allowance(3, 2, 60, heard=True)
    clock.now += 20
    assert heard(rates, key(3), times=5) == 2
    assert rates.count(key(3), marked=False) == Allowance(3, 0, 40, heard=False)
    clock.now += 39.9
    assert heard(rates, key(3), times=1) == 0, "a minute is a minute, whenever it begins"
    clock.now += 0.1
    assert heard(rates, key(3), times=5) == 1
    clock.now += 60
    assert heard(rates, key(3), times=5) == 3


def test_who_does_not_wait_is_heard_as_often_as_who_does(clock: Clock) -> None:
    rates = Rates(UNLIMITED, now=clock)
    count = 0
    for _ in range(600):
        clock.now += 1
        count += heard(rates, key(6), times=3)
    assert count == 60


def test_each_key_has_a_count_of_its_own(clock: Clock) -> None:
    rates = Rates(UNLIMITED, now=clock)
    assert [heard(rates, key(2, name=name), times=4) for name in ("a", "b")] == [2, 2]


def test_a_key_without_a_limit_has_the_default_and_nought_is_none(clock: Clock) -> None:
    assert heard(Rates(2, now=clock), key(None), times=9) == 2
    assert heard(Rates(2, now=clock), key(0), times=9) == 9
    assert heard(Rates(UNLIMITED, now=clock), key(None), times=9) == 9


def test_people_have_no_limit(clock: Clock) -> None:
    person = Caller("usr_ada", "ada", "person", frozenset({"reviewer"}))
    assert heard(Rates(1, now=clock), person, times=9) == 9


def test_the_mark_of_demo_traffic_counts_with_a_key_that_was_made_for_it_alone(clock: Clock) -> None:
    rates = Rates(UNLIMITED, now=clock)
    assert heard(rates, key(2), times=9, marked=True) == 2
    assert heard(rates, key(2, name="demo", synthetic=True), times=9, marked=True) == 9
    assert heard(rates, key(2, name="demo", synthetic=True), times=9) == 2


def test_a_limit_that_was_lowered_holds_at_once_and_says_for_how_long(clock: Clock) -> None:
    rates = Rates(UNLIMITED, now=clock)
    for _ in range(4):
        assert heard(rates, key(9), times=1) == 1
        clock.now += 10
    assert rates.count(key(2), marked=False) == Allowance(2, 0, 40, heard=False)  # the third of the four has to go, too
    clock.now += 40
    assert heard(rates, key(2), times=9) == 1


def test_what_is_refused_says_for_how_long() -> None:
    Allowance(3, 0, 60, heard=True).require()
    with pytest.raises(RateLimited, match="3 requests a minute: wait 17 s") as refusal:
        Allowance(3, 0, 17, heard=False).require()
    assert refusal.value.retry_after_s == 17


def test_keys_that_fell_silent_are_forgotten(clock: Clock) -> None:
    rates = Rates(UNLIMITED, now=clock)
    for number in range(200):
        heard(rates, key(5, name=str(number)), times=1)
        clock.now += 1
    assert len(rates._heard) <= 61


def test_over_its_limit_a_key_gets_429_with_the_fields_of_the_draft_and_nothing_is_done(service: Service) -> None:
    with service.client(service.site.key("admin")) as admin:
        made = admin.create_key("turnstile", [Scope.client], rate_per_minute=2)
        people = admin.subjects().total
        for left in (1, 0):
            answer = service.get("/v1/subjects", made.secret)
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"key";q=2;w=60'
            assert re.fullmatch(rf'"key";r={left};t=\d+', answer.headers["ratelimit"])
        with service.client(made.secret) as client, pytest.raises(ProblemError) as refusal:
            client.enrol([woman()])
        assert (refusal.value.status, refusal.value.code) == (429, "rate_limited")
        assert refusal.value.retry_after_s is not None
        assert 0 < refusal.value.retry_after_s <= 60
        refused = service.request("POST", "/v1/keys", made.secret, {}, **{"X-Synthetic": "1"})
        assert (refused.status_code, problem_of(refused)) == (429, "rate_limited"), "before it is asked what the key may do"
        assert refused.headers["retry-after"] == refused.headers["ratelimit"].rpartition("=")[2]
        assert admin.subjects().total == people
        counted = re.findall(r'http_requests_total\{.*route="/v1/subjects",status="429"\} (\S+)', service.get("/metrics").text)
        assert counted == ["1.0"]
        assert admin.change_key(made.id, {"rate_per_minute": 0}).rate_per_minute == 0
    assert service.get("/v1/subjects", made.secret).status_code == 200
    assert "ratelimit" not in service.get("/v1/subjects", made.secret).headers


def test_demo_traffic_of_a_key_that_was_made_for_it_and_probes_have_no_limit(service: Service) -> None:
    with service.client(service.site.key("admin")) as admin:
        demo = admin.create_key("demo", [Scope.client], rate_per_minute=1, synthetic=True).secret
    marked = [service.get("/v1/subjects", demo, **{"X-Synthetic": "1"}).status_code for _ in range(3)]
    assert marked == [200] * 3
    assert [service.get("/v1/subjects", demo).status_code for _ in range(2)] == [200, 429]
    assert {service.get(path, demo).status_code for path in ("/health", "/live", "/ready", "/metrics")} == {200}


def test_a_command_makes_changes_and_rotates_limits(service: Service) -> None:
    site = service.site
    made = site.command("keys", "create", "--name", "t", "--scope", "client", "--rate-per-minute", "40", "--json")
    assert '"rate_per_minute": 40' in made.stdout
    key_id = re.findall(r'"id": "(\w+)"', made.stdout)[0]
    assert site.command("keys", "change", key_id, "--rate-per-minute", "default", "--synthetic").returncode == 0
    rotated = site.command("keys", "rotate", key_id, "--overlap-hours", "1")
    assert "The secret is not shown again." in rotated.stdout
    listed = site.command("keys", "list").stdout
    assert len(re.findall(r"never used\s+default limit, synthetic\s+t\n", listed)) == 2
    assert site.command("keys", "change", key_id, "--rate-per-minute", "many").returncode != 0
    assert site.command("keys", "rotate", "key_none").returncode != 0


def test_a_setting_is_the_limit_of_keys_without_one(service: Service) -> None:
    secret = service.site.key("operator")
    with serving(service.site, name="b2", BACKEND_KEY_RATE_PER_MINUTE="3") as other:
        assert [other.get("/v1/subjects", secret).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        assert service.get("/v1/subjects", secret).status_code == 200, "each replica counts for itself"
