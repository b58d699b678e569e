from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.service import Service, Site, make_site, serving


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A fresh database for the module's tests; the offline engine."""
    return make_site(tmp_path_factory.mktemp("site") / "site")


@pytest.fixture(scope="module")
def service(site: Site) -> Iterator[Service]:
    with serving(site) as running:
        yield running


@pytest.fixture
def fresh_site(tmp_path: Path) -> Site:
    return make_site(tmp_path / "site")
