"""Where a face crop lies in its frame, so that every face is as large and has its eyes in the same place."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

EYE, APART = (0.36, 0.42), 0.28
"""The left eye as seen, and how far the right one is from it: shares of the frame, which is a square."""
LEAST_PX = 4.0
"""Eyes that are nearer to each other say nothing of how a face is turned."""


@dataclass(frozen=True)
class Placed:
    """`width`, `left` and `top` of the picture in percent of its frame; then it is turned about its upper left corner."""

    width: float
    left: float
    top: float
    degrees: float

    def style(self) -> str:
        return f"width:{self.width:.2f}%;left:{self.left:.2f}%;top:{self.top:.2f}%;transform:rotate({self.degrees:.2f}deg)"


def placed(landmarks: Sequence[tuple[float, float]] | None, width_px: int | None) -> Placed | None:
    """By the eyes, in pixels of a picture of this width; None where there are none to go by."""
    if not width_px or landmarks is None or len(landmarks) < 2:
        return None
    (left_x, left_y), (right_x, right_y) = landmarks[:2]
    across, down = right_x - left_x, right_y - left_y
    distance = math.hypot(across, down)
    if distance < LEAST_PX or across <= 0:
        return None
    turn, scale = -math.atan2(down, across), APART / distance
    x = scale * (left_x * math.cos(turn) - left_y * math.sin(turn))
    y = scale * (left_x * math.sin(turn) + left_y * math.cos(turn))
    return Placed(100 * scale * width_px, 100 * (EYE[0] - x), 100 * (EYE[1] - y), math.degrees(turn))


def width_of(crop: bytes) -> int | None:
    """In pixels, from the picture's header alone; None where it cannot be read."""
    try:
        with Image.open(io.BytesIO(crop)) as picture:
            return int(picture.width)
    except (UnidentifiedImageError, OSError, ValueError):
        return None
