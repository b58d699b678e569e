"""A sign of life outwards: only while the monitor is ready, so that its absence is noticed elsewhere."""

from __future__ import annotations

from pathlib import Path

import httpx

from monitor.alerts.notify import TIMEOUT_S, Outcome
from monitor.fleet_alerts import Heartbeat
from monitor.secret import SecretMissing, revealed


async def beat(heartbeat: Heartbeat, *, base: Path) -> Outcome:
    """One POST without a body. Never raises for what it meets, and names no URL."""
    try:
        url = revealed(heartbeat.url, base=base)
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            answer = await client.post(url)
    except SecretMissing as error:
        return Outcome(False, str(error))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Outcome(False, f"no answer: {type(error).__name__}")
    return Outcome(answer.is_success, f"answered {answer.status_code}")
