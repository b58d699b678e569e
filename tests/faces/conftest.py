"""Both engines, and the images that the installed packages carry."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from backend.faces.engine import Engine
from backend.faces.image import ImageLimits
from backend.faces.load import load_engine

LIMITS = ImageLimits()


@pytest.fixture(scope="session")
def offline() -> Engine:
    return load_engine("offline")


@pytest.fixture(scope="session")
def insight(testdata: Path) -> Engine:
    return load_engine("insightface", model_pack=testdata / "models" / "test_mbf")


@pytest.fixture(scope="session", params=["offline", pytest.param("insight", marks=pytest.mark.weights)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each test that takes it runs once per engine."""
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def group_photo() -> bytes:
    """Six people; InsightFace's package carries it."""
    spec = find_spec("insightface")
    assert spec is not None
    assert spec.submodule_search_locations
    return (Path(next(iter(spec.submodule_search_locations))) / "data" / "images" / "t1.jpg").read_bytes()


@pytest.fixture(scope="session")
def portrait(testdata: Path) -> bytes:
    return (testdata / "faces" / "obama" / "01.jpg").read_bytes()
