"""How fast errors use up what the SLO allows: the queries, and the pairs of windows of the SRE workbook (chapter 5).

burn = (failed requests / requests) / (1 - SLO): at 1 the budget of the whole period is used up exactly at its end. A pair says
something only where both of its windows are at or above its factor: the long one that it matters, the short one that it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dashboard import phrases
from dashboard.prometheus import Sample

JOB = "face-auth-backend"
WINDOWS = {"5m": "5 min", "30m": "30 min", "1h": "1 h", "2h": "2 h", "6h": "6 h", "1d": "1 d", "3d": "3 d"}
COLUMNS = ["Window", "Requests", "Failed", "Error ratio", "Burn rate"]


@dataclass(frozen=True)
class Pair:
    factor: float
    long: str
    short: str
    what: str


PAIRS = (
    Pair(14.4, "1h", "5m", "page"),
    Pair(6.0, "6h", "30m", "page"),
    Pair(3.0, "1d", "2h", "ticket"),
    Pair(1.0, "3d", "6h", "ticket"),
)


@dataclass(frozen=True)
class Window:
    """Client requests of the whole fleet over one window, and those of them that ended in 5xx."""

    requests: float
    failed: float

    @property
    def ratio(self) -> float | None:
        return self.failed / self.requests if self.requests > 0 else None

    def burn(self, slo: float) -> float | None:
        return None if self.ratio is None else self.ratio / (1 - slo)


@dataclass(frozen=True)
class Judged:
    """A pair; `burn` is the lower of its two, None where a window has no request; `enough`: the short one has enough of them."""

    pair: Pair
    burn: float | None
    enough: bool

    @property
    def exceeded(self) -> bool:
        return self.enough and self.burn is not None and self.burn >= self.pair.factor


def expression() -> str:
    """One instant query for all windows: a series each, named by `window` and `what`."""
    return "\nor ".join(
        f'label_replace(label_replace(sum(increase(http_requests_total{{job="{JOB}"{which}}}[{window}])),'
        f' "window", "{window}", "", ""), "what", "{what}", "", "")'
        for window in WINDOWS
        for what, which in (("requests", ""), ("failed", ',status=~"5.."'))
    )


def windows(samples: Iterable[Sample]) -> dict[str, Window]:
    """By window, those that Prometheus knows something of; one without a failed request has no series of them."""
    found = {(one.labels.get("window", ""), one.labels.get("what", "")): one.value for one in samples}
    known = {window: found[window, "requests"] for window in WINDOWS if (window, "requests") in found}
    return {window: Window(requests, found.get((window, "failed"), 0.0)) for window, requests in known.items()}


def judged(known: Mapping[str, Window], slo: float, least_requests: int) -> list[Judged]:
    """Each pair, the most urgent first."""
    found = []
    for pair in PAIRS:
        both = [known[name].burn(slo) if name in known else None for name in (pair.long, pair.short)]
        rates = [rate for rate in both if rate is not None]
        enough = pair.short in known and known[pair.short].requests >= least_requests
        found.append(Judged(pair, min(rates) if len(rates) == 2 else None, enough))
    return found


def sentence(known: Mapping[str, Window], slo: float, least_requests: int) -> tuple[str, str]:
    """Tone and sentence for the whole."""
    promise = f"promised: {100 * slo:.6g} % of requests"
    if not any(one.requests > 0 for one in known.values()):
        return "mute", f"Prometheus has counted no request of job {JOB} in the last 3 days: there is no budget to use up."
    pairs = judged(known, slo, least_requests)
    first = next((one for one in pairs if one.exceeded), None)
    if first is None:
        few = " Too few requests to judge by." if not any(one.enough for one in pairs) else ""
        return ("mute" if few else "good"), f"The error budget lasts: no pair of windows is above its limit ({promise}).{few}"
    over = f"over {WINDOWS[first.pair.long]} and {WINDOWS[first.pair.short]}"
    tone = "bad" if first.pair.what == "page" else "warn"
    act = "act now" if first.pair.what == "page" else "look at it in working hours"
    return tone, f"Errors use up the budget {phrases.number(first.burn, 1)} times too fast ({over}): {act} ({promise})."


def rows(known: Mapping[str, Window], slo: float) -> list[list[str]]:
    """`COLUMNS` for each window."""
    return [
        [
            name,
            phrases.number(known[window].requests),
            phrases.number(known[window].failed),
            phrases.percent(known[window].ratio, 3),
            phrases.number(known[window].burn(slo), 2),
        ]
        if window in known
        else [name, *[phrases.NOTHING] * 4]
        for window, name in WINDOWS.items()
    ]
