"""Enrols the demo faces through the API, once per run folder: a few people, and some of them a second time."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.atomic import write, write_private
from deploy.demo import pictures
from deploy.demo.pictures import Portrait
from deploy.local.api import Api
from deploy.say import Say
from deploy.sentence import Sentence

AGAIN = ("recompressed", "mirrored", "smaller", "turned")
"""Which copies are made: one of each of the first portraits."""
AT_ONCE = 3
TAKEN = "external_id_taken"


@dataclass(frozen=True)
class Demo:
    """Where the demo stands in a run folder."""

    record: Path
    faces: Path
    again: tuple[str, ...] = AGAIN

    def is_done(self) -> bool:
        return self.record.exists()

    def subjects(self) -> dict[str, str]:
        """Subject id by portrait key; empty where nothing was enrolled."""
        found: dict[str, str] = json.loads(self.record.read_text())["subjects"] if self.is_done() else {}
        return found

    def picture(self, key: str) -> bytes:
        return (self.faces / f"{key}.jpg").read_bytes()

    def enrol(self, api: Api, say: Say) -> int:
        """Enrol everybody; a run that was interrupted goes on where it was. Answers with how many faces were enrolled.

        Raises:
            Sentence: the API refused one.
        """
        self.faces.mkdir(mode=0o700, parents=True, exist_ok=True)
        portraits = self._portraits(api)
        if not portraits:
            say("No installed package carries a photograph: the demo is left out.")
            return 0
        copies = [pictures.altered(portrait, how) for portrait, how in zip(portraits, self.again, strict=False)]
        subjects: dict[str, str] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for batch in (portraits, copies):
                subjects |= dict(pool.map(lambda portrait: self._enrol(api, portrait), batch))
        write(self.record, json.dumps({"subjects": subjects}, indent=1))
        return len(subjects)

    def _portraits(self, api: Api) -> list[Portrait]:
        """Cut apart by the fleet's own detector."""
        portraits: list[Portrait] = []
        if group := pictures.packaged(*pictures.GROUP):
            found = api.post_json("/v1/detect", {"image": _base64(group.read_bytes())})["faces"]
            from_left = sorted((face["box"] for face in found), key=lambda box: float(box["x"]))
            portraits += [Portrait(f"group-{number}", pictures.cut(group, box)) for number, box in enumerate(from_left, 1)]
        if astronaut := pictures.packaged(*pictures.ASTRONAUT):
            portraits.insert(0, Portrait("astronaut", pictures.whole(astronaut)))
        return portraits

    def _enrol(self, api: Api, portrait: Portrait) -> tuple[str, str]:
        write_private(self.faces / f"{portrait.key}.jpg", portrait.jpeg)
        external_id = f"demo-{portrait.key}"
        body = {
            "images": [_base64(portrait.jpeg)],
            "external_id": external_id,
            "metadata": {"source": "demo"},
            "face": "largest",
        }
        answer = api.post("/v1/subjects", body, idempotency_key=external_id)
        found = answer.json()
        if answer.status_code == 409 and found.get("code") == TAKEN:  # an interrupted start, longer ago than keys are kept
            return portrait.key, _known(api, external_id)
        if answer.status_code != 201:
            raise Sentence(f"the demo face {portrait.key} was not enrolled: {answer.status_code} {found.get('detail', '')}")
        return portrait.key, str(found["subject_id"])


def _known(api: Api, external_id: str) -> str:
    items: Sequence[dict[str, str]] = api.get("/v1/subjects", external_id=external_id)["items"]
    if not items:
        raise Sentence(f"{external_id} is taken, but nobody has it")
    return items[0]["id"]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
