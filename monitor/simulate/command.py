"""`python -m monitor simulate`: the detectors of the load distribution over simulated fleets."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from monitor.simulate.measure import LEAST_FOUND, MOST_FALSE_PER_1000, ONE_FAULT_PER_WINDOWS, PLANTED, Measured, measure

EXAMPLES = 20


def simulate(windows: int, *, seed: int, as_json: bool) -> int:
    """Exit status 0 only where both aims hold. The figures come last."""
    if windows < len(PLANTED) * ONE_FAULT_PER_WINDOWS:
        raise ValueError(f"--windows: give at least {len(PLANTED) * ONE_FAULT_PER_WINDOWS}, or not every fault is planted once")
    measured = measure(windows, seed=seed, progress=_bar(windows))
    if as_json:
        sys.stdout.write(json.dumps(figures(measured), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join([*_details(measured), line(measured)]) + "\n")
    return 0 if measured.reached else 1


def figures(measured: Measured) -> dict[str, object]:
    return {
        "windows": measured.windows,
        "false_alarms": measured.false_alarms,
        "per_1000_upper": round(measured.per_1000_upper, 3),
        "planted": measured.planted.total(),
        "found": measured.found.total(),
        "found_share": round(measured.found_share, 4),
        "found_share_lower": round(measured.found_lower, 4),
        "wrongly_named": measured.wrongly_named,
        "false_by_kind": dict(measured.false_by_kind),
        "by_fault": {label: {"planted": n, "found": measured.found[label]} for label, n in sorted(measured.planted.items())},
        "aims": {"per_1000_upper_below": MOST_FALSE_PER_1000, "found_share_at_least": LEAST_FOUND, "reached": measured.reached},
    }


def line(measured: Measured) -> str:
    """All figures in one line, as scripts read it."""
    return (
        f"windows={measured.windows} false_alarms={measured.false_alarms} per_1000_upper={measured.per_1000_upper:.3f} "
        f"planted={measured.planted.total()} found={measured.found.total()} found_share={measured.found_share:.4f} "
        f"found_share_lower={measured.found_lower:.4f} wrongly_named={measured.wrongly_named}"
    )


def _details(measured: Measured) -> list[str]:
    lines = [f"  {label:35} planted {n:5}  found {measured.found[label]:5}" for label, n in sorted(measured.planted.items())]
    lines += [f"  false {label:29} {n}" for label, n in measured.false_by_kind.most_common()]
    lines += measured.examples[:EXAMPLES]
    if len(measured.examples) > EXAMPLES:
        lines.append(f"... and {len(measured.examples) - EXAMPLES} more")
    return lines


def _bar(windows: int) -> Callable[[int], None]:
    """On a terminal, how far it is; elsewhere nothing."""
    done = [0]

    def progress(more: int) -> None:
        done[0] += more
        if sys.stderr.isatty():
            whole = windows + windows // ONE_FAULT_PER_WINDOWS * 4
            sys.stderr.write(f"\r{done[0]:,} of {whole:,} windows" + ("\n" if done[0] >= whole else ""))
            sys.stderr.flush()

    return progress
