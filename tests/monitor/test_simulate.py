"""The simulation: what it measures, that it is the same for the same seed, and what the command prints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from monitor.fleet import BalancerKind, Strategy
from monitor.simulate.balancing import Smooth, picker
from monitor.simulate.command import figures, line
from monitor.simulate.events import run
from monitor.simulate.measure import PLANTED, Measured, measure
from monitor.simulate.scenario import WINDOW_S, Fault, Scenario, draw
from monitor.simulate.seen import windows


def drawn(strategy: Strategy, *, seed: int = 3, fault: Fault | None = None, windows: int = 4) -> Scenario:
    return draw(np.random.default_rng(seed), strategy=strategy, length_s=windows * WINDOW_S, fault=fault, fault_at_s=WINDOW_S)


def test_few_false_alarms_and_nearly_every_fault_found_in_a_short_run() -> None:
    """The aims need 10,000 windows to be shown; these few would show a detector that is broken."""
    measured = measure(300, seed=11)
    print(line(measured))
    assert measured.windows == 300
    assert measured.false_alarms <= 1, measured.examples
    assert measured.planted.total() == 30
    assert measured.found.total() >= 29, measured.examples
    assert set(measured.planted) == {f"{fault} {strategy}" for fault, strategy in PLANTED}


def test_every_simulated_request_is_in_exactly_one_window_of_the_backend_that_served_it() -> None:
    scenario = replace(drawn(Strategy.round_robin, seed=5), outages=())
    done = run(scenario, np.random.default_rng(1))
    seen = list(windows(scenario, done))
    assert len(seen) == 3
    for index, member in enumerate(seen[0].members):
        counted = sum(window.members[index].all.requests for window in seen)
        answered = ((done.backend == index) & (done.at_s <= 3 * WINDOW_S)).sum()
        assert counted == pytest.approx(answered, abs=6), f"{member.name}: interpolated at the edges alone"


@pytest.mark.parametrize("kind", [BalancerKind.nginx, BalancerKind.haproxy])
def test_the_balancers_choices_are_those_of_their_policies(kind: BalancerKind) -> None:
    turns = Counter(Smooth([200, 100, 100]).next([0, 1, 2]) for _ in range(1))
    assert turns == {0: 1}
    smooth = Smooth([200, 100, 100])
    assert Counter(smooth.next([0, 1, 2]) for _ in range(400)) == {0: 200, 1: 100, 2: 100}
    scenario = drawn(Strategy.least_connections)
    in_flight = [5] * scenario.size
    in_flight[1] = 0
    assert picker(scenario, in_flight)(0, range(scenario.size)) == 1
    by_address = drawn(Strategy.ip_hash)
    choose = picker(by_address, [0] * by_address.size)
    everybody = list(range(by_address.size))
    homes = [choose(client, everybody) for client in range(8)]
    assert homes == [choose(client, everybody) for client in range(8)]
    without = [choose(client, [i for i in everybody if i != homes[0]]) for client in range(8)]
    moved = [client for client in range(8) if without[client] != homes[client]]
    assert moved == [client for client in range(8) if homes[client] == homes[0]], "only those whose backend is gone move"


def test_a_planted_fault_is_in_the_traffic_and_not_before_its_time() -> None:
    scenario = drawn(Strategy.round_robin, fault=Fault.errors)
    assert scenario.planted is not None
    seen = list(windows(scenario, run(scenario, np.random.default_rng(2))))
    ill = scenario.planted.backend
    ratios = [window.members[ill].all.errors / window.members[ill].all.requests for window in seen]
    assert ratios[0] < 0.05
    assert all(0.15 < ratio < 0.45 for ratio in ratios[1:])


def test_the_same_seed_gives_the_same_figures() -> None:
    assert figures(measure(40, seed=4)) == figures(measure(40, seed=4))


def test_the_aims_are_judged_by_exact_limits() -> None:
    few = Measured(windows=10_000, false_alarms=4, planted=Counter(x=1000), found=Counter(x=990))
    assert few.reached
    assert round(few.per_1000_upper, 3) == 0.915
    assert not Measured(windows=10_000, false_alarms=5, planted=Counter(x=1000), found=Counter(x=990)).reached
    assert not Measured(windows=10_000, false_alarms=0, planted=Counter(x=1000), found=Counter(x=989)).reached
    assert not Measured(windows=2_000, planted=Counter(x=10), found=Counter(x=10)).reached, "too few to show it"


def test_the_command_prints_its_figures_last_and_exits_by_them() -> None:
    command = [sys.executable, "-m", "monitor", "simulate", "--windows", "100", "--seed", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    last = dict(pair.split("=") for pair in done.stdout.splitlines()[-1].split())
    assert done.returncode == 1, "a hundred windows cannot show fewer than one in a thousand"
    assert (last["windows"], last["planted"]) == ("100", "10")
    assert float(last["per_1000_upper"]) > 29


def test_the_figures_as_json_are_those_of_the_line() -> None:
    few = Measured(
        windows=10_000, false_alarms=2, planted=Counter({"errors ip_hash": 1000}), found=Counter({"errors ip_hash": 996})
    )
    found = json.loads(json.dumps(figures(few)))
    last = dict(pair.split("=") for pair in line(few).split())
    assert {name: float(value) for name, value in last.items()}.items() <= found.items()
    assert found["by_fault"] == {"errors ip_hash": {"planted": 1000, "found": 996}}
    assert found["aims"]["reached"] is True


def test_too_few_windows_are_refused_with_a_sentence() -> None:
    command = [sys.executable, "-m", "monitor", "simulate", "--windows", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "--windows" in done.stderr
