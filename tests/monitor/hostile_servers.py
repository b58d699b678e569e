"""All servers of `tests.monitor.faults` at once, as one process of their own: `python -m tests.monitor.hostile_servers FOLDER`.

Prints one line of JSON, `{fault: {"port", "tls", "kind", "code"}}`, writes the CA to FOLDER/ca.pem, and serves until its standard
input ends: so it never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from monitor.wire import ProbeKind
from tests.monitor import misbehaving as bad
from tests.monitor.certs import Authority
from tests.monitor.faults import NO_TLS, PLAIN, TLS


async def serve_all(folder: Path) -> None:
    authority = Authority(folder)
    said: dict[str, dict[str, Any]] = {}
    async with AsyncExitStack() as stack:
        for name, (server, kind, code) in PLAIN.items():
            said[name] = {"port": await stack.enter_async_context(server()), "tls": False, "kind": kind, "code": code}
        for name, (issue, answer, code) in TLS.items():
            port = await stack.enter_async_context(bad.serving(answer, issue(authority).server_context()))
            said[name] = {"port": port, "tls": True, "kind": ProbeKind.live, "code": code}
        for name, (server, code) in NO_TLS.items():
            said[name] = {"port": await stack.enter_async_context(server()), "tls": True, "kind": ProbeKind.live, "code": code}
        good = bad.serving(bad.answers(bad.GOOD), authority.issue().server_context())
        said["a right server"] = {
            "port": await stack.enter_async_context(good),
            "tls": True,
            "kind": ProbeKind.live,
            "code": None,
        }
        print(json.dumps(said), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve_all(Path(sys.argv[1])))
