"""Images made for a test."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def turned(data: bytes, turns: int) -> bytes:
    """Turned by `turns` × 90° counter-clockwise, without EXIF."""
    return encoded(opened(data).rotate(90 * turns, expand=True), "JPEG", quality=95)


def scene(width: int, height: int, *, seed: int = 0) -> Image.Image:
    """Smooth colours without a face, cheap to compress."""
    small = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)


def tiled(data: bytes, across: int, down: int) -> bytes:
    """The same picture side by side."""
    one = opened(data)
    wide = Image.new("RGB", (one.width * across, one.height * down))
    for column in range(across):
        for row in range(down):
            wide.paste(one, (column * one.width, row * one.height))
    return encoded(wide, "JPEG", quality=90)
