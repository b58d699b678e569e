"""Bytes of a client to pixels, safely: every refusal happens as early as it can.

Order: size in bytes, kind by its first bytes, pixels by its header, number of frames, then decoding under a budget
of memory that all threads share. Only pixels leave this module, so nothing that was hidden in a file is ever stored.
Colour profiles are not applied: recognisers are trained without them, and the profile is the client's to choose.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

# The plugins are imported by name: Image.open would otherwise load all forty to look for one.
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

from backend.errors import (
    AnimatedImage,
    CorruptImage,
    EmptyImage,
    FaceAuthError,
    ImageTooLarge,
    TooManyPixels,
    UnsupportedImage,
)
from backend.faces import apart
from backend.faces.container import Kind, jpeg_scans, second_nature, sniff, webp_size
from backend.faces.decode_worker import to_rgb
from backend.faces.engine import Pixels
from backend.stages import Stage, timed

WANTED_SIDE_PX = 3000
"""An image is decoded at 1/2, 1/4 or 1/8 of its size while its longer side stays at least this long."""

USUAL_SCANS, MAX_SCANS = 12, 500
_EXIF_ORIENTATION = 0x0112
_TURNS: Mapping[int, Callable[[Pixels], Pixels]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}
_SWAPS_SIDES = {5, 6, 7, 8}
_STRIP_PIXELS = 1_000_000
"""Pillow holds the interpreter's lock while it converts: the event loop waits for one strip, not for forty megapixels."""


@dataclass(frozen=True)
class ImageLimits:
    """What a client may send, checked before decoding."""

    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 40_000_000


@dataclass(frozen=True)
class Picture:
    """A decoded image: `pixels` may be smaller than the upright image of `width` × `height` that the client sent."""

    pixels: Pixels
    width: int
    height: int

    @property
    def enlarge(self) -> float:
        """Factor from pixels of `pixels` to pixels of the image as sent."""
        return float(self.width / self.pixels.shape[1])


class MemoryBudget:
    """Lets threads decode side by side while their images together need at most `total` bytes.

    An image that needs more than the whole budget is decoded alone.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        amount = min(amount, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()


# One per process on purpose: the memory it guards is the process's. Eight 39-megapixel JPEGs at once took 4 GB without it.
_budget = MemoryBudget(384 * 1024 * 1024)


def decode(data: bytes, limits: ImageLimits) -> Pixels:
    """The upright image as (h, w, 3) uint8 RGB, possibly at a reduced scale (see `read`).

    Raises EmptyImage, CorruptImage, UnsupportedImage, AnimatedImage, ImageTooLarge or TooManyPixels.
    """
    return read(data, limits).pixels


@timed(Stage.decode)
def read(data: bytes, limits: ImageLimits) -> Picture:
    """`decode`, with the size of the upright image as it was sent."""
    kind = _admit(data, limits)
    image = _open(data, kind)
    try:
        _check_pixels(image.size, limits)
        scans = jpeg_scans(data) if kind is Kind.jpeg else 1
        _check_scans(scans, image.size, limits)
        if kind is not Kind.jpeg and getattr(image, "n_frames", 1) > 1:
            raise AnimatedImage
        orientation = _orientation(image)
        width, height = image.size
        with _budget.hold(_memory_needed(image, kind, scans)):
            pixels = _load(image, data, kind, orientation)
    finally:
        image.close()
    if orientation in _SWAPS_SIDES:
        width, height = height, width
    return Picture(pixels, width, height)


def _admit(data: bytes, limits: ImageLimits) -> Kind:
    if not data:
        raise EmptyImage
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"The image has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted: send a smaller file")
    kind = sniff(data)
    if other := second_nature(data):
        raise UnsupportedImage(f"The file is an image and {other} at once: send the photograph as the camera wrote it")
    if kind is Kind.webp:  # Pillow's decoder reserves the whole canvas when it opens the file
        _check_pixels(webp_size(data), limits)
    return kind


def _check_pixels(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise CorruptImage
    if width * height > limits.max_pixels:
        raise TooManyPixels(f"The image has {width} × {height} pixels; at most {limits.max_pixels:,} are accepted: scale it down")


def _check_scans(scans: int, size: tuple[int, int], limits: ImageLimits) -> None:
    """A photograph has one scan or ten; 100,000 fit into a file that would be decoded for an hour."""
    if scans > MAX_SCANS or (scans > USUAL_SCANS and scans * size[0] * size[1] > USUAL_SCANS * limits.max_pixels):
        raise UnsupportedImage(f"The JPEG has {scans:,} scans, too many for its size: save the photograph anew")


def _open(data: bytes, kind: Kind) -> Image.Image:
    """Reads the header only."""
    try:
        return Image.open(io.BytesIO(data), formats=[kind.value])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooManyPixels from None
    except MemoryError:
        raise
    except Exception:  # Pillow's parsers raise whatever the damaged byte leads to: OSError, SyntaxError, struct.error, KeyError …
        raise CorruptImage from None


def _orientation(image: Image.Image) -> int:
    try:
        value = int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # damaged EXIF says nothing about the pixels: the image stands as it is
        return 1
    return value if value in _TURNS else 1


def _memory_needed(image: Image.Image, kind: Kind, scans: int) -> int:
    """Bytes at the peak of decoding: the decoder's own buffers, the RGB copy and the turned copy."""
    width, height = image.size
    pixels = width * height
    if kind is not Kind.jpeg:
        return pixels * 10
    reduced = pixels // _reduction(image.size) ** 2
    coefficients = pixels * 6 if scans > 1 else 0  # which are kept until the last scan, in sequential files as well
    return reduced * 9 + coefficients


def _reduction(size: tuple[int, int]) -> int:
    return next((factor for factor in (8, 4, 2) if max(size) // factor >= WANTED_SIDE_PX), 1)


def _load(image: Image.Image, data: bytes, kind: Kind, orientation: int) -> Pixels:
    factor = _reduction(image.size)
    try:
        if kind is Kind.jpeg and factor > 1:
            image.draft(None, (image.width // factor, image.height // factor))
            factor = 1
        if image.width * image.height > apart.LARGE_PIXELS[kind]:
            with apart.decoding(data, kind, width=image.width, rows=_rows(image.width, factor)) as rows:
                pixels = _in_strips(image.size, factor, lambda top, bottom: rows.next(bottom - top))
        else:
            image.load()
            pixels = _in_strips(image.size, factor, lambda top, bottom: _strip(image, top, bottom))
    except (MemoryError, FaceAuthError):
        raise
    except Exception:  # as in _open: whatever a truncated or damaged file leads to
        raise CorruptImage from None
    return np.ascontiguousarray(_TURNS[orientation](pixels)) if orientation in _TURNS else pixels


def _in_strips(size: tuple[int, int], factor: int, strip: Callable[[int, int], Image.Image]) -> Pixels:
    """RGB at 1/`factor` of the size; a new array that may be written to. numpy copies without the interpreter's lock."""
    width, height = size
    pixels = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    rows = _rows(width, factor)
    for top in range(0, height, rows):
        seen = to_rgb(strip(top, min(height, top + rows)))
        seen = seen if factor == 1 else seen.reduce(factor)
        pixels[top // factor : top // factor + seen.height] = np.asarray(seen)
    return pixels


def _strip(image: Image.Image, top: int, bottom: int) -> Image.Image:
    """Most images are a single strip, and need no copy."""
    return image if bottom - top == image.height else image.crop((0, top, image.width, bottom))


def _rows(width: int, factor: int) -> int:
    return max(1, _STRIP_PIXELS // width // factor) * factor


def as_image(pixels: Pixels) -> Image.Image:
    """For Pillow's own work on it: `Image.fromarray` in strips, for the same reason."""
    height, width = pixels.shape[:2]
    rows = _rows(width, 1)
    if rows >= height:
        return Image.fromarray(pixels)
    image = Image.new("RGB", (width, height))
    for top in range(0, height, rows):
        image.paste(Image.fromarray(pixels[top : top + rows]), (0, top))
    return image
