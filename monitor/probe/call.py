"""A request to the API of a backend, with a key and marked as synthetic: so that it counts in no share, mix or rate limit."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

from monitor.probe.connection import Answered, BodyTooLarge, StageClock, Target, TrustFileUnreadable, TrustStore, connection
from monitor.probe.outcome import Reason
from monitor.probe.reasons import of_exception, of_timeout

MAX_ANSWER_BYTES = 256 * 1024
MARK = {"X-Synthetic": "1"}


async def call(
    path: str,
    target: Target,
    trust: TrustStore,
    *,
    key: str | None,
    body: Any = None,
    deadline_s: float,
    method: Literal["GET", "POST"] = "POST",
) -> Answered | Reason:
    """Send `body` as JSON, where there is one; the answer whatever its status, or why none came. Never raises (but for
    cancellation)."""
    clock = StageClock()
    headers = dict(MARK)
    content = None if body is None else json.dumps(body).encode()
    if content is not None:
        headers["Content-Type"] = "application/json"
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    try:
        async with asyncio.timeout(deadline_s), connection(target, trust) as opened:
            return await opened.ask(method, path, clock=clock, max_bytes=MAX_ANSWER_BYTES, headers=headers, content=content)
    except TimeoutError:
        return of_timeout(clock.stage, deadline_s)
    except TrustFileUnreadable as error:
        return Reason("MON.TRUST", str(error))
    except BodyTooLarge as error:
        return Reason("APP.BODY", str(error))
    except Exception as error:  # as in a probe: every foreign exception becomes a value
        return of_exception(error, clock.stage)
