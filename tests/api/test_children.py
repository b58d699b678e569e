"""The processes that an engine starts for itself share the service's life: they neither outlive it nor end before it."""

from __future__ import annotations

import os
import signal

import psutil

from tests.api.pictures import woman
from tests.api.service import Service, Site, serving, wait_until


def children(service: Service) -> list[int]:
    return [child.pid for child in psutil.Process(service.process.pid).children(recursive=True)]


def work(service: Service) -> None:
    with service.client(service.site.key("client")) as client:
        assert client.verify(woman(), reference_image=woman()).decision == "match"


def test_none_outlives_a_service_that_is_killed(fresh_site: Site) -> None:
    with serving(fresh_site) as service:
        work(service)
        left = children(service)
        service.terminate(signal.SIGKILL)
        service.exit_code()
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in left), what="the children's end")


def test_none_outlives_a_service_that_ends_in_order(fresh_site: Site) -> None:
    with serving(fresh_site) as service:
        work(service)
        left = children(service)
        service.terminate()
        assert service.exit_code() == 0
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in left), what="the children's end")


def test_an_interrupt_that_reaches_them_all_drains_the_service(fresh_site: Site) -> None:
    """As Ctrl-C on a terminal does it."""
    with serving(fresh_site, BACKEND_DRAIN_S="4") as service:
        fresh_site.key("client")
        for pid in (*children(service), service.process.pid):
            os.kill(pid, signal.SIGINT)
        work(service)
        assert service.exit_code() == 0


def test_one_that_is_killed_is_replaced(fresh_site: Site) -> None:
    with serving(fresh_site) as service:
        work(service)
        for pid in children(service):
            os.kill(pid, signal.SIGKILL)

        work(service)
