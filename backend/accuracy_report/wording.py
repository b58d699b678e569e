"""Rates as words: never a bare zero, always of how many, always with their limits."""

from __future__ import annotations

from typing import Any


def of(found: dict[str, Any]) -> str:
    """`2 of 66`."""
    return f"{found['seen']:,} of {found['trials']:,}"


def limits(found: dict[str, Any]) -> str:
    """`3.0 % (0.37–10.5 %)`, `at most 0.14 %`, `at least 97 %`, `no trials`."""
    if not found["trials"]:
        return "no trials"
    if found["seen"] == 0:
        return f"at most {percent(found['high'])} %"
    if found["seen"] == found["trials"]:
        return f"at least {percent(found['low'])} %"
    return f"{percent(found['rate'])} % ({percent(found['low'])}–{percent(found['high'])} %)"


def rate(found: dict[str, Any]) -> str:
    """Both: `0 of 2,079: at most 0.14 %`."""
    return f"{of(found)}: {limits(found)}" if found["trials"] else "no trials"


def by_subject(found: dict[str, Any]) -> str:
    """The limits with other people, or why there are none."""
    drawn = found["by_subject"]
    if not drawn:
        return "no error to draw" if not found["seen"] else "not drawn"
    if not found["seen"]:
        return f"0 of {drawn['people']:,} people: at most {percent(drawn['high'])} %"
    return f"{percent(drawn['low'])}–{percent(drawn['high'])} %"


def percent(share: float) -> str:
    """Two or three significant figures, and never `0` for what is not nothing; 99.97 stays apart from 100."""
    value = share * 100
    if 99 < value < 100:
        return f"{100 - float(f'{100 - value:.2g}'):.4g}"
    return f"{value:.3g}" if value >= 10 else f"{value:.2g}"


def target(share: float) -> str:
    """`1e-03` as it is written in the field: `0.1 %`."""
    return f"{share * 100:g} %"
