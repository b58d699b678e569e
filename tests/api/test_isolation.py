"""The offline engine in processes of its own: the same answers, and what becomes of a process that dies or hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from backend.errors import DeadlineExceeded, Unavailable
from backend.faces.capture import capture, detect, probe
from backend.faces.engine import EngineError
from backend.faces.image import ImageLimits
from backend.faces.isolated import IsolatedEngine
from backend.faces.load import load_engine
from tests.api.pictures import group, woman
from tests.api.service import Site, serving, wait_until

LIMITS = ImageLimits()


@pytest.fixture
def engine() -> Iterator[IsolatedEngine]:
    with IsolatedEngine("offline", processes=1, deadline_s=20) as running:
        yield running
    wait_until(lambda: not children(os.getpid()), what="the children's end")


def children(of: int) -> list[int]:
    return [child.pid for child in psutil.Process(of).children() if "backend.faces.isolated_child" in child.cmdline()]


def test_it_answers_as_the_engine_itself(engine: IsolatedEngine) -> None:
    direct = load_engine("offline")
    assert engine.card == direct.card
    assert np.array_equal(
        capture(engine, woman(), limits=LIMITS, choose="only", min_face_px=40).vector,
        capture(direct, woman(), limits=LIMITS, choose="only", min_face_px=40).vector,
    )
    boxes = [[face.box for face, _ in detect(one, group(), limits=LIMITS).faces] for one in (engine, direct)]
    assert boxes[0] == boxes[1]
    assert len(boxes[0]) == 6


def test_a_process_that_is_killed_costs_one_request_at_most(engine: IsolatedEngine) -> None:
    (pid,) = children(os.getpid())
    os.kill(pid, signal.SIGKILL)
    with suppress(Unavailable):
        probe(engine, woman(), limits=LIMITS)
    assert len(probe(engine, woman(), limits=LIMITS).faces) == 1
    assert children(os.getpid()) != [pid]


def test_a_process_that_hangs_is_ended_at_the_deadline() -> None:
    with IsolatedEngine("offline", processes=1, deadline_s=6) as engine:
        (pid,) = children(os.getpid())
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(DeadlineExceeded):
            engine.detect(np.zeros((100, 100, 3), np.uint8))
        assert engine.detect(np.zeros((100, 100, 3), np.uint8)) == []
        assert not psutil.pid_exists(pid)


def test_what_the_engine_raises_is_told_by_its_type_only(engine: IsolatedEngine) -> None:
    with pytest.raises(RuntimeError, match=r"^the engine raised \w+$"):
        engine.detect("no pixels")  # type: ignore[arg-type]
    assert len(probe(engine, woman(), limits=LIMITS).faces) == 1


def test_an_engine_that_cannot_be_loaded_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as raised:
        IsolatedEngine("insightface", model_pack=tmp_path / "nowhere", processes=1, deadline_s=1)
    assert str(raised.value)
    assert not children(os.getpid())


def test_no_child_outlives_a_service_that_is_killed(fresh_site: Site) -> None:
    with serving(fresh_site) as service:
        left = children(service.process.pid)
        assert left
        service.terminate(signal.SIGKILL)
        service.exit_code()
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in left), what="the children's end")


def test_children_leave_an_interrupt_to_the_service_which_drains(fresh_site: Site) -> None:
    with serving(fresh_site, BACKEND_DRAIN_S="4") as service:
        for pid in (*children(service.process.pid), service.process.pid):
            os.kill(pid, signal.SIGINT)
        with service.client(fresh_site.key("client")) as client:
            assert len(client.detect(woman()).faces) == 1
        assert service.exit_code() == 0
