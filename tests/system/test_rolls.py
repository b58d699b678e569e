"""A full roll under load, behind nginx and HAProxy: the short form of `make roll`."""

from __future__ import annotations

import shutil

import pytest

from tests.system.load.roll import holds, rolled_under_load

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("balancer", ["nginx", "haproxy"])
def test_every_backend_is_restarted_and_no_request_fails(balancer: str) -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed: `make system`")
    figures = rolled_under_load(balancer, "least_connections", rolls=1, seed=1)
    assert figures["restarts"] == 3
    assert holds(figures), figures
