from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def migrate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BACKEND_")} | {
        "BACKEND_DATABASE_URL": f"sqlite:///{folder / 'a.db'}",
        "BACKEND_MASTER_KEY_FILE": str(folder / "a.key"),
        "BACKEND_ENGINE": "offline",
    }
    command = [sys.executable, "-m", "backend", "migrate", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_migrating_makes_schema_key_file_and_pin_once_and_repeating_it_changes_nothing(tmp_path: Path) -> None:
    first, again = (json.loads(migrate(tmp_path, "--json").stdout) for _ in range(2))
    assert (first["before"], first["made_key"], first["pinned"]) == (None, True, True)
    assert first["model_id"].startswith("dlib-resnet")
    assert again == first | {"before": first["after"], "made_key": False, "pinned": False}
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600


def test_a_lost_key_file_is_never_replaced_by_a_new_one(tmp_path: Path) -> None:
    assert migrate(tmp_path).returncode == 0
    (tmp_path / "a.key").unlink()
    refused = migrate(tmp_path)
    assert refused.returncode != 0
    assert "missing" in refused.stderr
    assert not (tmp_path / "a.key").exists()
