"""The images and compose.yaml for real, in minutes: `make test-deploy` runs it, `make test` does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.compose.engine import OURS, missing, prepared, serving
from tests.compose.run import played

pytestmark = [pytest.mark.images, pytest.mark.timeout(3000)]


def test_up_review_restart_down_and_up_again(tmp_path: Path) -> None:
    if absent := missing():
        pytest.skip(f"not installed: {', '.join(absent)}: `make system`")
    engine = prepared(Path(os.environ.get("COMPOSE_TEST_FOLDER") or tmp_path / "engine"))
    with serving(engine):
        try:
            figures = played(engine)
        finally:
            engine.compose("down", "--volumes", timeout=300)
    assert figures["open_cases"] == 3
    assert figures["same_ids"] == "yes"


def test_the_dashboards_image_holds_no_machine_learning(tmp_path: Path) -> None:
    if absent := missing():
        pytest.skip(f"not installed: {', '.join(absent)}: `make system`")
    engine = prepared(Path(os.environ.get("COMPOSE_TEST_FOLDER") or tmp_path / "engine"))
    packages = engine.podman("run", "--rm", "--entrypoint", "pip", OURS["dashboard"], "list", "--format", "freeze")
    found = {line.split("==")[0].lower() for line in packages.splitlines()}
    assert "streamlit" in found
    assert not found & {
        "insightface",
        "onnxruntime",
        "onnx",
        "faiss-cpu",
        "dlib-bin",
        "opencv-python",
        "scikit-image",
        "sqlmodel",
    }
    assert engine.podman("run", "--rm", "--entrypoint", "id", OURS["dashboard"], "-u").strip() == "10001"
