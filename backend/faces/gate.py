"""The least quality that a gallery asks of a face to be enrolled: by component, or of the weakest of them all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.errors import QualityTooLow, Shortfall

OVERALL = "overall"
COMPONENTS = (
    "SingleFacePresent",
    "InterEyeDistance",
    "HeadPoseYaw",
    "HeadPosePitch",
    "HeadPoseRoll",
    "Sharpness",
    "LuminanceMean",
    "UnderExposurePrevention",
    "OverExposurePrevention",
    "DynamicRange",
    "LeftwardCropOfTheFaceImage",
    "RightwardCropOfTheFaceImage",
    "MarginAboveOfTheFaceImage",
    "MarginBelowOfTheFaceImage",
)


@dataclass(frozen=True)
class Gate:
    """`least`: 0 to 100 by component, or of `overall`."""

    least: Mapping[str, int] = field(default_factory=dict)

    def check(self, components: Mapping[str, int], advice: Mapping[str, str]) -> None:
        """`components` has `overall` too; `advice` a sentence for each. Raises QualityTooLow, which names all that fall short."""
        short = [
            Shortfall(name, components[name], least, advice[name])
            for name, least in self.least.items()
            if components[name] < least
        ]
        if short:
            raise QualityTooLow(short)


OPEN = Gate()


def least_in(text: str) -> dict[str, int]:
    """Of a setting: `40` stands for `{"overall": 40}`. Raises ValueError."""
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError('write a number, or JSON: {"overall": 40, "Sharpness": 60}') from None
    return {OVERALL: found} if isinstance(found, int) else found


def check_least(least: Mapping[str, int]) -> None:
    """Raises ValueError for a component that there is not, and for a number that is none of 0 to 100."""
    for name, value in least.items():
        if name not in (OVERALL, *COMPONENTS):
            raise ValueError(f"the components are {', '.join((OVERALL, *COMPONENTS))}")
        if not 0 <= value <= 100:
            raise ValueError("each number is from 0 to 100")
