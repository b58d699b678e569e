"""The child process of `apart.py`: one image file on standard input, its rows on standard output.

Run by its path, as it needs nothing of ours: `python -P decode_worker.py KIND ROWS`. It answers GOOD and then RGB, ROWS rows at a
time; or DAMAGED.
"""

from __future__ import annotations

import io
import sys

import numpy as np
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401 (or all plugins are loaded)

GOOD, DAMAGED = b"G", b"D"


def main(kind: str, rows: int) -> int:
    answers = sys.stdout.buffer
    Image.MAX_IMAGE_PIXELS = None  # the parent has looked at the size
    try:
        image = Image.open(io.BytesIO(sys.stdin.buffer.read()), formats=[kind])
        image.load()
    except MemoryError:
        return 1  # says nothing of the file
    except Exception:  # Pillow's parsers raise whatever the damaged byte leads to
        answers.write(DAMAGED)
        return 0
    answers.write(GOOD)
    for top in range(0, image.height, rows):
        answers.write(to_rgb(image.crop((0, top, image.width, min(image.height, top + rows)))).tobytes())
    answers.flush()
    return 0


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode; what is transparent becomes white, 16-bit grey keeps its upper byte."""
    if image.mode.startswith("I;16") or image.mode == "I":
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray((wide >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        ground = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, seen).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
