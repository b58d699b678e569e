from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitor.certs import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "certificates"
    folder.mkdir()
    return Authority(folder)
