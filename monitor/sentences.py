"""What a person reads: the fleet in one sentence, where a backend's four verdicts disagree, whose gallery is behind. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.wire import State

# The followers poll at least once a second: a scrape taken this much later must have reached what another one had before.
FOLLOW_TIME = timedelta(seconds=3)


@dataclass(frozen=True)
class Seen:
    """One backend for the fleet's sentence."""

    name: str
    state: State
    stale: bool
    reason: str | None


def of_fleet(backends: Sequence[Seen]) -> str:
    """The whole in one sentence."""
    total = len(backends)
    good = [one for one in backends if one.state is State.up and not one.stale]
    others = [one for one in backends if one not in good]
    if not others:
        return "The backend is up." if total == 1 else f"All {total} backends are up."
    known = [one for one in others if not one.stale and one.state is not State.unknown]
    blind = [one for one in others if one not in known]
    parts = [f"{one.name} is {one.state}" + (f" ({one.reason})" if one.reason else "") for one in known]
    if blind:
        verb = "has" if len(blind) == 1 else "have"
        parts.append(f"{_and([one.name for one in blind])} {verb} no fresh sample")
    return f"{len(good) or 'None'} of {total} backends {'is' if len(good) == 1 else 'are'} up: {'; '.join(parts)}."


def disagreement(name: str, verdicts: Mapping[str, str | None]) -> str | None:
    """One sentence where two of the four verdicts contradict each other; the most harmful contradiction first."""
    probes, balancer, readiness, traffic = (verdicts.get(key) for key in ("probes", "balancer", "readiness", "traffic"))
    if probes == "up" and balancer in ("down", "maint"):
        return f"Our probes reach {name}, but the balancer holds it for {balancer}: it gets no traffic."
    if probes == "down" and balancer == "up":
        return f"Our probes find {name} down, but the balancer still sends it traffic."
    if probes == "down" and traffic == "up":
        return f"Our probes find {name} down, but it served requests within the window."
    if probes == "up" and traffic == "down":
        return f"Our probes of {name} pass, but most of its clients' requests fail."
    if probes == "up" and traffic == "starved":
        return f"Our probes of {name} pass, but no request reaches it while the others serve."
    if readiness == "down" and balancer == "up":
        return f"{name} says that it is not ready, but the balancer still sends it traffic."
    return None


def waited_for(name: str, probes: str | None, reason: str | None, *, behind_nginx: bool) -> str | None:
    """Open-source nginx has no checks of its own: one that hangs costs each request sent to it the whole read timeout."""
    if not behind_nginx or probes != "down" or not (reason or "").startswith("NET.TIMEOUT"):
        return None
    return (
        f"{name} hangs, and nginx goes on trying it with clients' requests: run `python -m deploy drain {name}` where nginx runs."
    )


def fail_open(served: Mapping[str, int], *, window_s: float) -> str | None:
    """`served`: requests by backend, of a fleet of which nobody is ready."""
    if not served:
        return None
    names = sorted(served)
    return (
        f"Fail-open: nobody is ready, and the balancer still sent {sum(served.values())} requests within {window_s:g} s to"
        f" {_and(names)}. Bring one backend back, or stop the traffic: what they answer cannot be relied on."
    )


@dataclass(frozen=True)
class Identified:
    """One reachable backend; `seqs` are the log's numbers at its last two scrapes, oldest first."""

    name: str
    seqs: Sequence[tuple[datetime, int]] = ()


def behind(one: Identified, backends: Sequence[Identified]) -> str | None:
    """A gallery is behind only if it lacks what another one had well before: scrapes are not taken at the same moment."""
    if not one.seqs:
        return None
    at, seq = one.seqs[-1]
    earlier = [(s, o.name) for o in backends if o is not one for (t, s) in o.seqs if t <= at - FOLLOW_TIME]
    if not earlier:
        return None
    furthest, whose = max(earlier)
    if furthest <= seq:
        return None
    return f"The gallery of {one.name} is behind: it stands at change {seq}, {whose} was at {furthest} before that."


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
