"""One request for every cell of docs/permissions.md to running servers: `make permissions-test`."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from backend.wire import Scope
from tests.api.permission_table import COLUMNS, YES, Row, Who, documented
from tests.api.service import Dashboard, make_site, serving
from tests.monitor.test_api import serving as serving_monitor

EXAMPLES = {
    "subject_id": "sub_x",
    "sample_id": "smp_x",
    "case_id": "case_x",
    "key_id": "key_x",
    "scan_id": "scan_x",
    "bulk_id": "bulk_x",
    "name": "b1",
    "alert_id": "alr_x",
    "silence_id": "sil_x",
    "maintenance_id": "mnt_x",
    "check_id": "dchk_x",
}
USELESS: Mapping[str, object] = {"nothing": "of use"}
"""A body that no route takes: it is refused after the caller was let in, and nothing is done."""


@dataclass(frozen=True)
class Asked:
    program: str
    call: str
    who: str
    wanted: str
    got: str

    @property
    def right(self) -> bool:
        return self.got == self.wanted


def every_cell(folder: Path) -> Iterator[Asked]:
    """Asks the backend, then the monitor; `folder` is empty."""
    site = make_site(folder / "backend")
    with serving(site) as service:
        yield from _cells(
            "backend", documented("The backend"), service.url, lambda who: _of_backend(who, site.key, site.dashboard)
        )
    dashboard = Dashboard(folder / "signers.json")
    keys = folder / "keys.json"
    keys.write_text(json.dumps([_monitor_key(scope) for scope in Scope]))
    with serving_monitor(folder, signers_file=dashboard.jwks, keys_file=keys) as url:
        yield from _cells("monitor", documented("The monitor"), url, lambda who: _of_monitor(who, dashboard))


def _cells(program: str, rows: list[Row], url: str, secret_of: Callable[[Who], str | None]) -> Iterator[Asked]:
    secrets = [secret_of(who) for who in COLUMNS]
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        for row in rows:
            for who, secret, wanted in zip(COLUMNS, secrets, row.cells, strict=True):
                yield Asked(program, row.call, who.title, wanted, _got(client, row.call, secret))


def _got(client: httpx.Client, call: str, secret: str | None) -> str:
    """As a cell has it; a refusal with a challenge that is missing, or that should not be there, is named by that."""
    method, path = call.split(" ")
    path = re.sub(r"\{(\w+)\}", lambda name: EXAMPLES[name[1]], path)
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    answer = client.request(method, path, headers=headers, json=USELESS if method in ("POST", "PATCH") else None)
    if answer.status_code not in (401, 403):
        return YES if answer.status_code < 500 or path == "/ready" else str(answer.status_code)
    if (answer.headers.get("www-authenticate") == "Bearer") != (answer.status_code == 401):
        return f"{answer.status_code} with a wrong challenge"
    return f"{answer.status_code} {answer.json()['code']}"


def _of_backend(who: Who, key: Callable[[Scope], str], dashboard: Dashboard) -> str | None:
    if who.word is None:
        return None
    return key(who.word) if who.kind == "key" else dashboard.token(who.word)


def _of_monitor(who: Who, dashboard: Dashboard) -> str | None:
    if who.word is None:
        return None
    return _monitor_secret(who.word) if who.kind == "key" else dashboard.token(who.word, aud="face-auth-monitor")


def _monitor_secret(scope: Scope) -> str:
    return f"fa_monitor_{scope}"


def _monitor_key(scope: Scope) -> dict[str, object]:
    digest = hashlib.sha256(_monitor_secret(scope).encode()).hexdigest()
    return {"id": f"key_{scope}", "name": scope, "sha256": digest, "scopes": [scope]}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="face-auth-") as folder:
        asked = list(every_cell(Path(folder)))
    wrong = [one for one in asked if not one.right]
    for one in wrong:
        print(f"{one.program}  {one.call}  {one.who}: documented {one.wanted}, got {one.got}")
    for wanted in sorted({one.wanted for one in asked}):
        print(f"{wanted:22} {sum(one.wanted == wanted for one in asked):5}")
    print(f"cells={len(asked)} wrong={len(wrong)}")
    return 1 if wrong or not asked else 0


if __name__ == "__main__":
    sys.exit(main())
