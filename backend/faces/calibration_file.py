"""A calibration as a file: counts of one recogniser's comparisons, from which rates, support and id follow.

    {"format": "face-auth-calibration", "version": 1, "id": "cal_…", "model_id": "…", "source": "…", "created": "…",
     "impostor": {"trials": 13629, "points": [{"score": 0.30, "count": 1970}, …]},
     "genuine": {"trials": 66, "points": [{"score": 0.38, "count": 0}, …]}}

`impostor`: how many comparisons of different people reach each score; `genuine`: how many of one person with himself score
lower (null where too few were made). The id is made of what changes an answer, so that a file that was altered is noticed,
and two measurements that differ never share one. Whoever writes a file by hand leaves the id out.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from backend.faces.calibration import counted, counted_genuine
from backend.faces.engine import Calibration

MOST_BYTES = 1024 * 1024
LEAST_TRIALS = 190
"""pairs of 20 different people"""
_PARTS_OF_THE_ID = {"model_id", "source", "impostor", "genuine"}


class CalibrationFileError(Exception):
    """The file cannot be used; the message is one sentence that names the field, or the line, and the reason."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Count(_Part):
    score: float = Field(ge=-3, le=1)
    count: int = Field(ge=0)


class Counts(_Part):
    trials: int = Field(ge=1)
    points: Annotated[list[Count], Field(min_length=2, max_length=1000)]

    @model_validator(mode="after")
    def _ascend(self) -> Counts:
        for before, after in itertools.pairwise(self.points):
            if after.score <= before.score:
                raise ValueError(f"scores must rise from point to point, but {after.score:g} follows {before.score:g}")
        if max(point.count for point in self.points) > self.trials:
            raise ValueError(f"a count is larger than the number of trials, {self.trials}")
        return self


class CalibrationFile(_Part):
    format: Literal["face-auth-calibration"] = "face-auth-calibration"
    version: Literal[1] = 1
    id: str | None = Field(None, max_length=64)
    model_id: str = Field(min_length=1, max_length=200)
    source: str = Field(min_length=1, max_length=300)
    created: AwareDatetime
    impostor: Counts
    genuine: Counts | None = None

    @model_validator(mode="after")
    def _fits(self) -> CalibrationFile:
        if self.impostor.trials < LEAST_TRIALS:
            raise ValueError(
                f"impostor.trials: {self.impostor.trials} comparisons support nothing; {LEAST_TRIALS} are the least (20 people)"
            )
        _monotone("impostor", [-point.count for point in self.impostor.points], "fall")
        if self.genuine is not None:
            _monotone("genuine", [point.count for point in self.genuine.points], "rise")
        if self.id is not None and self.id != self.derived_id:
            raise ValueError("id: it does not belong to these counts: leave it out where the file was changed on purpose")
        return self

    @property
    def derived_id(self) -> str:
        content = self.model_dump(mode="json", include=_PARTS_OF_THE_ID)
        return f"cal_{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]}"

    def text(self) -> str:
        """With its id; ends with a newline."""
        return json.dumps(self.model_copy(update={"id": self.derived_id}).model_dump(mode="json"), indent=1) + "\n"

    def calibration(self) -> Calibration:
        """No rate below 3/trials, as for the shipped curves."""
        genuine = None
        if self.genuine is not None:
            genuine = counted_genuine(
                {point.score: point.count for point in self.genuine.points}, trials=self.genuine.trials, source=self.source
            )
        reached = {point.score: point.count for point in self.impostor.points}
        return counted(self.derived_id, reached, trials=self.impostor.trials, source=self.source, genuine=genuine)


def _monotone(part: str, counts: Sequence[int], word: Literal["fall", "rise"]) -> None:
    for place, (before, after) in enumerate(itertools.pairwise(counts), start=1):
        if after < before:
            raise ValueError(f"{part}.points[{place}].count: counts never {'rise' if word == 'fall' else 'fall'} with the score")


def read(path: Path, *, model_id: str) -> CalibrationFile:
    """Raises CalibrationFileError: not to be read, malformed, or measured with another model."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise CalibrationFileError(f"the calibration file cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise CalibrationFileError("the calibration file is larger than 1 MiB: it is something else")
    found = _parsed(data)
    if found.model_id != model_id:
        raise CalibrationFileError(
            f"the calibration file was measured with the model {found.model_id}, but {model_id} is loaded: scores of two models"
            " cannot be compared"
        )
    return found


def _parsed(data: bytes) -> CalibrationFile:
    try:
        return CalibrationFile.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        reason = first["msg"].removeprefix("Value error, ")
        raise CalibrationFileError(f"the calibration file is malformed: {f'{field}: ' if field else ''}{reason}") from None


def made(*, model_id: str, source: str, created: datetime, impostor: Counts, genuine: Counts | None) -> CalibrationFile:
    """Raises CalibrationFileError."""
    try:
        return CalibrationFile(model_id=model_id, source=source, created=created, impostor=impostor, genuine=genuine)
    except ValidationError as error:
        raise CalibrationFileError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
