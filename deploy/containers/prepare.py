"""Before anything starts: the CA, a certificate per listener, secrets, sign-ins, the fleet file, the balancer's configuration."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from deploy.atomic import write_private
from deploy.containers import fleet_file
from deploy.containers.places import (
    BACKENDS,
    BALANCER_UID,
    HTTPS_PORT,
    MOUNTED,
    SHARES,
    give,
    own,
    password_file,
    programs,
    run_folder,
    share,
)
from deploy.layout import ROOT, RunFolder
from deploy.local.certificates import LocalCa
from deploy.local.credentials import Credentials
from deploy.render import alertmanager, documents, prometheus
from deploy.render.place import Place
from deploy.say import aloud
from monitor.fleet import Fleet

GRAFANA = {"datasource.yaml": "provisioning/datasources", "boards.yaml": "provisioning/dashboards", "face-auth.json": "boards"}


def run() -> None:
    """Raises `Sentence`: a command of ours failed."""
    run = run_folder()
    for name in SHARES:
        share(name).mkdir(parents=True, exist_ok=True)
    own("logs", BALANCER_UID)  # the balancer writes into it, the monitor reads
    _certificates(run)
    _once(password_file(run), secrets.token_urlsafe(24))
    give("postgres", "password", password_file(run).read_bytes())
    _balancer(run)
    _observability(run)
    people = Credentials(run, programs(run)).ensure_people()
    _give(run)
    aloud(f"Dashboard: https://{fleet_file.DASHBOARD_HOST}:{HTTPS_PORT}/ (its CA: certs/ca.pem of the volume `fleet`)")
    for role, person in people.items():
        aloud(f"  {role:10} name {person['name']:10} password {person['password']}")


def _certificates(run: RunFolder) -> None:
    ca = LocalCa(run.certificates)
    for name in BACKENDS:
        ca.leaf(name, [fleet_file.server_name(name), fleet_file.BACKENDS_NAME, name])
    ca.leaf("balancer", [fleet_file.BALANCER_NAME, fleet_file.DASHBOARD_HOST, "balancer"])
    ca.combined("balancer")


def _balancer(run: RunFolder) -> None:
    """Both kinds' files, side by side: which one runs is the profile's choice."""
    place = Place(packaged=False, folder=MOUNTED, temporary=Path("/tmp"), read_only=True)  # noqa: S108 - a tmpfs of the container's own
    for kind in ("nginx", "haproxy"):
        fleet = Fleet.from_data(fleet_file.fleet_data(kind), base=MOUNTED)
        for name, text in documents.local_documents(fleet, place).items():
            give("balancer", str(name), text)
    for file in ("balancer-cert.pem", "balancer-key.pem", "balancer-combined.pem", "ca.pem"):
        give("balancer", file, (run.certificates / file).read_bytes())


def _observability(run: RunFolder) -> None:
    """Scrape configuration, rules, receivers, and Grafana's board, for the profile of that name."""
    fleet = Fleet.from_data(fleet_file.fleet_data(), base=MOUNTED)
    for name, text in (prometheus.documents(fleet) | alertmanager.documents(fleet)).items():
        give("observability", str(name.relative_to(prometheus.FOLDER)), text)
    boards = ROOT / "deploy" / "grafana"
    for file, where in GRAFANA.items():
        give("observability", f"grafana/{where}/{file}", (boards / file).read_bytes())
    give("observability", "ca.pem", run.ca_file.read_bytes())


def _give(run: RunFolder) -> None:
    fleet = json.dumps(fleet_file.fleet_data(), indent=1)  # JSON is YAML
    give("monitor", "fleet.yaml", fleet)
    give("monitor", "ca.pem", run.ca_file.read_bytes())
    give("monitor", "signers.json", (run.secrets / "signers.json").read_bytes())
    give("backend", "ca.pem", run.ca_file.read_bytes())
    give("backend", "signers.json", (run.secrets / "signers.json").read_bytes())
    for name in BACKENDS:
        for part in ("cert", "key"):
            give("backend", f"{name}-{part}.pem", (run.certificates / f"{name}-{part}.pem").read_bytes())
    give("dashboard", "ca.pem", run.ca_file.read_bytes())
    for file in ("dashboard-signing.pem", "dashboard-cookie.secret"):
        give("dashboard", file, (run.secrets / file).read_bytes())
    if not (share("dashboard") / "users.json").exists():  # from then on it is the dashboard's own
        give("dashboard", "users.json", (run.secrets / "users.json").read_bytes())


def _once(file: Path, content: str) -> None:
    if not file.exists():
        write_private(file, content)
