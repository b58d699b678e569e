"""The commands of docs/images.md, run as they stand there."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from backend.faces import packs
from tests.api.pictures import group, same_woman, woman
from tests.api.service import ROOT, Service

PAGE = (ROOT / "docs" / "images.md").read_text("utf-8")
COMMANDS, INSTALL = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)


def answers(commands: list[str], folder: Path, **words: str) -> list[dict[str, object]]:
    found = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=os.environ | words, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        found.append(json.loads(done.stdout))
    return found


def test_forms_and_json_do_what_the_page_says(service: Service, tmp_path: Path) -> None:
    for name, content in {"ada": woman(), "ada-2": same_woman(), "crowd": group()}.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    enrol, *others = COMMANDS.strip().splitlines()
    words = {"KEY": service.site.key("admin"), "URL": service.url}
    (enrolled,) = answers([enrol], tmp_path, **words)
    assert enrolled["external_id"] == "A-1"
    verified, identified, detected, as_json = answers(others, tmp_path, SUBJECT=str(enrolled["subject_id"]), **words)
    assert verified["decision"] == "match"
    assert verified["score"] == as_json["score"]
    assert isinstance(identified["faces"], list)
    assert isinstance(detected["faces"], list)
    assert len(identified["faces"]) == len(detected["faces"]) == 6


def test_the_page_names_what_can_be_installed() -> None:
    """Not run: a test has no network, and nobody here who could agree to a licence."""
    listing = packs.CATALOGUE["liveness"]
    assert INSTALL.startswith("python -m backend models install liveness ")
    assert f"models/{listing.name}/{next(iter(listing.files))}" in PAGE


@pytest.mark.parametrize("code", re.findall(r"`([a-z]+_[a-z_]+)`", PAGE.partition("## Liveness")[0]))
def test_the_errors_it_names_are_documented(service: Service, code: str) -> None:
    described = json.dumps(service.get("/openapi.json").json()["paths"])
    assert f'"{code}"' in described
