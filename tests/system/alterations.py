"""Altered copies of a photograph, as the same picture comes back from another scanner, phone or archive."""

from __future__ import annotations

import io
import random
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps


def altered(photograph: Path, rng: random.Random) -> bytes:
    """A copy of the photograph with one to three harmless changes, as JPEG."""
    image = Image.open(photograph).convert("RGB")
    for change in rng.sample((_scaled, _brighter, _mirrored, _turned), rng.randint(1, 3)):
        image = change(image, rng)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=rng.randint(60, 95))
    return out.getvalue()


def _scaled(image: Image.Image, rng: random.Random) -> Image.Image:
    factor = rng.uniform(0.7, 1.2)
    return image.resize((round(image.width * factor), round(image.height * factor)))


def _brighter(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(rng.uniform(0.8, 1.25))


def _mirrored(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.mirror(image)


def _turned(image: Image.Image, rng: random.Random) -> Image.Image:
    return image.rotate(rng.uniform(-6, 6), expand=False, fillcolor=(127, 127, 127))
