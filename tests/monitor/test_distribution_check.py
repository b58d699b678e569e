"""Requests through a balancer, counted by who served them: the judgement as values, then with real balancers and over the API."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from deploy.local import balancers, temporary
from monitor import wire
from monitor.client import MonitorClient, ProblemError
from monitor.clock import utc_now
from monitor.distribution_check.judgement import Counted, Judged, Member, judge, shares
from monitor.distribution_check.runs import CheckUnderWay, DistributionChecks, NoBalancer
from monitor.fleet import BalancerKind, Fleet, Strategy
from monitor.probe.connection import TrustStore
from monitor.wire import DistributionVerdict, ShareVerdict
from tests.deploy.fleets import fleet
from tests.monitor import traffic
from tests.monitor.processes import free_port, until
from tests.monitor.test_api import SECRET, People, serving
from tests.monitor.traffic_backends import CountingBackend

ROUND_ROBIN, LEAST, HASH = Strategy.round_robin, Strategy.least_connections, Strategy.ip_hash


def counted(failures: dict[str, int] | None = None, **served: int) -> Counted:
    return Counted({name: [2.0] * count for name, count in served.items()}, failures or {})


def members(*weights: int, out: Sequence[str] = ()) -> list[Member]:
    return [Member(f"b{i}", weight, f"b{i}" not in out) for i, weight in enumerate(weights, start=1)]


def judged(found: Counted, fleet_: list[Member], strategy: Strategy, sent: int = 100) -> Judged:
    return judge(found, fleet_, strategy, sent=sent)


@pytest.mark.parametrize(
    ("served", "weights", "strategy", "verdict", "words"),
    [
        ((34, 33, 33), (100, 100, 100), ROUND_ROBIN, "even", "As round robin promises"),
        ((50, 25, 25), (200, 100, 100), ROUND_ROBIN, "even", "no share is more than 0% off"),
        ((100, 0, 0), (100, 100, 100), ROUND_ROBIN, "uneven", "b2 served none where 33% is expected"),
        ((90, 5, 5), (100, 100, 100), LEAST, "uneven", "compare the requests in flight"),
        ((34, 33, 33), (300, 100, 100), LEAST, "even", "As least connections promises"),
        ((100, 0, 0), (100, 100, 100), HASH, "sticky", "b1 served them all"),
        ((60, 40, 0), (100, 100, 100), HASH, "uneven", "one address stays with one backend, but b1, b2 served"),
        ((6, 3, 1), (100, 100, 100), ROUND_ROBIN, "too_few", "that takes 19"),
        ((100,), (100,), ROUND_ROBIN, "nothing_to_compare", "1 of 1 backends could serve"),
        ((0, 0), (100, 100), ROUND_ROBIN, "failed", "NET.REFUSED"),
    ],
)
def test_what_was_served_is_judged_by_what_the_strategy_promises(
    served: tuple[int, ...], weights: tuple[int, ...], strategy: Strategy, verdict: str, words: str
) -> None:
    found = Counted(
        {f"b{i}": [1.0] * count for i, count in enumerate(served, start=1) if count}, {} if any(served) else {"NET.REFUSED": 100}
    )
    said = judged(found, members(*weights), strategy)
    assert said.verdict == DistributionVerdict(verdict), said.sentence
    assert words in said.sentence


def test_random_placement_is_hardly_ever_called_uneven_and_a_starved_backend_always_is() -> None:
    """The limit is three sigma for each of three backends: at most one run in a hundred of a fair coin may be flagged."""
    dice, flagged = random.Random(11), 0
    for _ in range(1000):
        drawn = dice.choices(["b1", "b2", "b3"], k=200)
        found = counted(**{name: drawn.count(name) for name in set(drawn)})
        flagged += judged(found, members(100, 100, 100), ROUND_ROBIN).verdict is DistributionVerdict.uneven
    assert flagged <= 10
    for _ in range(200):
        drawn = dice.choices(["b1", "b2", "b3"], weights=[44, 44, 12], k=200)
        found = counted(**{name: drawn.count(name) for name in set(drawn)})
        (worst,) = [one for one in shares(found, members(100, 100, 100), ROUND_ROBIN) if one.backend == "b3"]
        assert worst.verdict is ShareVerdict.fewer


def test_who_is_out_or_unknown_is_named_and_nobody_expects_a_share_of_it() -> None:
    fleet_ = members(100, 100, 100, out=["b3"])
    found = counted({"NET.TIMEOUT": 2}, b1=48, b2=48, b3=2, pod_7=2)
    by_name = {one.backend: one for one in shares(found, fleet_, ROUND_ROBIN)}
    assert [one.verdict.value for one in by_name.values()] == ["as_expected", "as_expected", "not_in_service", "not_in_fleet"]
    assert by_name["b1"].expected_share == 0.5
    assert by_name["b3"].expected_share == 0
    sentence = judged(found, fleet_, ROUND_ROBIN).sentence
    assert "2 of 100 requests failed (NET.TIMEOUT 2)." in sentence
    assert "calls itself pod_7, which the fleet file does not name" in sentence
    assert "b3 answered though it is not in service" in sentence


# --- through real balancers ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def behind(
    kind: BalancerKind, strategy: Strategy, where: Path, weights: Sequence[int] = (100, 100, 100)
) -> AsyncIterator[Fleet]:
    """Small backends behind a real balancer, configured by `deploy render`. Real weights may differ from the described ones."""
    if balancers.installed(kind) is None:
        pytest.skip(f"{kind} is not installed: `make system`")
    backends = [CountingBackend(f"b{i}", random.Random(i)) for i in (1, 2, 3)]
    for backend in backends:
        await backend.start()
    data = traffic._described(where, kind, strategy, backends, None)
    data["balancer"]["ca_file"] = str(where / "ca.pem")
    described = fleet(data)
    for one, weight in zip(data["backends"], weights, strict=True):
        one["weight"] = weight
    process = traffic._started(kind, where, data)
    try:
        await _listening(described)
        yield described
    finally:
        process.terminate()
        process.wait(20)
        for backend in backends:
            await backend.stop()
        temporary.forget(where)


async def _listening(described: Fleet) -> None:
    host, port = described.balancer.listen.rsplit(":", 1)
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError("the balancer does not listen")


async def run(described: Fleet, requests: int) -> wire.DistributionCheck:
    all_in = [Member(one.name, one.weight, eligible=True) for one in described.backends]
    checks = DistributionChecks(TrustStore(), clock=utc_now, members=lambda: all_in)
    begun = checks.start(requests, described)
    assert (begun.state, begun.sent, begun.verdict) == ("running", 0, None)
    with pytest.raises(CheckUnderWay):
        checks.start(requests, described)
    seen = []
    while (now := checks.get(begun.id)) is not None and now.state == "running":
        seen.append(now.sent)
        await asyncio.sleep(0.02)
    assert seen == sorted(seen)
    assert len(set(seen)) > 3, "it tells how far it came"
    assert now is not None
    assert [one.id for one in checks.list()] == [now.id]
    return now


@pytest.mark.parametrize("kind", [BalancerKind.nginx, BalancerKind.haproxy])
@pytest.mark.parametrize(
    ("strategy", "weights", "verdict"),
    [
        (ROUND_ROBIN, (100, 100, 100), DistributionVerdict.even),
        (LEAST, (100, 100, 100), DistributionVerdict.even),
        (HASH, (100, 100, 100), DistributionVerdict.sticky),
        (ROUND_ROBIN, (200, 190, 5), DistributionVerdict.uneven),
    ],
)
def test_real_balancers_are_judged_by_what_they_were_told(
    kind: BalancerKind, strategy: Strategy, weights: Sequence[int], verdict: DistributionVerdict, tmp_path: Path
) -> None:
    async def through() -> wire.DistributionCheck:
        async with behind(kind, strategy, tmp_path, weights) as described:
            return await run(described, 60)

    tmp_path.chmod(0o755)
    done = asyncio.run(through())
    assert (done.verdict, done.state, done.sent, done.answered) == (verdict, "done", 60, 60), done.sentence
    assert done.failures == {}
    assert sum(one.requests for one in done.shares) == 60
    assert done.finished_at is not None


def test_a_balancer_that_does_not_answer_is_said_and_one_that_is_not_there_refused() -> None:
    async def refused() -> wire.DistributionCheck:
        return await run(_fleet(free_port()), 10)

    done = asyncio.run(refused())
    assert (done.verdict, done.failures) == (DistributionVerdict.failed, {"NET.REFUSED": 10})
    with pytest.raises(NoBalancer):
        DistributionChecks(TrustStore(), clock=utc_now, members=list).start(10, _fleet(None))


def test_a_monitor_that_ends_gives_the_check_up_at_once() -> None:
    async def ended() -> wire.DistributionCheck:
        checks = DistributionChecks(TrustStore(), clock=utc_now, members=list)
        begun = checks.start(500, _fleet(free_port()))
        await asyncio.sleep(0)
        await checks.stop()
        found = checks.get(begun.id)
        assert found is not None
        return found

    done = asyncio.run(ended())
    assert done.state == "stopped"
    assert done.sent < 500


def _fleet(port: int | None) -> Fleet:
    backend = {"name": "b1", "url": "http://127.0.0.1:1", "address": "127.0.0.1:1", "server_name": "b1"}
    balancer = {"kind": "nginx", "listen": f"127.0.0.1:{port}", "url": f"http://127.0.0.1:{port}"} if port else {"kind": "none"}
    return Fleet.model_validate({"backends": [backend], "balancer": balancer})


# --- over the API -------------------------------------------------------------------------------------------------------------


def test_operators_start_one_everybody_reads_it_and_the_trail_has_it(tmp_path: Path) -> None:
    people, keys = People(tmp_path), tmp_path / "keys.json"
    keys.write_text("[]")
    with serving(tmp_path, signers_file=people.file, keys_file=keys) as url:
        operator = MonitorClient(url, token=people.token(roles=["operator"]))
        with operator, pytest.raises(ProblemError) as without:
            operator.check_distribution(10)
        assert (without.value.status, without.value.code) == (409, "no_balancer_to_check")
        described = yaml.safe_load((tmp_path / "fleet.yaml").read_text())
        port = free_port()
        described["balancer"] = {"kind": "nginx", "listen": f"127.0.0.1:{port}", "url": f"http://127.0.0.1:{port}"}
        (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(described))
        with MonitorClient(url, token=people.token(roles=["operator"])) as client:
            until(lambda: client.fleet().balancer is not None, within_s=20, what="the fleet file is read")
            begun = client.check_distribution(40)
            with pytest.raises(ProblemError) as second:
                client.check_distribution(40)
            assert (second.value.status, second.value.code) == (409, "distribution_check_under_way")
            with pytest.raises(ProblemError) as unknown:
                client.distribution_check("dchk_x")
            assert (unknown.value.status, unknown.value.code) == (404, "distribution_check_not_found")
        with MonitorClient(url, token=people.token(roles=["reviewer"])) as reader:
            until(lambda: reader.distribution_check(begun.id).state == "done", within_s=20, what="the check ends")
            assert reader.distribution_checks().items[0].failures == {"NET.REFUSED": 40}
            with pytest.raises(ProblemError) as refused:
                reader.check_distribution(10)
            assert refused.value.status == 403
        with MonitorClient(url, token=people.token(roles=["admin"])) as admin:
            (row,) = [one for one in admin.audit().items if one.action == "verify_distribution"]
            assert (row.actor, row.target, row.outcome) == ("usr_ann", "balancer", "40 requests")
        token = people.token(roles=["operator"])
        for wrong in (9, 501, 100.5, "100", True):
            answer = httpx.post(
                f"{url}/v1/distribution-checks", content=json.dumps({"requests": wrong}),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )  # fmt: skip
            assert answer.status_code == 422, wrong
        assert httpx.post(f"{url}/v1/distribution-checks", headers={"Authorization": f"Bearer {SECRET}"}).status_code == 401
