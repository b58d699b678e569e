"""How often the detectors cry wolf, and how soon they find what is planted: counted over simulated fleets, with exact limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from monitor.distribution.candidate import Kind
from monitor.distribution.judge import Finding, Memory, judge
from monitor.distribution.proportions import lower_limit, upper_limit
from monitor.fleet import Strategy
from monitor.simulate.events import run
from monitor.simulate.scenario import WINDOW_S, Fault, Scenario, draw
from monitor.simulate.seen import windows

MOST_FALSE_PER_1000 = 1.0
LEAST_FOUND = 0.99
WITHIN_WINDOWS = 2
WINDOWS_PER_FLEET = 20
HEALTHY_BEFORE = 2
ONE_FAULT_PER_WINDOWS = 10

TELLS = {
    Fault.latency: {Kind.latency, Kind.errors},
    Fault.errors: {Kind.errors, Kind.sinkhole},
    Fault.share: {Kind.unfair_share},
    Fault.sinkhole: {Kind.sinkhole, Kind.errors},
    Fault.blind_sinkhole: {Kind.sinkhole, Kind.decision_mix},
}
"""Which findings, naming the right backend, count as having found a fault.

Who is too slow for its share answers 503 when its queue is full: its errors are told too. Where the fleet is idle, failing fast
draws no traffic: such a backend is told by its errors, or its answers 422, alone.
"""

PLANTED = [
    *((fault, strategy) for fault in (Fault.latency, Fault.errors) for strategy in Strategy),
    *((Fault.share, strategy) for strategy in (Strategy.round_robin, Strategy.least_connections)),
    *((fault, Strategy.least_connections) for fault in (Fault.sinkhole, Fault.blind_sinkhole)),
]
"""IP hash promises no shares, so there is none to miss; a sinkhole needs least connections."""


@dataclass
class Measured:
    """Counts; a false alarm is a window of a healthy fleet with any finding in it."""

    windows: int = 0
    false_alarms: int = 0
    false_by_kind: Counter[str] = field(default_factory=Counter)
    planted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    wrongly_named: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def per_1000_upper(self) -> float:
        return 1000 * upper_limit(self.false_alarms, self.windows)

    @property
    def found_share(self) -> float:
        return self.found.total() / self.planted.total() if self.planted else 0.0

    @property
    def found_lower(self) -> float:
        return lower_limit(self.found.total(), self.planted.total())

    @property
    def reached(self) -> bool:
        """Both aims: below 1 false alarm in 1,000 windows at 95 %, and 99 % of the faults found within two windows."""
        return self.per_1000_upper < MOST_FALSE_PER_1000 and self.found_share >= LEAST_FOUND


def measure(windows_wanted: int, *, seed: int, progress: Callable[[int], None] = lambda windows: None) -> Measured:
    """`windows_wanted` healthy windows, and a tenth as many planted faults, spread evenly over strategies and kinds."""
    dice = np.random.default_rng(seed)
    measured = Measured()
    strategies = list(Strategy)
    fleets = 0
    while measured.windows < windows_wanted:
        number = min(WINDOWS_PER_FLEET, windows_wanted - measured.windows)
        scenario = draw(dice, strategy=strategies[fleets % len(strategies)], length_s=(number + 1) * WINDOW_S)
        _count_false(measured, scenario, dice)
        fleets += 1
        progress(number)
    for number in range(windows_wanted // ONE_FAULT_PER_WINDOWS):
        fault, strategy = PLANTED[number % len(PLANTED)]
        length_s = (HEALTHY_BEFORE + WITHIN_WINDOWS + 1) * WINDOW_S
        scenario = draw(dice, strategy=strategy, length_s=length_s, fault=fault, fault_at_s=HEALTHY_BEFORE * WINDOW_S)
        _count_found(measured, scenario, strategy, dice)
        progress(HEALTHY_BEFORE + WITHIN_WINDOWS)
    return measured


def judged(scenario: Scenario, dice: np.random.Generator) -> Iterator[list[Finding]]:
    """The findings of each window of the scenario, in turn."""
    memory = Memory()
    for window in windows(scenario, run(scenario, dice)):
        findings, memory = judge(window, memory)
        yield findings


def _count_false(measured: Measured, scenario: Scenario, dice: np.random.Generator) -> None:
    for findings in judged(scenario, dice):
        measured.windows += 1
        measured.false_alarms += bool(findings)
        for one in findings:
            measured.false_by_kind[f"{one.kind} {scenario.strategy}"] += 1
            measured.examples.append(f"false: {scenario.strategy}, {scenario.size} backends: {one.sentence}")


def _count_found(measured: Measured, scenario: Scenario, strategy: Strategy, dice: np.random.Generator) -> None:
    assert scenario.planted is not None  # noqa: S101 - drawn with a fault
    label = f"{scenario.planted.kind} {strategy}"
    ill, wanted = f"b{scenario.planted.backend + 1}", TELLS[scenario.planted.kind]
    findings = [one for window in list(judged(scenario, dice))[HEALTHY_BEFORE:] for one in window]
    measured.planted[label] += 1
    strangers = [one for one in findings if one.backend not in (ill, None)]
    measured.wrongly_named += bool(strangers)
    measured.examples += [f"wrongly named: {label}, ill is {ill}: {one.sentence}" for one in strangers]
    if any(one.backend == ill and one.kind in wanted for one in findings):
        measured.found[label] += 1
    else:
        said = "; ".join(one.sentence for one in findings) or "nothing was said"
        measured.examples.append(f"missed: {label}, {scenario.size} backends of weights {scenario.weights}: {said}")
