"""The images and compose.yaml for real, in minutes: `make test-deploy` runs it, `make test` does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.compose.engine import OURS, Engine, missing, prepared, serving
from tests.compose.run import played

pytestmark = [pytest.mark.images, pytest.mark.timeout(3000)]

LEARNING = {"insightface", "onnxruntime", "onnx", "faiss-cpu", "dlib-bin", "opencv-python", "scikit-image", "sqlmodel"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    if absent := missing():
        pytest.skip(f"not installed: {', '.join(absent)}: `make system`")
    return prepared(Path(os.environ.get("COMPOSE_TEST_FOLDER") or tmp_path_factory.mktemp("engine")))


def test_up_review_restart_down_and_up_again(engine: Engine) -> None:
    with serving(engine):
        try:
            figures = played(engine)
        finally:
            engine.compose("--profile", "observability", "down", "--volumes", timeout=300)
    print(*(f"{name}={value}" for name, value in figures.items()))
    assert figures["open_cases"] == 3
    assert figures["same_ids"] == "yes"


def test_the_dashboards_image_holds_no_machine_learning_and_is_nobody_special(engine: Engine) -> None:
    packages = engine.podman("run", "--rm", "--entrypoint", "pip", OURS["dashboard"], "list", "--format", "freeze")
    found = {line.split("==")[0].lower() for line in packages.splitlines()}
    assert "streamlit" in found
    assert not found & LEARNING
    assert engine.podman("run", "--rm", "--entrypoint", "id", OURS["dashboard"], "-u").strip() == "10001"
