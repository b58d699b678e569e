"""How good a face image is, and what the person in front of the camera can do about it.

Component names are those of ISO/IEC 29794-5 (OFIQ), each 0 (worst) to 100; reason codes are Amazon Rekognition's.
The scales are ours: a component reaches 100 where more would not help recognition, and a reason is given below
`POOR`. All are measured from pixels and five landmarks, so they mean the same with either engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.faces.engine import Face, Pixels
from backend.faces.gate import OVERALL, Gate

POOR = 40
HOPELESS = 10
"""A face with a decisive component this low is not enrolled: blurred or dark like that, a photograph no longer matches
itself with either engine, and would hide a duplicate. Pose and size only advise."""

_PATCH_PX = 128
_EYE, _EYE_RIGHT, _NOSE, _MOUTH_LEFT, _MOUTH_RIGHT = range(5)


@dataclass(frozen=True)
class Reason:
    code: str
    advice: str


@dataclass(frozen=True)
class Quality:
    overall: int
    components: dict[str, int]
    reasons: tuple[Reason, ...] = ()
    bright: bool = False
    """whether light is too much rather than too little, where there is the wrong amount of it"""

    def advice(self) -> dict[str, str]:
        """What to do about each component, and about the weakest, under `overall`."""
        sentences = {name: _reason(name, bright=self.bright).advice for name in self.components}
        return sentences | {OVERALL: sentences[min(_of_the_face(self.components), key=self.components.__getitem__)]}

    def require(self, gate: Gate) -> None:
        """Raises QualityTooLow."""
        gate.check(self.components | {OVERALL: self.overall}, self.advice())


_REASONS: dict[str, Reason] = {
    "SingleFacePresent": Reason("EXCEEDS_MAX_FACES", "Make sure that you are alone in the picture."),
    "InterEyeDistance": Reason("SMALL_BOUNDING_BOX", "Move closer to the camera, or use a picture with more pixels."),
    "HeadPoseYaw": Reason("EXTREME_POSE", "Turn your face straight to the camera."),
    "HeadPosePitch": Reason("EXTREME_POSE", "Hold your head level and look straight into the camera."),
    "HeadPoseRoll": Reason("EXTREME_POSE", "Hold your head upright, not tilted to a side."),
    "Sharpness": Reason("LOW_SHARPNESS", "Hold still and let the camera focus on your face."),
    "LuminanceMean": Reason("LOW_BRIGHTNESS", "Move to a brighter place with light on your face."),
    "UnderExposurePrevention": Reason("LOW_BRIGHTNESS", "Turn on a light in front of you: parts of your face are black."),
    "OverExposurePrevention": Reason("LOW_FACE_QUALITY", "Move out of the glaring light: parts of your face are white."),
    "DynamicRange": Reason("LOW_FACE_QUALITY", "Use more even light: your face has hardly any contrast."),
    "LeftwardCropOfTheFaceImage": Reason("LOW_FACE_QUALITY", "Move to the middle: the left edge cuts into your face."),
    "RightwardCropOfTheFaceImage": Reason("LOW_FACE_QUALITY", "Move to the middle: the right edge cuts into your face."),
    "MarginAboveOfTheFaceImage": Reason("LOW_FACE_QUALITY", "Raise the camera: the top of your face is cut off."),
    "MarginBelowOfTheFaceImage": Reason("LOW_FACE_QUALITY", "Lower the camera: your chin is cut off."),
}
_DECISIVE = (
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
_TOO_BRIGHT = Reason("LOW_FACE_QUALITY", "Move to a place with less light on your face.")


def assess(image: Pixels, face: Face, *, faces_in_image: int, enlarge: float = 1.0) -> Quality:
    """Quality of one face of `image`. `enlarge` is the factor back to the image as sent, if it was decoded reduced."""
    light = _patch(image, face)
    mean = float(light.mean())
    components = {
        "SingleFacePresent": 100 if faces_in_image == 1 else 0,
        "InterEyeDistance": _rising(eye_distance(face) * enlarge, 12.0, 60.0),
        **_pose(face),
        **_exposure(light, mean),
        **_margins(face, width=image.shape[1], height=image.shape[0]),
    }
    failing = [name for name, value in components.items() if value < POOR]
    reasons = tuple(_reason(name, bright=mean > 128) for name in failing)
    # The weakest counts: no sharpness makes up for a missing half. Company in the picture does no harm to the face itself.
    overall = min(components[name] for name in _of_the_face(components))
    return Quality(overall, components, tuple(dict.fromkeys(reasons)), bright=mean > 128)


def _of_the_face(components: Iterable[str]) -> list[str]:
    return [name for name in components if name != "SingleFacePresent"]


def _reason(component: str, *, bright: bool) -> Reason:
    return _TOO_BRIGHT if component == "LuminanceMean" and bright else _REASONS[component]


def is_hopeless(quality: Quality) -> bool:
    """Whether light, sharpness or the image's edge leave nothing to recognise. Heads may be turned, faces small."""
    return any(quality.components[name] <= HOPELESS for name in _DECISIVE)


def eye_distance(face: Face) -> float:
    """Between the centres of the eyes, in pixels."""
    return float(np.linalg.norm(face.landmarks[_EYE] - face.landmarks[_EYE_RIGHT]))


def _rising(value: float, worst: float, best: float) -> int:
    return round(100 * float(np.clip((value - worst) / (best - worst), 0.0, 1.0)))


def _falling(value: float, best: float, worst: float) -> int:
    return 100 - _rising(value, best, worst)


def _pose(face: Face) -> dict[str, int]:
    """Yaw and pitch from where the nose stands between eyes and mouth, as shares of the distance of the eyes; roll in degrees.

    A frontal face has its nose half way between the eyes, and at about 0.57 of the way from the eyes to the mouth.
    """
    eyes = (face.landmarks[_EYE] + face.landmarks[_EYE_RIGHT]) / 2
    mouth = (face.landmarks[_MOUTH_LEFT] + face.landmarks[_MOUTH_RIGHT]) / 2
    across = face.landmarks[_EYE_RIGHT] - face.landmarks[_EYE]
    width = max(float(np.linalg.norm(across)), 1.0)
    unit = across / width
    down = np.array([-unit[1], unit[0]])
    nose = face.landmarks[_NOSE] - eyes
    length = max(float((mouth - eyes) @ down), 1.0)
    roll = float(np.degrees(np.arctan2(float(across[1]), float(across[0]))))
    roll -= 90 * round(roll / 90)  # a photograph on its side is the camera's doing, and is turned before it is stored
    return {
        "HeadPoseYaw": _falling(abs(float(nose @ unit)) / width, 0.12, 0.60),
        "HeadPosePitch": _falling(abs(float(nose @ down) / length - 0.57), 0.18, 0.55),
        "HeadPoseRoll": _falling(abs(roll), 8.0, 45.0),
    }


def _patch(image: Pixels, face: Face) -> NDArray[np.float32]:
    """Luminance (ITU-R BT.601) of the face's box at 128 × 128: small enough to be cheap, and the same scale for every face."""
    x, y, width, height = face.box
    left, top = max(0, int(x)), max(0, int(y))
    right, bottom = min(image.shape[1], int(x + width) + 1), min(image.shape[0], int(y + height) + 1)
    if right - left < 2 or bottom - top < 2:
        return np.zeros((_PATCH_PX, _PATCH_PX), np.float32)
    grey = Image.fromarray(image[top:bottom, left:right]).convert("L")
    return np.asarray(grey.resize((_PATCH_PX, _PATCH_PX), Image.Resampling.BILINEAR), dtype=np.float32)


def _exposure(light: NDArray[np.float32], mean: float) -> dict[str, int]:
    laplacian = 4 * light[1:-1, 1:-1] - light[:-2, 1:-1] - light[2:, 1:-1] - light[1:-1, :-2] - light[1:-1, 2:]
    low, high = _percentiles(light, (2, 98))
    return {
        "Sharpness": _rising(float(laplacian.std()), 1.0, 8.0),
        "LuminanceMean": min(_rising(mean, 15.0, 70.0), _falling(mean, 200.0, 245.0)),
        "UnderExposurePrevention": _falling(float((light < 16).mean()), 0.15, 0.85),
        "OverExposurePrevention": _falling(float((light > 250).mean()), 0.05, 0.60),
        "DynamicRange": _rising(float(high - low), 8.0, 80.0),
    }


def _percentiles(light: NDArray[np.float32], wanted: tuple[float, ...]) -> NDArray[np.float64]:
    """As `np.percentile` of whole numbers from 0 to 255, from their counts: five times as fast."""
    upto = np.cumsum(np.bincount(light.ravel().astype(np.intp), minlength=256))
    place = np.asarray(wanted) / 100 * (light.size - 1)
    below, above = (np.searchsorted(upto, at, side="right") for at in (np.floor(place), np.ceil(place)))
    return below + (above - below) * (place % 1)


def _margins(face: Face, *, width: int, height: int) -> dict[str, int]:
    """Share of the box's side that lies beyond each edge of the image."""
    x, y, box_width, box_height = face.box
    return {
        "LeftwardCropOfTheFaceImage": _falling(-x / box_width, 0.0, 0.35),
        "RightwardCropOfTheFaceImage": _falling((x + box_width - width) / box_width, 0.0, 0.35),
        "MarginAboveOfTheFaceImage": _falling(-y / box_height, 0.0, 0.35),
        "MarginBelowOfTheFaceImage": _falling((y + box_height - height) / box_height, 0.0, 0.35),
    }
