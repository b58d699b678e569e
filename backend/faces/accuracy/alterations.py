"""What happens to a photograph between two copies of it: each alteration by name, on a whole upright picture.

The altered copy is written as JPEG 95 without colour subsampling, which by itself changes nothing that an engine notices.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from backend.errors import CorruptImage
from backend.faces.decode_worker import to_rgb

_GREY = (127, 127, 127)


def altered(data: bytes, name: str) -> bytes:
    """A copy of a photograph that `image.read` accepted, as JPEG. Raises CorruptImage.

    The whole picture is decoded, where `read` may take a reduced one: damage may show only now.
    """
    changed = ALTERATIONS[name](_upright(data))
    out = io.BytesIO()
    if name == "jpeg-30":
        changed.save(out, "JPEG", quality=30)
    else:
        changed.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def _upright(data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except MemoryError:
        raise
    except Exception:  # as in `image`: whatever a damaged file leads to
        raise CorruptImage from None


def _unchanged(image: Image.Image) -> Image.Image:
    return image


def _half(image: Image.Image) -> Image.Image:
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def _turned(degrees: float) -> Callable[[Image.Image], Image.Image]:
    """Counter-clockwise; the picture grows, so that nothing of it is lost, and is grey where there was nothing."""

    def turn(image: Image.Image) -> Image.Image:
        return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=_GREY)

    return turn


def _brightness(factor: float) -> Callable[[Image.Image], Image.Image]:
    def change(image: Image.Image) -> Image.Image:
        return ImageEnhance.Brightness(image).enhance(factor)

    return change


def _centre(image: Image.Image) -> Image.Image:
    """The middle 80 % of each side."""
    across, down = round(image.width * 0.1), round(image.height * 0.1)
    return image.crop((across, down, image.width - across, image.height - down))


def _grey(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def _blurred(image: Image.Image) -> Image.Image:
    """Gaussian, with a radius of 0.5 % of the shorter side: what a slightly wrong focus does."""
    return image.filter(ImageFilter.GaussianBlur(min(image.size) * 0.005))


ALTERATIONS: Mapping[str, Callable[[Image.Image], Image.Image]] = MappingProxyType(
    {
        "jpeg-30": _unchanged,  # `altered` writes it at that quality
        "half-size": _half,
        "rotate+15": _turned(15),
        "rotate-15": _turned(-15),
        "flip": ImageOps.mirror,
        "brightness+40": _brightness(1.4),
        "brightness-40": _brightness(0.6),
        "crop-80": _centre,
        "grey": _grey,
        "blur": _blurred,
    }
)

WHAT: Mapping[str, str] = MappingProxyType(
    {
        "jpeg-30": "written as JPEG of quality 30",
        "half-size": "half as wide and high",
        "rotate+15": "turned 15° to the left",
        "rotate-15": "turned 15° to the right",
        "flip": "mirrored",
        "brightness+40": "40 % brighter",
        "brightness-40": "40 % darker",
        "crop-80": "the middle 80 % of each side",
        "grey": "without colour",
        "blur": "Gaussian blur, radius 0.5 % of the shorter side",
    }
)
