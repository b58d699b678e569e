"""Under CI=true a skip is a failure, whichever way it comes about."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIPS = {
    "in the test": "import pytest\ndef test_it():\n    pytest.skip('no camera')\n",
    "by a mark": "import pytest\n@pytest.mark.skip(reason='no camera')\ndef test_it(): ...\n",
    "in a fixture": "import pytest\n@pytest.fixture\ndef cam(): pytest.skip('no camera')\ndef test_it(cam): ...\n",
    "of the module": "import pytest\npytest.skip('no camera', allow_module_level=True)\ndef test_it(): ...\n",
}


def outcome(folder: Path, content: str, *, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_made.py").write_text(content)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", str(folder), str(folder)]
    environment = os.environ | {"CI": ci, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=60)


@pytest.mark.parametrize("way", sorted(SKIPS))
def test_a_skip_fails_in_ci_and_says_why_and_passes_elsewhere(tmp_path: Path, way: str) -> None:
    there = outcome(tmp_path, SKIPS[way], ci="true")
    assert there.returncode in {1, 2}, there.stdout
    assert "CI=true does not allow" in there.stdout
    assert "no camera" in there.stdout
    assert outcome(tmp_path, SKIPS[way], ci="").returncode in {0, 5}


def test_an_expected_failure_is_not_a_skip(tmp_path: Path) -> None:
    content = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it(): assert False\n"
    assert outcome(tmp_path, content, ci="true").returncode == 0
