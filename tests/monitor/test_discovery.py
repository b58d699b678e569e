"""One backend per address of a name: how the monitor follows the pods of a cluster."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor import discovery
from monitor.fleet_file import FleetFileError, read

FLEET = """\
backends:
  - name: pod
    url: https://face-auth-pods.face-auth.svc:8000
    address: face-auth-pods.face-auth.svc:8000
    server_name: face-auth-service.face-auth.svc
    ca_file: ca.pem
    weight: 50
  - {name: fixed, url: "http://10.9.9.9:8000", address: "10.9.9.9:8000", server_name: fixed}
probes: {fall: 5}
"""


def written(folder: Path, text: str = FLEET) -> tuple[Path, Path]:
    source, out = folder / "fleet.yaml", folder / "run" / "fleet.yaml"
    out.parent.mkdir()
    source.write_text(text)
    return source, out


def test_each_address_of_a_name_is_a_backend_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    source, out = written(tmp_path)
    assert discovery.refresh(source, out, lambda host, port: ["10.1.0.7", "10.1.0.8", "fd00::1"])
    found = read(out)
    assert [(one.name, one.address) for one in found.backends] == [
        ("pod-10-1-0-7", "10.1.0.7:8000"),
        ("pod-10-1-0-8", "10.1.0.8:8000"),
        ("pod-fd00--1", "[fd00::1]:8000"),
        ("fixed", "10.9.9.9:8000"),
    ]
    first = found.backends[0]
    assert (first.url, first.server_name, first.weight) == ("https://10.1.0.7:8000", "face-auth-service.face-auth.svc", 50)
    assert first.ca_file == tmp_path / "ca.pem", "a path is still below the folder of the file in which it was written"
    assert found.probes.fall == 5


def test_the_file_follows_the_pods_and_is_left_alone_while_nothing_changes(tmp_path: Path) -> None:
    source, out = written(tmp_path)
    discovery.refresh(source, out, lambda host, port: ["10.1.0.7", "10.1.0.8"])
    before = out.stat()
    discovery.refresh(source, out, lambda host, port: ["10.1.0.7", "10.1.0.8"])
    assert out.stat().st_ino == before.st_ino
    discovery.refresh(source, out, lambda host, port: ["10.1.0.9"])
    assert [one.name for one in read(out).backends] == ["pod-10-1-0-9", "fixed"]


def test_a_name_service_that_is_away_leaves_the_last_known_fleet(tmp_path: Path) -> None:
    alone = FLEET.replace('  - {name: fixed, url: "http://10.9.9.9:8000", address: "10.9.9.9:8000", server_name: fixed}\n', "")
    source, out = written(tmp_path, alone)
    assert not discovery.refresh(source, out, lambda host, port: [])
    assert not out.exists()
    assert discovery.refresh(source, out, lambda host, port: ["10.1.0.7"])
    kept = out.read_bytes()
    assert not discovery.refresh(source, out, lambda host, port: [])
    assert out.read_bytes() == kept


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.svc"])
def test_what_is_no_name_at_all_has_no_address(host: str) -> None:
    assert discovery.addresses(host, 8000) == []


def test_an_address_where_no_backend_can_be_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    source, out = written(tmp_path)
    with pytest.raises(FleetFileError, match=r"backends\.0"):
        discovery.refresh(source, out, lambda host, port: ["169.254.169.254"])
    assert list(out.parent.iterdir()) == []


def test_the_command_looks_names_up_for_real_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    source, out = written(tmp_path, FLEET.replace("face-auth-pods.face-auth.svc:8000", "localhost:8000"))
    command = [sys.executable, "-m", "monitor", "discover", "--fleet", source, "--out", out, "--every-s", "0.1"]
    with subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 30
        while not out.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "pod-127-0-0-1" in [one.name for one in read(out).backends]
