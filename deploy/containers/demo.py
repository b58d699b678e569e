"""Once the backends serve: a few demo faces through the API, some of them twice, so that three duplicates wait for a person."""

from __future__ import annotations

import json

from deploy.containers.places import BACKENDS, run_folder
from deploy.demo.enrolment import AGAIN, Demo
from deploy.local.api import Api
from deploy.say import aloud


def run() -> None:
    """Raises `Sentence`: no backend answers, or one refuses a face."""
    run = run_folder()
    demo = Demo(run.demo_file, run.data / "demo", AGAIN[:3])
    if demo.is_done():
        return
    key = json.loads(run.access_file.read_text("utf-8"))["keys"]["client"]
    api = Api([f"https://{name}:8000" for name in BACKENDS], ca_file=run.ca_file, key=key)
    try:
        aloud(f"{demo.enrol(api, aloud)} demo faces are enrolled.")
    finally:
        api.close()
