"""`python -m monitor check`: whether a fleet file is right, or what stands between this machine and one target."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

from monitor import wire
from monitor.diagnosis.diagnose import Subject, diagnose
from monitor.diagnosis.subjects import in_fleet, of_url
from monitor.fleet import Fleet
from monitor.fleet_file import read
from monitor.probe.connection import TrustStore

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

MARKS = {"ok": "ok", "warn": "WARN", "fail": "FAIL", "skipped": "-"}


def add_parser(commands: Commands) -> None:
    check = commands.add_parser("check", help="diagnose one target step by step, or say whether a fleet file is right")
    check.add_argument("target", nargs="?", metavar="URL", help="a URL, or with --fleet a backend's name or `balancer`")
    check.add_argument("--fleet", type=Path, metavar="FILE", help="fleet.yaml: judged alone, or where the target stands")
    check.add_argument("--address", metavar="HOST:PORT", help="where to connect, when it is not the URL's own host")
    check.add_argument("--server-name", metavar="NAME", help="the name to verify, when it is not the URL's host")
    check.add_argument("--ca-file", type=Path, metavar="PEM", help="a CA to trust beside the system's")
    check.add_argument("--service", default="face-auth-system", help="the name that its /health must give")
    check.add_argument("--deadline-s", type=float, default=5.0, help="for each step (default 5)")
    check.add_argument("--allow-address", action="append", default=[], metavar="ADDRESS", help="let a link-local address pass")
    check.add_argument("--json", action="store_true", help="print JSON")


def run(given: argparse.Namespace) -> int:
    """Exit status 0 only where nothing failed. Raises `FleetFileError`, ValueError, `NoSuchTarget`."""
    described = read(given.fleet) if given.fleet else None
    if given.target is None:
        if described is None:
            raise ValueError("give a URL, or --fleet FILE")
        return _say_fleet(given, described)
    subject = _subject(given, described)
    allowed = [*given.allow_address, *(described.allow_addresses if described else ())]
    found = asyncio.run(diagnose(subject, TrustStore(allowed=allowed), deadline_s=given.deadline_s))
    print(found.model_dump_json(indent=2) if given.json else "\n".join(lines(found)))
    return 0 if found.passed else 1


def _subject(given: argparse.Namespace, described: Fleet | None) -> Subject:
    if described is not None and "://" not in given.target:
        return in_fleet(given.target, described)
    return of_url(
        given.target,
        address=given.address,
        server_name=given.server_name,
        ca_file=given.ca_file,
        service=given.service,
        described=described,
        allowed=given.allow_address,
    )


def _say_fleet(given: argparse.Namespace, described: Fleet) -> int:
    if given.json:
        said = {"file": str(given.fleet), "backends": len(described.backends), "balancer": described.balancer.kind}
        print(json.dumps(said))
    else:
        print(f"{given.fleet}: {len(described.backends)} backends, balancer {described.balancer.kind}")
    return 0


def lines(found: wire.Diagnosis) -> list[str]:
    """For a person: one line per step, and below one that failed what to look at next."""
    said = [f"{found.url}  ({found.address}, verified as {found.server_name})"]
    for step in found.steps:
        code = f"{step.code}: " if step.code else ""
        took = f"  {step.took_ms:.0f} ms" if step.took_ms else ""
        said.append(f"  {MARKS[step.status]:5}{step.name:12}{code}{step.detail}{took}")
        if step.timings_ms:
            said.append(f"{'':19}{', '.join(f'{stage} {ms:.1f} ms' for stage, ms in step.timings_ms.items())}")
        if step.look:
            said.append(f"{'':19}next: {step.look}")
    return [*said, found.sentence]
