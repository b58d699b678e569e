"""Photographs that installed packages carry, and altered copies as they come back from another scanner, phone or archive."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance, ImageOps

GROUP = ("insightface", "data/images/t1.jpg")
"""Six people at a table; its own README shows their faces found."""
ASTRONAUT = ("skimage", "data/astronaut.png")
"""Eileen Collins, NASA, public domain."""
PUBLIC_DOMAIN = frozenset({"astronaut"})
"""Portraits, by their keys, that may be shown to anybody; a picture of the dashboard blurs all others."""
MARGIN = 0.9
"""Of the face's box, on each side: room for hair, chin and a turned copy."""
GREY = (127, 127, 127)
QUALITY = 92


@dataclass(frozen=True)
class Portrait:
    """One face of the demo; `key` names it in external ids and idempotency keys."""

    key: str
    jpeg: bytes


def packaged(package: str, path: str) -> Path | None:
    """A data file of an installed package, found without importing it; None where it is not."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / path
    return file if file.is_file() else None


def cut(photograph: Path, box: Mapping[str, Any]) -> bytes:
    """The face in `box` (pixels: x, y, width, height) with a margin, as JPEG."""
    image = Image.open(photograph).convert("RGB")
    across, down = box["width"] * MARGIN, box["height"] * MARGIN
    corners = (
        max(0, round(box["x"] - across)),
        max(0, round(box["y"] - down)),
        min(image.width, round(box["x"] + box["width"] + across)),
        min(image.height, round(box["y"] + box["height"] + down)),
    )
    return jpeg(image.crop(corners))


def whole(photograph: Path) -> bytes:
    return jpeg(Image.open(photograph).convert("RGB"))


def jpeg(image: Image.Image, quality: int = QUALITY) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _recompressed(image: Image.Image) -> bytes:
    return jpeg(image, quality=55)


def _brighter(image: Image.Image) -> bytes:
    return jpeg(ImageEnhance.Brightness(image).enhance(1.2))


def _mirrored(image: Image.Image) -> bytes:
    return jpeg(ImageOps.mirror(image))


def _turned(image: Image.Image) -> bytes:
    return jpeg(image.rotate(5, resample=Image.Resampling.BICUBIC, fillcolor=GREY))


def _smaller(image: Image.Image) -> bytes:
    return jpeg(image.resize((round(image.width * 0.8), round(image.height * 0.8)), Image.Resampling.LANCZOS))


ALTERATIONS: dict[str, Callable[[Image.Image], bytes]] = {
    "recompressed": _recompressed,
    "brighter": _brighter,
    "mirrored": _mirrored,
    "turned": _turned,
    "smaller": _smaller,
}


def altered(portrait: Portrait, alteration: str) -> Portrait:
    """The same face once more; the same bytes every time, so that a repeated enrolment is recognised as one."""
    image = Image.open(io.BytesIO(portrait.jpeg)).convert("RGB")
    return Portrait(f"{portrait.key}-{alteration}", ALTERATIONS[alteration](image))
