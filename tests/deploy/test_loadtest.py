"""The load test's scripts send nothing to a fleet that is not on this machine, unless somebody says so."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

COMMON = Path(__file__).parents[2] / "deploy" / "loadtest" / "common.sh"


def allowed(url: str, where: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Sourced as the three scripts source it; nothing is sent."""
    photograph = where / "face.jpg"
    photograph.write_bytes(b"a photograph")
    told = {"FACE_AUTH_URL": url, "FACE_AUTH_KEY": "key", "FACE_AUTH_CA": "ca.pem", "PYTHON": "python3"} | more
    script = f'. "{COMMON}"; echo "would ask $url"'
    return subprocess.run(
        ["sh", "-c", script, "test.sh", str(photograph)], env=os.environ | told, capture_output=True, text=True, check=False,
        timeout=20,
    )  # fmt: skip


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:8443", "https://localhost", "http://localhost:8088/base", "https://127.0.0.1/?a=b@c"]
)
def test_this_machine_may_be_asked(tmp_path: Path, url: str) -> None:
    done = allowed(url, tmp_path)
    assert (done.returncode, done.stdout) == (0, f"would ask {url}\n"), done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://127.0.0.1.example.com",
        "https://localhost.example.com:8443/v1",
        "https://127.0.0.1@example.com",
        "https://127.0.0.1:8443@example.com:8443",
    ],
)
def test_what_only_begins_like_this_machine_is_refused(tmp_path: Path, url: str) -> None:
    refused = allowed(url, tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "FACE_AUTH_ALLOW_REMOTE=yes" in refused.stderr
    assert allowed(url, tmp_path, FACE_AUTH_ALLOW_REMOTE="yes").returncode == 0


def test_how_much_is_sent_is_bounded(tmp_path: Path) -> None:
    assert allowed("https://localhost", tmp_path, REQUESTS="100001").returncode == 2
    assert allowed("https://localhost", tmp_path, CLIENTS="many").returncode == 2
