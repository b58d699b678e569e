"""Do alerts arrive, and end? Five faults in a local fleet; Prometheus, Alertmanager and the monitor are asked until all said so.

    python -m tests.system.alerts            # about eight minutes: the monitor's window of five minutes has to pass
    python -m tests.system.alerts --short    # without waiting for that

Rules and routes are those that `python -m deploy render` writes, as a rehearsal: windows and waits sixty times shorter
(`prometheus.faster: 60`), a scrape a second, so the seconds in the table are those of the rehearsal; in production the wait of
each rule (docs/operations.md) and up to two scrapes come on top. What the monitor cannot tell of itself stands as "-".
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.system import alert_faults, faults
from tests.system.alert_watch import FASTER, Watching, missing, watching
from tests.system.running_fleet import accepts, eventually, running_fleet

BURST_S = 12.0
FIRES_WITHIN_S, RESOLVES_WITHIN_S = 45.0, 60.0
"""Bounds for a machine that has much else to do; on an idle one each is below ten seconds, but for the burst's windows."""
DRIFT_RESOLVES_WITHIN_S = 75.0
BURN_RESOLVES_WITHIN_S, MONITOR_BURST_RESOLVES_WITHIN_S = 75.0, 420.0
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Expected:
    """What a fault makes fire: labels in Prometheus (and so in Alertmanager), and in the monitor where that can tell it."""

    fault: str
    prometheus: Labels
    monitor: Labels | None
    fires_s: float = FIRES_WITHIN_S
    resolves_s: float = RESOLVES_WITHIN_S
    monitor_resolves_s: float | None = None


KILLED = Expected(
    "killed backend", {"alertname": "FaceAuthBackendDown", "name": "b2"}, {"alertname": "BackendDown", "backend": "b2"}
)
CERTIFICATE = Expected(
    "expiring certificate", {"alertname": "FaceAuthCertificateNearlyExpired", "certificate": "b3"},
    {"alertname": "CertificateExpiring", "certificate": "b3"},
)  # fmt: skip
BURST = Expected(
    "burst of 5xx", {"alertname": "FaceAuthErrorBudgetBurningFast"}, {"alertname": "BackendErrorRatioHigh", "backend": "b1"},
    resolves_s=BURN_RESOLVES_WITHIN_S, monitor_resolves_s=MONITOR_BURST_RESOLVES_WITHIN_S,
)  # fmt: skip
STOPPED = Expected("stopped monitor", {"alertname": "FaceAuthMonitorDown"}, None)
DRIFT = Expected(
    "drift of thresholds",
    {"alertname": "FaceAuthThresholdDisagreement", "kind": "review"},
    {"alertname": "ThresholdDisagreement"},
    resolves_s=DRIFT_RESOLVES_WITHIN_S,
)  # fmt: skip


@dataclass
class Seen:
    """Seconds after the fault began until it fired, and after it ended until it was resolved; a missing one did not within its
    bound, or was not asked."""

    expected: Expected
    asked: tuple[str, ...]
    waited_for: tuple[str, ...]
    fired: dict[str, float] = field(default_factory=dict)
    resolved: dict[str, float] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return set(self.fired) == set(self.asked) and set(self.resolved) >= set(self.waited_for)


class Rehearsal:
    """`short`: the monitor's window of five minutes is not waited for."""

    def __init__(self, watch: Watching, *, short: bool) -> None:
        self._watch = watch
        self._short = short
        self._voices: dict[str, Callable[[], list[Labels]]] = {
            "prometheus": watch.in_prometheus,
            "alertmanager": watch.in_alertmanager,
            "monitor": watch.in_monitor,
        }
        self.answered: dict[int, int] = {}
        """by the backend during the burst: status → how often"""

    def run(self) -> list[Seen]:
        eventually(lambda: self._is_firing("alertmanager", {"alertname": "FaceAuthWatchdog"}), within_s=30)
        burst, over = self._burst()
        others = [self.play(expected) for expected in (KILLED, CERTIFICATE, STOPPED, DRIFT)]
        if not self._short:
            self._until_resolved(burst, over, MONITOR_BURST_RESOLVES_WITHIN_S, ["monitor"])
        print(row(burst), flush=True)
        return [burst, *others]

    def play(self, expected: Expected) -> Seen:
        """One fault until it is told and over. Prints its row."""
        fleet = self._watch.fleet
        if expected is KILLED:
            return self._play(expected, faults.killed(fleet, "b2"), until_mended=lambda: self._until_back("b2"))
        if expected is CERTIFICATE:
            return self._play(expected, alert_faults.short_certificate(fleet, "b3"))
        if expected is STOPPED:
            return self._play(expected, alert_faults.stopped_monitor(fleet))
        return self._play(expected, alert_faults.other_thresholds(self._watch))

    def _burst(self) -> tuple[Seen, float]:
        """What fired, and when the last 5xx was: the monitor's window takes five minutes, so its end is looked for last."""
        seen = self._new(BURST)
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            callers = pool.submit(alert_faults.burst, self._watch.fleet, "b1", seconds=BURST_S)
            self._until_fired(seen, began)
            self.answered, over = callers.result()
        self._until_resolved(seen, over, BURST.resolves_s, ["prometheus", "alertmanager"])
        return seen, over

    def _play(
        self, expected: Expected, fault: AbstractContextManager[None], *, until_mended: Callable[[], None] | None = None
    ) -> Seen:
        seen = self._new(expected)
        with fault:
            self._until_fired(seen, time.monotonic())
            over = time.monotonic()
        if until_mended is not None:
            until_mended()
            over = time.monotonic()
        self._until_resolved(seen, over, expected.resolves_s, seen.asked)
        print(row(seen), flush=True)
        return seen

    def _new(self, expected: Expected) -> Seen:
        asked = tuple(who for who in self._voices if who != "monitor" or expected.monitor is not None)
        left_out = {"monitor"} if self._short and expected is BURST else set()
        return Seen(expected, asked, tuple(who for who in asked if who not in left_out))

    def _until_fired(self, seen: Seen, began: float) -> None:
        self._until(True, seen, seen.asked, seen.fired, began, seen.expected.fires_s)

    def _until_resolved(self, seen: Seen, over: float, within_s: float, asked: Iterable[str]) -> None:
        self._until(False, seen, [who for who in asked if who in seen.fired], seen.resolved, over, within_s)

    def _until(
        self, firing: bool, seen: Seen, asked: Iterable[str], found: dict[str, float], since: float, within_s: float
    ) -> None:
        left = list(asked)
        while left and time.monotonic() - since < within_s:
            for who in tuple(left):
                if self._is_firing(who, _labels(seen.expected, who)) is firing:
                    found[who] = time.monotonic() - since
                    left.remove(who)
            time.sleep(0.1)

    def _is_firing(self, who: str, wanted: Labels) -> bool | None:
        """None: no answer, from which nothing follows."""
        try:
            return any(wanted.items() <= dict(one).items() for one in self._voices[who]())
        except httpx.TransportError:
            return None

    def _until_back(self, name: str) -> None:
        port = int(self._watch.fleet.access["backends"][name].rsplit(":", 1)[1])
        eventually(lambda: accepts(port), within_s=200)


def _labels(expected: Expected, who: str) -> Labels:
    return (expected.monitor or {}) if who == "monitor" else expected.prometheus


WHO = ("prometheus", "alertmanager", "monitor")
HEAD = f"{'':22}" + "".join(f"{who:>28}" for who in WHO) + "\n" + f"{'fault':22}" + f"{'fires after':>16}{'ends after':>12}" * 3


def row(seen: Seen) -> str:
    """Seconds; `-` where nobody asked, `LATE` where it did not come within its bound."""

    def figure(who: str, found: Mapping[str, float], waited_for: tuple[str, ...]) -> str:
        if who in found:
            return f"{found[who]:.1f} s"
        return "LATE" if who in waited_for else "-"

    cells = [
        f"{figure(who, seen.fired, seen.asked):>16}{figure(who, seen.resolved, seen.waited_for):>12}" for who in WHO
    ]  # fmt: skip
    return f"{seen.expected.fault:22}" + "".join(cells)


def report(seen: list[Seen], answered: Mapping[int, int]) -> str:
    figures = {
        "faults": len(seen),
        "held": sum(one.holds for one in seen),
        "slowest_fire_s": _slowest(value for one in seen for value in one.fired.values()),
        "slowest_end_s": _slowest(value for one in seen for who, value in one.resolved.items() if who != "monitor"),
        "slowest_end_monitor_s": _slowest(one.resolved["monitor"] for one in seen if "monitor" in one.resolved),
        "burst_5xx": sum(count for status, count in answered.items() if status >= 500),
        "burst_other": sum(count for status, count in answered.items() if status < 500),
    }
    return " ".join(f"{name}={value}" for name, value in figures.items())


def _slowest(seconds: Iterable[float]) -> str:
    return f"{max(seconds, default=float('nan')):.1f}"


def run(folder: Path, *, short: bool) -> tuple[list[Seen], dict[int, int]]:
    """Prints a row as each fault is over."""
    (folder / "watch").mkdir()
    with running_fleet(folder / "run", "--no-traffic") as fleet, watching(fleet, folder / "watch") as watch:
        print(f"rules {FASTER} times faster than in production; a scrape a second\n{HEAD}", flush=True)
        with alert_faults.calm_traffic(fleet):
            rehearsal = Rehearsal(watch, short=short)
            return rehearsal.run(), rehearsal.answered


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="do not wait for the monitor's window of five minutes")
    options = parser.parse_args()
    if missing():
        print(f"alerts-test: {', '.join(missing())} is not installed: `make system`", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        seen, answered = run(Path(folder), short=options.short)
    print(report(seen, answered))
    return 0 if all(one.holds for one in seen) else 1


if __name__ == "__main__":
    sys.exit(main())
