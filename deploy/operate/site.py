"""The fleet that a command is about: that of `make run`, or the one of a fleet file on the machine of its balancer."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import processes
from deploy.layout import RunFolder, run_folder
from deploy.local import requests
from deploy.operate.balancing import Balancing, LocalBalancing, PackagedBalancing, default_reload
from deploy.operate.command import run
from deploy.sentence import Sentence
from monitor.fleet import Backend, BalancerKind, Fleet
from monitor.fleet_file import FleetFileError, read
from monitor.secret import SecretMissing, read_key

WRONG_FLEET = 2
RESTART_S = 300.0


@dataclass(frozen=True)
class Site:
    fleet: Fleet
    fleet_file: Path
    balancing: Balancing | None
    """None: there is no balancer here that must be told"""
    restart: Callable[[Backend], None]
    """Ask that the program be ended by SIGTERM and started again. Raises `Sentence`."""
    key: str

    def backend(self, name: str) -> Backend:
        for backend in self.fleet.backends:
            if backend.name == name:
                return backend
        raise Sentence(f"the fleet has no backend {name!r}: it has {', '.join(one.name for one in self.fleet.backends)}")


def site(options: argparse.Namespace, *, needs_key: bool = True) -> Site:
    """Raises `Sentence`: no fleet runs here, the file is wrong (status 2), or no key can be read."""
    if options.fleet is None:
        return local(run_folder(), key=options.key, needs_key=needs_key)
    fleet_file = options.fleet.absolute()
    fleet = _read(fleet_file)
    return Site(
        fleet, fleet_file, _packaged(fleet, options), _by_command(getattr(options, "restart", None)),
        _key(fleet, fleet_file, options.key) if needs_key else "",
    )  # fmt: skip


def local(run: RunFolder, *, key: str | None = None, needs_key: bool = True) -> Site:
    """The fleet that `make run` started. Raises `Sentence` as `site`."""
    if processes.supervisor(run) is None:
        raise Sentence(f"no fleet runs in {run.path}: `make run` starts one, --fleet names another")
    fleet = _read(run.fleet_file)
    kind = fleet.balancer.kind
    balancing = None if kind is BalancerKind.none else LocalBalancing(kind, run.balancer, lambda: program_pid(run, kind))
    return Site(
        fleet, run.fleet_file, balancing, lambda backend: requests.ask_restart(run, backend.name),
        _key(fleet, run.fleet_file, key) if needs_key else "",
    )  # fmt: skip


def fleet_of(run: RunFolder, options: argparse.Namespace) -> Fleet:
    """The fleet file alone, of a fleet that need not run."""
    return _read(options.fleet.absolute() if options.fleet is not None else run.fleet_file)


def monitor_of(run: RunFolder, options: argparse.Namespace) -> tuple[str, str]:
    """The monitor's URL and an operator's key there. Raises `Sentence` where they are not known."""
    if options.monitor is not None:
        if options.key is None:
            raise Sentence("give an operator's key of the monitor: --key file:PATH", status=WRONG_FLEET)
        return options.monitor, _secret(options.key, run.path)
    try:
        access: dict[str, Any] = json.loads(run.access_file.read_text("utf-8"))
    except (OSError, ValueError):
        raise Sentence(f"no fleet runs in {run.path}: name its monitor with --monitor URL and --key file:PATH") from None
    return access["monitor"], access["keys"]["operator"]


def program_pid(run: RunFolder, name: str) -> int:
    """Process id of a supervised program. Raises `Sentence` where it does not run now."""
    try:
        programs: dict[str, Any] = json.loads(run.programs_file.read_text("utf-8"))
        pid = programs[name]["pid"]
    except (OSError, ValueError, KeyError):
        pid = None
    if pid is None:
        raise Sentence(f"{name} does not run now: `make status` says what does")
    return int(pid)


def _read(fleet_file: Path) -> Fleet:
    try:
        return read(fleet_file)
    except FleetFileError as error:
        raise Sentence(str(error), status=WRONG_FLEET) from None


def _packaged(fleet: Fleet, options: argparse.Namespace) -> Balancing | None:
    kind = fleet.balancer.kind
    if kind is BalancerKind.none:
        return None
    if options.out is None:
        raise Sentence(f"say with --out where `render` wrote the configuration of {kind}", status=WRONG_FLEET)
    command = shlex.split(options.reload) if options.reload else default_reload(kind)
    return PackagedBalancing(kind, options.out.absolute() / kind, command)


def _by_command(command: str | None) -> Callable[[Backend], None]:
    def restart(backend: Backend) -> None:
        if command is None:
            raise Sentence("say with --restart how one backend is restarted", status=WRONG_FLEET)
        host = backend.address.rpartition(":")[0].strip("[]")
        filled = [part.replace("{name}", backend.name).replace("{host}", host) for part in shlex.split(command)]
        run(filled, within_s=RESTART_S)

    return restart


def _key(fleet: Fleet, fleet_file: Path, given: str | None) -> str:
    reference = given or fleet.drain.key
    if reference is None:
        raise Sentence("no key: give `drain: {key: file:PATH}` in the fleet file, or --key file:PATH, of an operator")
    return _secret(reference, fleet_file.parent)


def _secret(reference: str, base: Path) -> str:
    try:
        return read_key(reference, base=base)
    except SecretMissing as error:
        raise Sentence(str(error)) from None
