"""What is done before anybody is let in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from streamlit import config

from dashboard import signing
from dashboard.appearance import streamlit_config
from dashboard.settings import Settings

STARTED = """
import asyncio, gc, json, sys
from dashboard import app, settings

async def start(served):
    told = asyncio.Queue()
    await told.put({"type": "lifespan.startup"})
    said = asyncio.Queue()
    running = asyncio.create_task(served({"type": "lifespan"}, told.get, said.put))
    assert (await said.get())["type"] == "lifespan.startup.complete"
    pages = "dashboard.views.accuracy" in sys.modules
    print(json.dumps({"pages": pages, "aside": gc.get_freeze_count(), "left": len(gc.get_objects())}))
    await told.put({"type": "lifespan.shutdown"})
    await running

asyncio.run(start(app.build(settings.load())))
"""


def test_pages_are_there_and_out_of_the_collectors_sight_before_the_first_one_is_asked(tmp_path: Path) -> None:
    signing.create(tmp_path / "signing.pem")
    files = {"DASHBOARD_USERS_FILE": str(tmp_path / "users.json"), "DASHBOARD_SIGNING_KEY_FILE": str(tmp_path / "signing.pem")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DASHBOARD_")}
    done = subprocess.run(
        [sys.executable, "-c", STARTED], env=clean | files, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["pages"], "the first reader would wait for the imports"
    assert found["aside"] > 10 * found["left"], found
    assert "No runtime found" not in done.stderr, "caches that were made without Streamlit's runtime"


def test_a_run_of_a_page_ends_without_a_look_at_everything_that_is_in_memory() -> None:
    assert config.get_config_options()["runner.postScriptGC"].value is True, "Streamlit's own choice, under this name"
    assert streamlit_config(Settings(_env_file=None))["runner.postScriptGC"] is False
