"""Once the database answers: its schema, and the keys of programs."""

from __future__ import annotations

import json

from deploy.atomic import write_private
from deploy.containers import fleet_file
from deploy.containers.places import BACKENDS, HTTPS_PORT, give, programs, run_folder
from deploy.local import commands
from deploy.local.credentials import Credentials
from deploy.say import aloud


def run() -> None:
    """Raises `Sentence`: a command of ours failed; its words say why."""
    run = run_folder()
    known = programs(run)
    aloud("Preparing the ledger …")
    commands.run(known.module("backend", "migrate"), environment=known.ledger, folder=run.path)
    give("backend", "master.key", run.master_key.read_bytes())
    give("backend", "database-url", known.ledger["BACKEND_DATABASE_URL"])
    credentials = Credentials(run, known)
    keys = credentials.ensure_keys()
    give("monitor", "monitor-keys.json", (run.secrets / "monitor-keys.json").read_bytes())
    give("monitor", "drain.key", run.drain_key.read_bytes())
    give("dashboard", "dashboard.key", (run.secrets / "dashboard.key").read_bytes())
    access = {
        "balancer": f"https://localhost:{HTTPS_PORT}",
        "backends": {name: f"https://{name}:8000" for name in BACKENDS},
        "monitor": "http://monitor:8600",
        "dashboard": f"https://{fleet_file.DASHBOARD_HOST}:{HTTPS_PORT}",
        "ca": str(run.ca_file),
        "keys": keys,
        "sign_ins": credentials.ensure_people(),
    }
    write_private(run.access_file, json.dumps(access, indent=2) + "\n")
