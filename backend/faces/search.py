"""Looking again where a detector found nothing: with a margin, and turned by 90°, 270° and 180°.

Detectors miss faces that fill the frame (SCRFD #1518) and photographs that lie on their side. Whatever is found in a
changed view is given in pixels of the image as it was passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.faces.engine import Face, Pixels
from backend.faces.image import as_image

F = TypeVar("F", bound=Face)
Points = NDArray[np.float32]

SMALLEST_FACE_PX = 20
"""Below this a "face" is noise: detectors see one in a blank picture of 16 × 16."""
_MARGIN = 0.5
_MOST_PIXELS_AGAIN = 4_000_000
"""Of what second looks are taken: turned and with a margin, forty megapixels would take ten seconds and half a gigabyte."""
_GREY = 127
_VIEWS = ((0, True), (1, False), (3, False), (2, False), (1, True), (3, True), (2, True))
"""Of second looks: quarter turns, and whether a margin is added; the most likely first."""


@dataclass(frozen=True)
class View:
    """The image at 1/`factor`, turned `turns` × 90° counter-clockwise, then with `margin` pixels of grey around it."""

    pixels: Pixels
    turns: int
    margin: int
    width: int
    height: int
    """before it was turned"""
    factor: int = 1

    def back(self, points: Points) -> Points:
        """(n, 2) of this view → (n, 2) of the image."""
        x, y = points[:, 0] - self.margin, points[:, 1] - self.margin
        right, bottom = self.width - 1, self.height - 1
        turned = [(x, y), (right - y, x), (right - x, bottom - y), (y, bottom - x)][self.turns]
        centres = np.stack(turned, axis=1) * self.factor + (self.factor - 1) / 2
        return centres.astype(np.float32)


class Look(Protocol[F]):
    """A detector: `again` is set in second looks, which may be coarser and must be surer."""

    def __call__(self, pixels: Pixels, /, *, again: bool) -> list[F]: ...


def find(image: Pixels, look: Look[F], move: Callable[[F, View], F]) -> list[F]:
    """Faces of at least SMALLEST_FACE_PX, largest first, from the first view in which `look` finds any."""
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_FACE_PX or max(height, width) > 64 * min(height, width):
        return []  # no face fits in there, and OpenCV fails on what scales to a height of 0
    whole = _Source(image)
    if faces := _seen(whole, 0, False, look, move):
        return _righted(whole, faces, look, move)
    smaller = _reduced(image)
    for turns, padded in _VIEWS:
        if faces := _seen(smaller, turns, padded, look, move):
            return _righted(smaller, faces, look, move)
    return []


@dataclass(frozen=True)
class _Source:
    """What views are taken of: the image at 1/`factor`."""

    pixels: Pixels
    factor: int = 1


def _reduced(image: Pixels) -> _Source:
    factor = math.ceil(math.sqrt(image.shape[0] * image.shape[1] / _MOST_PIXELS_AGAIN))
    return _Source(image) if factor <= 1 else _Source(np.asarray(as_image(image).reduce(factor)), factor)


def _seen(source: _Source, turns: int, padded: bool, look: Look[F], move: Callable[[F, View], F]) -> list[F]:
    view = _view(source, turns, round(_MARGIN * max(source.pixels.shape[:2])) if padded else 0)
    again = padded or turns != 0
    faces = [move(face, view) for face in look(view.pixels, again=again) if face.size >= SMALLEST_FACE_PX]
    return sorted(faces, key=lambda face: face.box[2] * face.box[3], reverse=True)


def _righted(source: _Source, faces: list[F], look: Look[F], move: Callable[[F, View], F]) -> list[F]:
    """Detectors find faces that stand on their head, with landmarks that are little worth: turned upright they are better."""
    turns = quarter_turns(faces[0].landmarks)
    if turns == 0:
        return faces
    righted = _seen(source, turns, False, look, move)
    return righted if righted and righted[0].confidence >= faces[0].confidence else faces


def quarter_turns(landmarks: Points) -> int:
    """How many turns of 90° counter-clockwise bring the eyes level and above the mouth."""
    across = landmarks[1] - landmarks[0]
    return round(float(np.degrees(np.arctan2(across[1], across[0]))) / 90) % 4


def _view(source: _Source, turns: int, margin: int) -> View:
    height, width = source.pixels.shape[:2]
    pixels = np.rot90(source.pixels, turns)
    if margin:
        pixels = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), constant_values=_GREY)
    return View(np.ascontiguousarray(pixels), turns, margin, width, height, source.factor)


def move_face(face: F, view: View) -> F:
    """The face in pixels of the image; the box stays upright in the image."""
    x, y, width, height = face.box
    corners = view.back(np.array([(x, y), (x + width, y + height)], np.float32))
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    box = (float(left), float(top), float(right - left), float(bottom - top))
    return replace(face, box=box, landmarks=view.back(face.landmarks))
