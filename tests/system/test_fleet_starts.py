"""`up` and `down` as a new user meets them: all starts in time, the second start finds its data, nothing is left behind."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.system.running_fleet import ROOT, Fleet, eventually, free_offset

pytestmark = pytest.mark.timeout(900)

FIRST_START_S = 60
SECOND_START_S = 25
SCORE_TOLERANCE = 0.001
PROGRAMS_LEFT_OUT = {"make", "nginx", "haproxy"}


@pytest.fixture(scope="module")
def twice_started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("run"), free_offset())
    try:
        yield fleet
    finally:
        fleet.down()


def test_the_fleet_starts_finds_its_data_again_and_leaves_nothing_behind(twice_started: Fleet) -> None:
    fleet = twice_started
    first = fleet.up("--no-traffic")
    assert first["backends_up"] == 3
    assert first["cases_before_demo"] == 0
    assert first["open_cases"] >= 3
    compared = _assert_each_case_is_what_verification_says(fleet)
    cases = _open_case_ids(fleet)
    _stop_and_look_for_remains(fleet)

    second = fleet.up("--no-traffic")
    assert second["backends_up"] == 3
    assert _open_case_ids(fleet) == cases
    _stop_and_look_for_remains(fleet)
    print(
        f"\nbackends_up={first['backends_up']} open_cases={first['open_cases']} pairs_compared={compared} "
        f"install_s={first['install_s']} start_s={first['start_s']} second_start_s={second['start_s']}"
    )
    assert first["start_s"] <= FIRST_START_S
    assert second["start_s"] <= SECOND_START_S


def _open_case_ids(fleet: Fleet) -> set[str]:
    with fleet.backend() as api:
        return {case.id for case in api.cases(limit=100).items}


def _assert_each_case_is_what_verification_says(fleet: Fleet) -> int:
    """The crops of each pair, verified on the next replica; how many pairs were compared."""
    names = list(fleet.access["backends"])
    compared = 0
    with fleet.backend() as queue:
        for number, summary in enumerate(queue.cases(limit=100).items):
            case = queue.case(summary.id)
            for pair in case.pairs:
                crops = [queue.sample_image(side.subject_id, side.sample_id) for side in (pair.a, pair.b)]
                with fleet.backend(names[number % len(names)]) as replica:
                    said = replica.verify(crops[0], reference_image=crops[1])
                assert abs(said.score - pair.score) <= SCORE_TOLERANCE, (case.id, said.score, pair.score)
                compared += 1
    assert compared >= 3
    return compared


def _stop_and_look_for_remains(fleet: Fleet) -> None:
    assert fleet.processes(), "the fleet's processes cannot be told apart: this check would prove nothing"
    fleet.down()
    remains, _ = eventually(lambda: [not fleet.processes() and not fleet.ports_accepting()], within_s=10)
    assert remains
    assert fleet.processes() == []
    assert fleet.ports_accepting() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_without_make_and_balancers_gets_the_same(tmp_path: Path) -> None:
    """A fresh clone as `nobody`, its own environment installed, with neither make nor nginx nor HAProxy on PATH."""
    home = Path("/var/tmp") / f"face-auth-{os.getpid()}"  # noqa: S108 - pytest's own folders are closed to other users
    nobody = pwd.getpwnam("nobody")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    try:
        clone, programs = home / "clone", home / "bin"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True, capture_output=True)
        _poor_path(programs)
        for entry in [home, *home.rglob("*")]:
            os.chown(entry, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        summary = _up_as(nobody, clone, home, programs)
        assert summary["backends_up"] == 3
        assert summary["open_cases"] >= 3
        assert summary["start_s"] <= FIRST_START_S
        assert json.loads((home / "run" / "access.json").read_text())["balancer"] is None
        _deploy_as(nobody, clone, home, programs, summary["offset"], "down")
        left = [process for process in psutil.process_iter(["cmdline"]) if str(home) in " ".join(process.info["cmdline"] or [])]
        assert left == []
        print(f"\nbackends_up=3 open_cases={summary['open_cases']} install_s={summary['install_s']} start_s={summary['start_s']}")
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if str(home) in " ".join(process.info["cmdline"] or []):
                process.kill()
        shutil.rmtree(home, ignore_errors=True)


def _poor_path(folder: Path) -> None:
    """Everything of /usr/bin and /bin but make and the balancers."""
    folder.mkdir()
    for source in Path("/usr/bin").iterdir():
        if source.name not in PROGRAMS_LEFT_OUT:
            (folder / source.name).symlink_to(source)


def _up_as(user: pwd.struct_passwd, clone: Path, home: Path, programs: Path) -> dict[str, object]:
    installed = _deploy_as(user, clone, home, programs, 0, "install")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    offset = free_offset()
    done = _deploy_as(user, clone, home, programs, offset, "up", "--detach", "--wait", "400", "--json", "--no-traffic")
    assert done.returncode == 0, done.stdout + done.stderr
    return {**json.loads(done.stdout[done.stdout.index("{") :]), "offset": offset}


def _deploy_as(
    user: pwd.struct_passwd, clone: Path, home: Path, programs: Path, offset: object, *arguments: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in ("CI", "LANG")}
    poor = {"PATH": str(programs), "HOME": str(home), "FLEET_RUN_DIR": str(home / "run"), "FLEET_PORT_OFFSET": str(offset)}
    return subprocess.run(
        ["python3", "-m", "deploy", *arguments],
        cwd=clone,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        env=kept | poor,
        timeout=460,
        capture_output=True,
        text=True,
        check=False,
    )
