"""The parts of a local fleet: ports, engine, certificates, the fleet file, balancers found, the run folder deleted."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from deploy import layout, processes
from deploy.layout import ROOT, Ports, RunFolder
from deploy.local import balancers, engine_choice, fleet_file
from deploy.local.certificates import LocalCa
from deploy.local.engine_choice import EngineChoice
from deploy.sentence import Sentence
from monitor.fleet import Fleet
from tests.deploy.fleets import free_port
from tests.deploy.small_backend import SmallBackend


def deploy(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy", *arguments], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def test_the_offset_is_added_to_every_port_and_no_two_are_the_same() -> None:
    plain, moved = Ports().needed("nginx"), Ports(100).needed("nginx")
    assert set(plain.values()) == {8001, 8002, 8003, 8443, 8088, 8080, 8600, 8501}
    assert {name: port + 100 for name, port in plain.items()} == moved
    assert Ports().needed("haproxy")["HAProxy's stats page"] == 8404


@pytest.mark.parametrize("offset", ["many", "60000", "-9000", "1.5"])
def test_an_offset_that_cannot_be_is_refused(offset: str) -> None:
    with pytest.raises(Sentence, match="FLEET_PORT_OFFSET"):
        layout.ports({"FLEET_PORT_OFFSET": offset})


def test_a_taken_port_is_named_with_its_owner_and_nothing_is_left_running(tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        offset = port - 8600
        done = deploy(
            "up", "--detach", "--balancer", "none", FLEET_RUN_DIR=str(tmp_path / "run"), FLEET_PORT_OFFSET=str(offset)
        )  # fmt: skip
    assert done.returncode == 1
    assert f"port {port} for the monitor is taken by process {os.getpid()}" in done.stderr
    assert "FLEET_PORT_OFFSET=" in done.stderr
    assert processes.members(RunFolder(tmp_path / "run")) == []
    assert processes.supervisor(RunFolder(tmp_path / "run")) is None


def test_the_engine_of_the_first_run_stays_and_another_is_refused_with_the_reason(tmp_path: Path) -> None:
    record, pack = tmp_path / "engine.json", tmp_path / "pack"
    pack.mkdir()
    assert engine_choice.choose(record, engine=None, pack=None) == EngineChoice("offline")
    assert engine_choice.choose(record, engine="offline", pack=None) == EngineChoice("offline")
    with pytest.raises(Sentence, match="cannot be compared") as refused:
        engine_choice.choose(record, engine="insightface", pack=pack)
    assert "gallery" in str(refused.value)
    assert engine_choice.choose(record, engine=None, pack=None) == EngineChoice("offline")


def test_insightface_needs_a_pack_at_first_and_remembers_it(tmp_path: Path) -> None:
    record, pack = tmp_path / "engine.json", tmp_path / "pack"
    with pytest.raises(Sentence, match="PACK=FOLDER"):
        engine_choice.choose(record, engine="insightface", pack=None)
    assert not record.exists()
    pack.mkdir()
    chosen = engine_choice.choose(record, engine="insightface", pack=pack)
    assert engine_choice.choose(record, engine=None, pack=None) == chosen
    assert engine_choice.choose(record, engine="insightface", pack=None) == chosen


def test_leaves_verify_strictly_for_every_name_and_keys_are_private(tmp_path: Path) -> None:
    certificate, key = LocalCa(tmp_path).leaf("b1", ["b1.face-auth.internal", fleet_file.BACKENDS_NAME])
    server = SmallBackend("b1", certificate, key)
    server.start()
    try:
        for name in ("127.0.0.1", "localhost", "b1.face-auth.internal", fleet_file.BACKENDS_NAME):
            context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain:
                context.wrap_socket(plain, server_hostname=name).close()
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            ssl.create_default_context(cafile=str(tmp_path / "ca.pem")).wrap_socket(
                plain, server_hostname="b2.face-auth.internal"
            )
    finally:
        server.stop()
    private = [file for file in tmp_path.iterdir() if b"PRIVATE KEY" in file.read_bytes()]
    assert {file.name for file in private} == {"b1-key.pem", "ca-private.pem"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in private)


def test_a_certificate_is_kept_while_it_lasts_and_made_anew_when_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, _ = LocalCa(tmp_path).leaf("b1", ["b1.internal"])
    first = certificate.read_bytes()
    LocalCa(tmp_path).leaf("b1", ["b1.internal"])
    assert certificate.read_bytes() == first
    LocalCa(tmp_path).leaf("b1", ["other.internal"])
    second = certificate.read_bytes()
    assert second != first, "another name needs another certificate"
    monkeypatch.setattr("deploy.local.certificates.RENEW_BELOW_DAYS", 91)
    LocalCa(tmp_path).leaf("b1", ["other.internal"])
    assert certificate.read_bytes() != second
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    assert x509.load_pem_x509_certificate(certificate.read_bytes()).issuer == ca.subject


@pytest.mark.parametrize("kind", ["nginx", "haproxy", "none"])
def test_the_fleet_file_is_valid_and_its_paths_lie_in_the_run_folder(kind: str, tmp_path: Path) -> None:
    fleet = Fleet.from_data(fleet_file.fleet_data(RunFolder(tmp_path), Ports(200), kind), base=tmp_path)
    assert [backend.address for backend in fleet.backends] == ["127.0.0.1:8201", "127.0.0.1:8202", "127.0.0.1:8203"]
    assert fleet.backends[0].ca_file == tmp_path / "certs" / "ca.pem"
    assert fleet.probes.fall * fleet.probes.interval_s + 2 < 12, "a fault must be seen before the supervisor mends it"


def test_a_program_in_sbin_is_found_by_who_has_only_bin_on_path(tmp_path: Path) -> None:
    for folder in ("usr/bin", "usr/sbin", "poor/bin"):
        (tmp_path / folder).mkdir(parents=True)
    nginx = tmp_path / "usr" / "sbin" / "nginx"
    nginx.write_text("#!/bin/sh\n")
    nginx.chmod(0o755)
    assert balancers.installed("nginx", str(tmp_path / "usr" / "bin")) == str(nginx)
    assert balancers.installed("nginx", str(tmp_path / "poor" / "bin")) is None


def test_a_missing_balancer_that_was_asked_for_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert balancers.choose("auto") == "none"
    with pytest.raises(Sentence, match="make system"):
        balancers.choose("haproxy")


def test_clean_deletes_what_a_run_made_and_nothing_else(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.create()
    engine_choice.choose(run.engine_file, engine=None, pack=None)
    (run.path / "notes.txt").write_text("mine")
    asked = deploy("clean", FLEET_RUN_DIR=str(run.path))
    assert asked.returncode == 1
    assert run.data.exists(), "without --yes and without a terminal nothing is deleted"
    assert deploy("clean", "--yes", FLEET_RUN_DIR=str(run.path)).returncode == 0
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_clean_refuses_a_folder_that_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "thesis.txt").write_text("ten years")
    refused = deploy("clean", "--yes", FLEET_RUN_DIR=str(tmp_path))
    assert refused.returncode == 1
    assert "nothing was deleted" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "thesis.txt"]


def test_the_owner_of_a_port_is_named() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert processes.owner(free_port()) is None
        server.listen()
        port = server.getsockname()[1]
        assert not processes.is_free(port)
        owner = processes.owner(port)
    assert owner is not None
    assert owner.startswith(f"process {os.getpid()} ")
