"""From a client's bytes to faces with quality and templates: the one path that enrolment, verification and search share.

The template of an enrolled sample is computed from the stored crop, decoded again, by `probe`'s own steps. So anybody
who has the crop gets the same template, and a verification of two stored crops repeats the stored score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.errors import FaceTooSmall, NoFace, PoorQuality, SeveralFaces, TooManyFaces
from backend.faces.crop import MARGINS, cut
from backend.faces.engine import Engine, Face, Pixels, Vector
from backend.faces.gate import OPEN, Gate
from backend.faces.image import ImageLimits, Picture, read
from backend.faces.liveness import Liveness, LivenessCheck
from backend.faces.quality import Quality, Reason, assess, eye_distance, is_hopeless
from backend.stages import Stage, timed

__all__ = [
    "CapturedFace",
    "Detected",
    "Gate",
    "ImageLimits",
    "Probe",
    "ProbeFace",
    "Quality",
    "Reason",
    "capture",
    "detect",
    "embedded_again",
    "probe",
]

MAX_FACES = 32
"""Most faces of one image that are embedded: a crowd would hold a thread for seconds."""
MIN_FACE_PX = 26
"""Faces of 27 pixels are still told apart without error on the test photographs; what is smaller is mostly blur."""


@dataclass(frozen=True)
class CapturedFace:
    """What an enrolment stores of one image."""

    crop: bytes
    """JPEG, upright, at most 512 px: the canonical image of the sample"""
    landmarks: NDArray[np.float32]
    """(5, 2) in pixels of the crop"""
    vector: Vector
    """what `probe` makes of the crop"""
    quality: Quality
    model_id: str
    others: Mapping[str, Vector] = field(default_factory=dict)
    """by other models, what `embedded_again` makes of the crop"""

    def by(self, model_id: str) -> Vector | None:
        return self.vector if model_id == self.model_id else self.others.get(model_id)


@dataclass(frozen=True)
class ProbeFace:
    """`face` is in pixels of the upright image as sent."""

    face: Face
    vector: Vector
    quality: Quality
    liveness: Liveness | None = None
    """None where no model for it is in use"""


@dataclass(frozen=True)
class Probe:
    """Faces with templates, largest first; `faces_found` counts those left out by `largest_only` as well."""

    width: int
    height: int
    faces: list[ProbeFace]
    faces_found: int


@dataclass(frozen=True)
class SeenFace:
    """A face without a template, in pixels of the upright image as sent."""

    face: Face
    quality: Quality
    liveness: Liveness | None = None


@dataclass(frozen=True)
class Detected:
    """Faces without templates, largest first."""

    width: int
    height: int
    faces: list[SeenFace]


def detect(engine: Engine, data: bytes, *, limits: ImageLimits, liveness: LivenessCheck | None = None) -> Detected:
    """Where faces are and how good; raises the errors of `image.decode` only."""
    picture = read(data, limits)
    faces = _found(engine, picture.pixels)
    seen = [
        SeenFace(_as_sent(face, picture), _quality(picture, face, len(faces)), _liveness(liveness, picture, face))
        for face in faces
    ]
    return Detected(picture.width, picture.height, seen)


def probe(
    engine: Engine,
    data: bytes,
    *,
    limits: ImageLimits,
    largest_only: bool = False,
    liveness: LivenessCheck | None = None,
) -> Probe:
    """Faces with templates. No face is an empty list; raises TooManyFaces and the errors of `image.decode`."""
    picture = read(data, limits)
    faces = _found(engine, picture.pixels)
    wanted = faces[:1] if largest_only else faces
    if len(wanted) > MAX_FACES:
        raise TooManyFaces(f"{len(wanted)} faces were found; at most {MAX_FACES} are compared: crop the image")
    seen = [
        ProbeFace(
            _as_sent(face, picture),
            _embedded(engine, picture.pixels, face),
            _quality(picture, face, len(faces)),
            _liveness(liveness, picture, face),
        )
        for face in wanted
    ]
    return Probe(picture.width, picture.height, seen, len(faces))


def capture(
    engine: Engine,
    data: bytes,
    *,
    limits: ImageLimits,
    choose: Literal["only", "largest"] = "only",
    min_face_px: int = MIN_FACE_PX,
    gate: Gate = OPEN,
) -> CapturedFace:
    """The one face to enrol.

    Raises NoFace, SeveralFaces (`only`), TooManyFaces (`largest`), FaceTooSmall, PoorQuality (nothing could be recognised
    in it), QualityTooLow (for this `gate`) and the errors of `image.decode`.
    """
    picture = read(data, limits)
    faces = _found(engine, picture.pixels)
    face = _chosen(faces, choose)
    _check_size(face.size * picture.enlarge, min_face_px)
    quality = _quality(picture, face, len(faces))
    if is_hopeless(quality):
        raise PoorQuality(" ".join([PoorQuality.title + ".", *(reason.advice for reason in quality.reasons)]))
    quality.require(gate)
    crop, seen, vector = _canonical(engine, picture.pixels, face)
    return CapturedFace(crop, seen.landmarks, vector, quality, engine.card.model_id)


def embedded_again(engine: Engine, crop: bytes) -> Vector | None:
    """The template of a stored crop by another model than the one that cut it; None where that finds no face in it."""
    found = probe(engine, crop, limits=ImageLimits(), largest_only=True).faces
    return found[0].vector if found else None


@timed(Stage.detect)
def _found(engine: Engine, pixels: Pixels) -> list[Face]:
    return engine.detect(pixels)


@timed(Stage.embed)
def _embedded(engine: Engine, pixels: Pixels, face: Face) -> Vector:
    return engine.embed(pixels, face)


def _liveness(check: LivenessCheck | None, picture: Picture, face: Face) -> Liveness | None:
    return check.of(picture.pixels, face) if check else None


def _chosen(faces: list[Face], choose: Literal["only", "largest"]) -> Face:
    if not faces:
        raise NoFace
    if choose == "only" and len(faces) > 1:
        raise SeveralFaces(f"{len(faces)} faces were found: crop the image to one, or send face=largest")
    if len(faces) > MAX_FACES:
        raise TooManyFaces(f"{len(faces)} faces were found; at most {MAX_FACES} are accepted: crop the image")
    return faces[0]


def _check_size(size: float, min_face_px: int) -> None:
    if size < min_face_px:
        raise FaceTooSmall(f"The face is {size:.0f} pixels wide, {min_face_px} are needed: move closer or send a larger image")


def _canonical(engine: Engine, image: Pixels, face: Face) -> tuple[bytes, Face, Vector]:
    """The crop, and what the probe path finds in it: the first of several margins in which that is the chosen face."""
    for margin in MARGINS:
        crop = cut(image, face, margin=margin)
        pixels = read(crop.data, ImageLimits()).pixels
        found = _found(engine, pixels)
        if found and _same(found[0], crop.landmarks):
            return crop.data, found[0], _embedded(engine, pixels, found[0])
    raise PoorQuality("The face cannot be found again in its own crop: send a sharper, larger photograph")


def _same(found: Face, expected: NDArray[np.float32]) -> bool:
    """Eyes and nose within a third of the eyes' distance of where the upload had them."""
    away = np.linalg.norm(found.landmarks[:3] - expected[:3], axis=1).max()
    return float(away) < eye_distance(found) / 3


def _quality(picture: Picture, face: Face, faces: int) -> Quality:
    return assess(picture.pixels, face, faces_in_image=faces, enlarge=picture.enlarge)


def _as_sent(face: Face, picture: Picture) -> Face:
    if picture.enlarge == 1.0:
        return face
    x, y, width, height = (side * picture.enlarge for side in face.box)
    return replace(face, box=(x, y, width, height), landmarks=face.landmarks * np.float32(picture.enlarge))
