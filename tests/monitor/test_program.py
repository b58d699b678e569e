"""The program's edges: settings, command line, and what imports what."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from monitor import settings
from tests.monitor.processes import ROOT, free_port

PURE = {
    "verdict": {"monitor.wire"},
    "flapping": set(),
    "histogram": set(),
    "fairness": {"monitor.fleet", "monitor.wire"},
    "sentences": {"monitor.wire"},
}
IMPURE = {
    "asyncio",
    "httpx",
    "socket",
    "ssl",
    "time",
    "os",
    "sqlalchemy",
    "sqlmodel",
    "threading",
    "logging",
    "random",
    "subprocess",
}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("module", PURE)
def test_verdicts_fairness_and_flapping_are_pure(module: str) -> None:
    path = ROOT / "monitor" / f"{module}.py"
    found = imports(path)
    assert {name for name in found if name.startswith("monitor")} <= PURE[module]
    assert not {name.split(".")[0] for name in found} & IMPURE
    assert "now(" not in path.read_text(), "the time is passed in"


def test_the_monitor_imports_nothing_else_of_ours() -> None:
    ours = {name for path in (ROOT / "monitor").rglob("*.py") for name in imports(path)}
    assert not [name for name in ours if name.split(".")[0] in ("backend", "dashboard", "deploy", "tests")]


def test_the_client_and_the_fleet_schema_need_no_server_and_no_database() -> None:
    """The dashboard and deploy import them."""
    servers = "('fastapi', 'sqlmodel', 'uvicorn', 'apscheduler')"
    code = f"import sys, monitor.client, monitor.fleet; print([m for m in {servers} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_ever_switches_verification_off() -> None:
    for path in (ROOT / "monitor").rglob("*.py"):
        assert "verify=False" not in path.read_text(), path
        assert "CERT_NONE" not in path.read_text(), path


def test_an_unknown_setting_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONITOR_PROT", "1")
    with pytest.raises(settings.UnknownSetting, match="MONITOR_PROT"):
        settings.load()


def test_flag_goes_over_environment_over_secret_file_over_dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MONITOR_"):
            monkeypatch.delenv(name)
    assert settings.load().port == 8600
    (tmp_path / ".env").write_text("MONITOR_PORT=1001\nBACKEND_PORT=7\n")
    assert settings.load().port == 1001
    (tmp_path / "secret").write_text("1002\n")
    monkeypatch.setenv("MONITOR_PORT_FILE", str(tmp_path / "secret"))
    assert settings.load().port == 1002
    monkeypatch.setenv("MONITOR_PORT", "1003")
    assert settings.load().port == 1003
    assert settings.load(port=1004, host=None).port == 1004
    with pytest.raises(ValidationError):
        settings.load(port=0)


def program(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
    given = ours | {"PYTHONPATH": str(ROOT), "MONITOR_DATABASE_URL": f"sqlite:///{folder}/monitor.db"} | environment
    command = [sys.executable, "-m", "monitor", *arguments]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=60, check=False)


def test_a_start_that_cannot_succeed_ends_with_one_sentence_and_a_failing_status(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.yaml"
    missing = program("run", "--fleet", str(fleet), folder=tmp_path)
    assert (missing.returncode, "No such file" in missing.stderr) == (1, True)
    fleet.write_text("backends: []\n")
    wrong = program("run", "--fleet", str(fleet), folder=tmp_path)
    assert wrong.returncode == 1
    assert "fleet.yaml:1: backends: " in wrong.stderr
    assert "Traceback" not in wrong.stderr
    fleet.write_text("backends: [{name: b1, url: 'http://127.0.0.1:1', address: '127.0.0.1:1', server_name: b1}]\n")
    assert program("check", "--fleet", str(fleet), folder=tmp_path).returncode == 0
    opened = program("run", "--fleet", str(fleet), "--host", "10.0.0.5", "--port", str(free_port()), folder=tmp_path)
    assert (opened.returncode, "loopback only" in opened.stderr) == (1, True)
    unknown = program("run", "--fleet", str(fleet), folder=tmp_path, MONITOR_TICKS="1")
    assert (unknown.returncode, "MONITOR_TICKS" in unknown.stderr) == (1, True)
    other = program("run", "--fleet", str(fleet), folder=tmp_path, MONITOR_DATABASE_URL="mysql://x/y")
    assert (other.returncode, "SQLite" in other.stderr) == (1, True)
    away = f"postgresql://ann:s3cret@127.0.0.1:{free_port()}/y"
    gone = program("run", "--fleet", str(fleet), folder=tmp_path, MONITOR_DATABASE_URL=away)
    assert (gone.returncode, "refused" in gone.stderr) == (1, True)
    assert "s3cret" not in gone.stderr
    assert "Traceback" not in gone.stderr


def test_a_taken_port_is_a_failing_status(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(
        "backends: [{name: b1, url: 'http://127.0.0.1:1', address: '127.0.0.1:1', server_name: b1}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = program("run", "--fleet", str(tmp_path / "fleet.yaml"), "--port", port, folder=tmp_path)
    assert done.returncode != 0
    assert "address already in use" in done.stderr
