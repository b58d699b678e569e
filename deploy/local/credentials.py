"""Keys of programs and passwords of people, made once for a run folder by the programs' own commands, and kept in it.

`access.json` (0600) holds what people and scripts need; what a program needs stands in a file of its own below `secrets`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deploy.atomic import write_private
from deploy.layout import RunFolder
from deploy.local import commands
from deploy.local.programs import Programs

KEY_SCOPES = ("admin", "operator", "reviewer", "client")
DASHBOARD = "viewer"
ROLES = ("operator", "reviewer", "supervisor", "admin")
AT_ONCE = 2


class Credentials:
    """What this run folder already has, and the making of what it lacks."""

    def __init__(self, run: RunFolder, programs: Programs) -> None:
        self._run = run
        self._programs = programs
        self._keys_file = run.secrets / "keys.json"
        self._people_file = run.secrets / "people.json"
        self._drain_key = run.drain_key

    def ensure_people(self) -> dict[str, dict[str, str]]:
        """Sign-ins by role, the signing key, its public half and the cookie's secret. Needs no database."""
        programs, run = self._programs, self._run
        commands.run(
            programs.module("dashboard", "keys", "init", "--jwks", programs.signers), environment=programs.people, folder=run.path
        )
        if not Path(programs.cookie_secret).exists():
            write_private(Path(programs.cookie_secret), secrets.token_urlsafe(32))
        people: dict[str, dict[str, str]] = _read(self._people_file)
        for role in ROLES:
            if role not in people:
                people[role] = self._person(role)
                write_private(self._people_file, json.dumps(people))
        return people

    def _person(self, role: str) -> dict[str, str]:
        """One person of that role; known before to the dashboard = an interrupted start: a new password."""
        password = secrets.token_urlsafe(9)
        known = Path(self._programs.people["DASHBOARD_USERS_FILE"])
        exists = known.exists() and f'"{role}"' in self._users_list()
        action = ["passwd", role] if exists else ["add", role, "--role", role]
        self._users(*action, "--password-file", "-", given=password)
        return {"name": role, "password": password}

    def _users_list(self) -> str:
        return self._users("list", "--json")

    def _users(self, *action: str, given: str | None = None) -> str:
        programs = self._programs
        return commands.run(
            programs.module("dashboard", "users", *action), environment=programs.people, folder=self._run.path, given=given
        )

    def ensure_keys(self) -> dict[str, str]:
        """Secrets by scope, the dashboard's own key, and the hashes for the monitor. Needs the migrated database."""
        keys: dict[str, dict[str, str]] = _read(self._keys_file)
        missing = [scope for scope in (*KEY_SCOPES, DASHBOARD) if scope not in keys]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for scope, made in zip(missing, pool.map(self._key, missing), strict=True):
                keys[scope] = {"id": made["id"], "name": made["name"], "secret": made["secret"]}
        if missing:
            write_private(self._keys_file, json.dumps(keys))
        self._hand_out(keys)
        return {scope: keys[scope]["secret"] for scope in KEY_SCOPES}

    def _key(self, scope: str) -> dict[str, Any]:
        programs = self._programs
        name = "dashboard" if scope == DASHBOARD else f"local {scope}"
        return commands.run_json(
            programs.module("backend", "keys", "create", "--name", name, "--scope", scope, "--json"),
            environment=programs.ledger, folder=self._run.path,
        )  # fmt: skip

    def _hand_out(self, keys: Mapping[str, Mapping[str, str]]) -> None:
        hashes = [
            {"id": key["id"], "name": key["name"], "sha256": _sha256(key["secret"]), "scopes": [scope]}
            for scope, key in keys.items()
        ]
        write_private(Path(self._programs.monitor_keys), json.dumps(hashes, indent=1))
        write_private(Path(self._programs.dashboard_key), keys[DASHBOARD]["secret"])
        write_private(self._drain_key, keys["operator"]["secret"])


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    found: dict[str, Any] = json.loads(file.read_text())
    return found
