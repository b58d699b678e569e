"""What every test may use, and the rule that nothing is skipped where CI=true."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresServer, is_installed, postgres_server

TESTDATA = Path(__file__).resolve().parents[2] / "shared" / "testdata"


ALONE = (
    "tests/system/test_alerts.py",
    "tests/system/test_end_to_end.py",
    "tests/system/test_fleet_starts.py",
    "tests/system/test_frozen_replica.py",
    "tests/system/test_outage.py",
    "tests/deploy/test_balancers.py",
    "tests/deploy/test_supervisor.py",
    "tests/dashboard/test_prometheus.py",
    "tests/monitor/test_faults.py",
    "tests/monitor/test_hostile_targets.py",
    "tests/monitor/test_real_backends.py",
    "tests/monitor/test_traffic.py",
)
"""What holds somebody to a time: nothing else may run beside it. So does whatever drives a browser."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(ALONE) or item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.alone)


@pytest.fixture(scope="session")
def testdata() -> Path:
    """Photographs and weights beside the repository (see CONTRIBUTING.md)."""
    if not TESTDATA.is_dir():
        pytest.skip(f"no test photographs and weights at {TESTDATA}")
    return TESTDATA


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole run; each test takes a database of its own from it."""
    if not is_installed():
        pytest.skip("no PostgreSQL server is installed: `make system`")
    with postgres_server() as server:
        yield server


def skips_fail() -> bool:
    return os.environ.get("CI", "").lower() == "true"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI=true a skip is a failure: a check that did not run has not passed. An expected failure is not a skip."""
    report = yield
    if report.skipped and skips_fail() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true does not allow: {item.nodeid}: {call.excinfo.value if call.excinfo else ''}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is collected."""
    report = yield
    if report.outcome == "skipped" and skips_fail():
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true does not allow: {collector.nodeid}: {report.longrepr}"
    return report
