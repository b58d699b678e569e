"""Which face engine a run folder belongs to: chosen at its first run, recorded, and never exchanged by accident."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.atomic import write
from deploy.sentence import Sentence

OFFLINE = "offline"
INSIGHTFACE = "insightface"


@dataclass(frozen=True)
class EngineChoice:
    engine: str
    model_pack: str | None = None

    def __str__(self) -> str:
        return f"{self.engine} with {self.model_pack}" if self.model_pack else self.engine


def choose(record: Path, *, engine: str | None, pack: Path | None) -> EngineChoice:
    """The recorded choice, or the given one, which is recorded; offline where nothing is given.

    Raises:
        Sentence: another engine than this gallery's, or insightface without a pack.
    """
    recorded = EngineChoice(**json.loads(record.read_text())) if record.exists() else None
    if engine is None and pack is None:
        wanted = recorded or EngineChoice(OFFLINE)
    else:
        wanted = _given(engine or INSIGHTFACE, pack, recorded)
    if recorded is not None and wanted != recorded:
        raise Sentence(
            f"the gallery in {record.parent} was made with the engine {recorded}; templates of two engines cannot be compared, "
            f"so {wanted} would find nobody in it. Start a second fleet beside it (FLEET_RUN_DIR=.run-{wanted.engine} "
            "FLEET_PORT_OFFSET=100), or delete this gallery with `make clean` and enrol everybody again"
        )
    if recorded is None:
        write(record, json.dumps(asdict(wanted)))
    return wanted


def _given(engine: str, pack: Path | None, recorded: EngineChoice | None) -> EngineChoice:
    if engine == OFFLINE:
        if pack is not None:
            raise Sentence("--pack belongs to the engine insightface: leave it out, or say --engine insightface")
        return EngineChoice(OFFLINE)
    if pack is None and recorded is not None and recorded.engine == engine:
        return recorded
    if pack is None or not pack.is_dir():
        raise Sentence(
            "the engine insightface needs --pack FOLDER (`make run ENGINE=insightface PACK=FOLDER`) with an installed pack: "
            "`python -m backend models list` names them, `models install` fetches one"
        )
    return EngineChoice(INSIGHTFACE, str(pack.resolve()))
