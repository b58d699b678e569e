"""The stored image of a sample: one upright face with some of its surroundings, small, and nothing else of the upload."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.faces.engine import Face, Pixels
from backend.faces.search import quarter_turns

MARGINS = (2.0, 1.6, 2.5, 1.35, 3.0)
"""Sides of the crop, in sides of the face's box; the first in which the face is found again is used."""
LARGEST_PX = 512
SMALLEST_PX = 256
"""A smaller crop is enlarged: the offline engine's detector steps in fewer, finer scales there and aligns better."""
_JPEG_QUALITY = 95
_GREY = 127


@dataclass(frozen=True)
class Crop:
    data: bytes
    """JPEG"""
    landmarks: NDArray[np.float32]
    """(5, 2) of the upload's landmarks, in pixels of the crop"""


def cut(image: Pixels, face: Face, *, margin: float) -> Crop:
    """The square of `margin` face boxes around the face, turned upright to the nearest 90°, grey where the image ends."""
    x, y, width, height = face.box
    side = max(2, round(margin * max(width, height)))
    left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
    size = min(LARGEST_PX, max(SMALLEST_PX, side))
    turns = quarter_turns(face.landmarks)
    square = np.rot90(_square(image, left, top, side, size), turns)
    landmarks = (face.landmarks - np.array([left, top], np.float32)) * np.float32(size / side)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(square)).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return Crop(buffer.getvalue(), _turned(landmarks, turns, size))


def _turned(points: NDArray[np.float32], turns: int, side: int) -> NDArray[np.float32]:
    """Points of a square image → points of it after np.rot90(…, turns)."""
    for _ in range(turns):
        points = np.stack([points[:, 1], side - 1 - points[:, 0]], axis=1)
    return points.astype(np.float32)


def _square(image: Pixels, left: int, top: int, side: int, size: int) -> Pixels:
    """The square of `side` at (left, top), scaled to `size`. What lies outside is never allocated at full size."""
    square = Image.new("RGB", (size, size), (_GREY, _GREY, _GREY))
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    if x1 > x0 and y1 > y0:
        scale = size / side
        inside = Image.fromarray(np.ascontiguousarray(image[y0:y1, x0:x1]))
        if size != side:
            fits = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
            inside = inside.resize(fits, Image.Resampling.LANCZOS)
        square.paste(inside, (round((x0 - left) * scale), round((y0 - top) * scale)))
    return np.asarray(square)
