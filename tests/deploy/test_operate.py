"""`python -m deploy drain | roll | reload` on a fleet that runs behind a real nginx."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.layout import RunFolder
from deploy.local import balancers
from deploy.operate import guard, site, workers
from deploy.operate.balancing import apply
from deploy.render import taken_out
from deploy.sentence import Sentence
from tests.system.load.fleet import client
from tests.system.running_fleet import Fleet, running_fleet

SEVERAL = 30


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if balancers.installed("nginx") is None:
        pytest.skip("nginx is not installed: `make system`")
    with running_fleet(tmp_path_factory.mktemp("operate"), "--balancer", "nginx", "--no-traffic") as running:
        yield running


def said(fleet: Fleet, *arguments: str) -> dict[str, Any]:
    done = fleet.deploy(*arguments, "--json", timeout=200)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def served(fleet: Fleet, requests: int = SEVERAL) -> Counter[str]:
    with client(fleet) as http:
        return Counter(http.get("/v1/subjects?limit=1").headers["x-served-by"] for _ in range(requests))


def balancer_file(fleet: Fleet) -> str:
    return (fleet.run_dir / "balancer" / "nginx-load-balancer.conf").read_text()


def test_a_drained_backend_is_sent_nothing_until_it_is_returned(fleet: Fleet) -> None:
    out = said(fleet, "drain", "b2")
    assert out["told"] is True
    assert out["idle"] is not None
    assert "b2" not in served(fleet)
    with fleet.backend("b2") as api:
        assert api.self().draining
    assert said(fleet, "reload")["taken_out"] == ["b2"]  # a rendering meanwhile does not put it back
    assert "b2" not in served(fleet)
    said(fleet, "drain", "b2", "--return")
    assert served(fleet)["b2"] > 0
    assert not (fleet.run_dir / "balancer" / taken_out.FILE).exists()


def test_two_that_are_taken_out_at_once_are_both_out(fleet: Fleet) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda name: fleet.deploy("drain", name, "--accept-left", "0", timeout=120), ("b1", "b2")))
    try:
        assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
        assert set(served(fleet)) == {"b3"}
    finally:
        for name in ("b1", "b2"):
            said(fleet, "drain", name, "--return")
    assert set(served(fleet)) == {"b1", "b2", "b3"}


def test_once_a_reload_is_done_no_connection_meets_the_old_configuration(fleet: Fleet) -> None:
    """Asked at once: nginx' old workers take connections for a tenth of a second beside the new ones."""
    running = site.local(RunFolder(fleet.run_dir))
    assert running.balancing is not None
    try:
        for name in ("b1", "b2", "b3") * 2:
            apply(running.balancing, running.fleet, frozenset({name}))
            assert name not in served_over_new_connections(fleet)
    finally:
        apply(running.balancing, running.fleet, frozenset())


def served_over_new_connections(fleet: Fleet) -> set[str]:
    with ThreadPoolExecutor(6) as pool:
        return set(pool.map(lambda _: served(fleet, 1).popitem()[0], range(SEVERAL)))


def test_a_reload_that_nginx_does_not_take_is_told(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    master = site.program_pid(RunFolder(fleet.run_dir), "nginx")
    monkeypatch.setattr(workers, "RELOAD_WITHIN_S", 3.0)
    with pytest.raises(Sentence, match=f"process {master}\\) did not take its new configuration"):
        workers.reload_and_wait("nginx", master, lambda: os.kill(master, signal.SIGUSR1))  # opens its logs anew, and no more


def test_the_packages_nginx_is_known_by_its_pid_file_while_it_runs(fleet: Fleet, tmp_path: Path) -> None:
    running = site.program_pid(RunFolder(fleet.run_dir), "nginx")
    for written, found in ((f"{running}\n", running), (str(os.getpid()), None), ("", None)):
        (tmp_path / "nginx.pid").write_text(written)
        assert workers.packaged_nginx(tmp_path / "nginx.pid") == found
    assert workers.packaged_nginx(tmp_path / "none.pid") is None


def test_the_last_ones_are_kept_unless_it_is_said(fleet: Fleet) -> None:
    said(fleet, "drain", "b1")
    try:
        refused = fleet.deploy("drain", "b3", timeout=60)
        assert refused.returncode == 1
        assert "only 1 of 3 would be left (b2) without b3, and 2 are wanted" in refused.stderr
        assert "--accept-left 1" in refused.stderr
        assert served(fleet)["b3"] > 0
        rolled = fleet.deploy("roll", "b3", timeout=60)
        assert rolled.returncode == 1
        assert "only 1 of 3 would be left" in rolled.stderr
    finally:
        said(fleet, "drain", "b1", "--return")


def test_a_strangers_name_is_refused_with_the_names_that_there_are(fleet: Fleet) -> None:
    refused = fleet.deploy("drain", "b9", timeout=60)
    assert refused.returncode == 1
    assert "the fleet has no backend 'b9': it has b1, b2, b3" in refused.stderr


def test_a_changed_fleet_file_is_taken_by_a_reload_and_a_wrong_one_changes_nothing(fleet: Fleet) -> None:
    file = fleet.run_dir / "fleet.yaml"
    before = file.read_text()
    data = yaml.safe_load(before)
    try:
        data["backends"][2]["weight"] = 50
        data["backends"][0]["weight"] = data["backends"][1]["weight"] = 100
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        assert said(fleet, "reload")["changed"] == ["nginx-load-balancer.conf"]
        assert "weight=2" in balancer_file(fleet)
        good = balancer_file(fleet)
        data["balancer"]["cert_file"] = "certs/none.pem"
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        refused = fleet.deploy("reload", timeout=60)
        assert refused.returncode == 1
        assert "nginx refuses its configuration" in refused.stderr
        assert "none.pem" in refused.stderr
        assert balancer_file(fleet) == good
        file.write_text("version: 1\nbackends: 7\n")
        wrong = fleet.deploy("reload", timeout=60)
        assert wrong.returncode == 2
        assert wrong.stderr.startswith("deploy reload: fleet.yaml:2: backends")
        assert sum(served(fleet).values()) == SEVERAL
    finally:
        file.write_text(before)
        said(fleet, "reload")


def test_a_roll_of_one_restarts_it_alone_and_at_once(fleet: Fleet) -> None:
    before = {name: fleet.pid_of(name) for name in ("b1", "b2", "b3")}
    (rolled,) = said(fleet, "roll", "b2")["rolled"]
    after = {name: fleet.pid_of(name) for name in before}
    assert rolled["name"] == "b2"
    assert after["b2"] != before["b2"]
    assert (after["b1"], after["b3"]) == (before["b1"], before["b3"])


def test_without_a_fleet_it_says_so(tmp_path: Path, fleet: Fleet) -> None:
    nowhere = Fleet(tmp_path / "nowhere", fleet.offset)
    for command in (["drain", "b1"], ["roll"], ["reload"]):
        done: subprocess.CompletedProcess[str] = nowhere.deploy(*command, timeout=60)
        assert done.returncode == 1
        assert "no fleet runs in" in done.stderr


@pytest.mark.parametrize(
    ("ready", "accept_left", "refused"),
    [
        ({"a": True, "b": True, "c": True}, None, False),
        ({"a": True, "b": True, "c": False}, None, True),
        ({"a": True, "b": True, "c": False}, 1, False),
        ({"a": True}, None, True),
        ({"a": True}, 0, False),
        ({"a": False, "b": True}, None, False),
        ({"a": True, "b": True, "c": True, "d": True}, 4, True),
    ],
)
def test_who_would_be_left_is_counted_without_the_one_that_goes(
    ready: dict[str, bool], accept_left: int | None, refused: bool
) -> None:
    if refused:
        with pytest.raises(Sentence, match="would be left"):
            guard.refuse("a", ready, accept_left=accept_left)
    else:
        guard.refuse("a", ready, accept_left=accept_left)


@pytest.mark.parametrize(("kind", "reason"), [("cut", "NET.TIMEOUT.TLS"), ("reset", "NET.RESET"), ("freeze", "NET.TIMEOUT")])
def test_a_rehearsed_fault_is_seen_by_the_monitor_and_over_afterwards(fleet: Fleet, kind: str, reason: str) -> None:
    before = (fleet.run_dir / "fleet.yaml").read_text()
    changes = said(fleet, "chaos", kind, "b3", "--seconds", "25")["changes"]
    assert changes[0]["state"] == "UP"
    assert any(change["state"] == "DOWN" and change["reason"].startswith(reason) for change in changes), changes
    assert changes[-1]["state"] == "UP"
    assert (fleet.run_dir / "fleet.yaml").read_text() == before
    assert served(fleet)["b3"] > 0


def test_a_slow_backend_stays_up_and_its_clients_wait(fleet: Fleet) -> None:
    changes = said(fleet, "chaos", "slow", "b3", "--seconds", "8", "--delay-ms", "50")["changes"]
    assert {change["state"] for change in changes} <= {"UP", "UNKNOWN"}  # an address that is new was not probed yet
    assert changes[-1]["state"] == "UP"


def test_the_distribution_is_verified_through_the_balancer_and_from_the_logs(fleet: Fleet) -> None:
    check = said(fleet, "verify-distribution", "--requests", "60")
    assert check["answered"] == 60
    assert {share["backend"] for share in check["shares"] if share["requests"]} == {"b1", "b2", "b3"}
    served(fleet)
    logged = said(fleet, "verify-distribution", "--from-logs")
    assert sum(share["requests"] for share in logged["shares"]) >= SEVERAL
    assert all(share["requests"] for share in logged["shares"])
