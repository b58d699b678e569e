"""The units as systemd itself judges them, and the rotation of logs as logrotate does it beside a backend that writes."""

from __future__ import annotations

import getpass
import grp
import logging
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import backend.settings
import dashboard.settings
import monitor.settings
from backend.logs import ACCESS, logging_to
from deploy.layout import ROOT
from deploy.render import folder, systemd
from monitor.fleet import Fleet
from monitor.fleet_file import read
from monitor.fleet_observability import Systemd
from tests.deploy.fleets import eventually
from tests.deploy.test_prometheus import EXAMPLE, need_tool, refused_with_its_line

UNITS = (
    "face-auth-backend@worker1.service",
    "face-auth-migrate.service",
    "face-auth-monitor.service",
    "face-auth-dashboard.service",
)
MOST_EXPOSED = 2.0
"""of 10, as `systemd-analyze security` counts it; a unit without any hardening has 9.6"""
PROGRAMS = {"BACKEND": backend.settings, "MONITOR": monitor.settings, "DASHBOARD": dashboard.settings}


def example(**changes: object) -> Fleet:
    return read(EXAMPLE).model_copy(update={"systemd": Systemd(**changes)})  # type: ignore[arg-type]


def installed(root: Path, of: Fleet) -> Path:
    """A root folder with the units and everything that they name: what `systemd-analyze --root` looks at."""
    section = of.systemd
    assert section is not None
    units = root / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for name, text in systemd.documents(of).items():
        if name.suffix == ".service":
            (units / name.name).write_text(text)
    for target in Path("/lib/systemd/system").glob("*.target"):
        shutil.copy(target, units)
    python = root / section.install_dir.lstrip("/") / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    return root


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [need_tool("systemd-analyze"), "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def verified(root: Path) -> str:
    """What systemd has to say against the units: nothing, if all is well."""
    done = analyze("verify", f"--root={root}", "--man=no", *UNITS)
    return done.stderr if done.returncode == 0 or done.stderr else f"status {done.returncode}"


def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    assert verified(installed(tmp_path, example())) == ""


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("TimeoutStopSec=", "TimeoutStopSecs=", "Unknown key 'TimeoutStopSecs'"),
        ("/opt/face-auth/.venv/bin/python -m", "/opt/face-auth/.venv/bin/pythn -m", "is not executable"),
        ("ProtectSystem=strict", "ProtectSystem=very", "Failed to parse protect system value"),
    ],
)
def test_systemd_notices_what_would_be_wrong_with_a_unit(before: str, after: str, said: str, tmp_path: Path) -> None:
    root = installed(tmp_path, example())
    unit = root / "etc" / "systemd" / "system" / "face-auth-backend@.service"
    text = unit.read_text()
    assert before in text
    unit.write_text(text.replace(before, after))
    assert said in verified(root)


@pytest.mark.parametrize("unit", [unit for unit in UNITS if "migrate" not in unit])
def test_the_units_are_hardened(unit: str, tmp_path: Path) -> None:
    root = installed(tmp_path, example())
    done = analyze("security", f"--root={root}", "--offline=yes", unit)
    exposed = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposed, done.stdout + done.stderr
    assert float(exposed[1]) <= MOST_EXPOSED, done.stdout


@pytest.mark.parametrize(("drain_s", "graceful_timeout_s"), [(5, 20), (0, 0.5), (120, 600)])
def test_systemd_waits_longer_than_an_orderly_end_takes_and_the_backend_is_told_both_times(
    drain_s: float, graceful_timeout_s: float
) -> None:
    text = systemd.documents(example(drain_s=drain_s, graceful_timeout_s=graceful_timeout_s))[
        systemd.FOLDER / "face-auth-backend@.service"
    ]
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[1]) >= drain_s + graceful_timeout_s + 5  # type: ignore[index]
    assert f"BACKEND_DRAIN_S={drain_s:g} BACKEND_GRACEFUL_TIMEOUT_S={graceful_timeout_s:g}" in text
    assert "SuccessExitStatus=143" in text
    assert "KillSignal=SIGTERM" in text


def test_what_the_units_set_are_settings_of_the_programs_and_what_they_start_is_a_command() -> None:
    found = 0
    for name, text in systemd.documents(example()).items():
        for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE):
            for variable in re.findall(r"\b((?:BACKEND|MONITOR|DASHBOARD)_\w+)=", line):
                prefix, _, field = variable.partition("_")
                assert field.lower() in PROGRAMS[prefix].Settings.model_fields, f"{name}: {variable}"
                found += 1
        for command in re.findall(r"^ExecStart=\S+ -m (\w+ \w+)", text, re.MULTILINE):
            helped = subprocess.run(
                [ROOT / ".venv" / "bin" / "python", "-m", *command.split(), "--help"], cwd=ROOT, capture_output=True, check=False
            )
            assert helped.returncode == 0, command
    assert found >= 9


def test_each_program_runs_as_an_account_of_its_own_and_systemd_makes_all_of_them(tmp_path: Path) -> None:
    of = example()
    users = {
        name: re.search(r"^User=(.+)$", text, re.MULTILINE)[1]  # type: ignore[index]
        for name, text in systemd.documents(of).items()
        if name.suffix == ".service" and "migrate" not in name.name
    }
    assert len(set(users.values())) == 3
    config = tmp_path / "etc" / "sysusers.d" / "face-auth.conf"
    config.parent.mkdir(parents=True)
    config.write_text(systemd.documents(of)[systemd.FOLDER / "face-auth.sysusers.conf"])
    if os.geteuid() != 0:
        pytest.skip("only root may make accounts")
    done = subprocess.run([need_tool("systemd-sysusers"), f"--root={tmp_path}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = (tmp_path / "etc" / "passwd").read_text()
    assert all(f"{user}:" in made for user in users.values())


def logrotate() -> str:
    found = shutil.which("logrotate", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip("logrotate is not installed: `make system`")
    return found


def test_logs_are_rotated_without_losing_a_line_and_without_a_signal(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    config = _rotation(tmp_path, logs)
    written = 800
    with logging_to(logs, level="INFO", form="plain"):
        for number in range(written):
            logging.getLogger(ACCESS).info("Request completed", extra={"fields": {"n": number}})
            if number % 100 == 50:
                eventually(lambda: (logs / "access.log").exists(), within_s=10)
                _rotate(config, tmp_path)
    numbers = sorted(int(found) for file in logs.glob("access.log*") for found in re.findall(r"\bn=(\d+)", _text(file)))
    assert numbers == list(range(written)), "every line is there once"
    assert len(list(logs.glob("access.log.*"))) >= 2, "nothing was rotated"


def _rotation(where: Path, logs: Path) -> Path:
    """The rendered file, for a folder and an account of this test."""
    account = getpass.getuser()
    group = grp.getgrgid(os.getgid()).gr_name
    text = systemd.documents(example(keep_logs_days=100))[systemd.FOLDER / "face-auth.logrotate"]
    text = text.replace("/var/log/face-auth", str(logs)).replace("su face-auth face-auth", f"su {account} {group}")
    assert "copytruncate" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^ *date(ext|format).*\n", "", text, flags=re.MULTILINE)  # several rotations within one second
    config = where / "face-auth.logrotate"
    config.write_text(text)
    config.chmod(0o644)
    return config


def _rotate(config: Path, where: Path) -> None:
    command = [logrotate(), "--force", "--state", str(where / "state"), str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


def _text(file: Path) -> str:
    if file.suffix == ".gz":
        return subprocess.run(["gzip", "-dc", str(file)], capture_output=True, text=True, check=True).stdout
    return file.read_text()


MISTAKES = {
    "a log folder where systemd makes none": (
        "log_dir: /var/log/face-auth", "log_dir: /srv/logs", "systemd.log_dir", "nearest: /var/log/logs",
    ),
    "a program in somebody's home": (
        "install_dir: /opt/face-auth", "install_dir: /home/ann/face-auth", "systemd.install_dir", "nearest: /opt/face-auth",
    ),
    "a relative path": ("config_dir: /etc/face-auth", "config_dir: etc", "systemd.config_dir", "give an absolute path"),
    "one account for two programs": (
        "  log_dir: /var", "  dashboard_user: face-auth\n  log_dir: /var", "systemd.dashboard_user", "an account for each",
    ),
    "an account that is none": (
        "  log_dir: /var", "  backend_user: Face Auth\n  log_dir: /var", "systemd.backend_user", "match pattern",
    ),
    "a wait without an end": ("  log_dir: /var", "  drain_s: .inf\n  log_dir: /var", "systemd.drain_s", "finite"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "place", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_its_line_and_the_output_folder_stays_as_it_was(
    before: str, after: str, place: str, said: str, tmp_path: Path
) -> None:
    refused_with_its_line((before, after), place, said, tmp_path, only="systemd")


def test_the_files_are_written_beside_each_other(tmp_path: Path) -> None:
    folder.write_all(tmp_path, systemd.documents(example()))
    assert sorted(file.name for file in (tmp_path / "systemd").iterdir()) == sorted(systemd.FILES)
