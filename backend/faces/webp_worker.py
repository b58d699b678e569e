"""The child process of `webp.py`: one WebP file on standard input, its rows on standard output.

Run by its path, as it needs nothing of ours: `python -P webp_worker.py ROWS`. It answers GOOD and the mode in four letters, then
the pixels, ROWS rows at a time; or DAMAGED.
"""

from __future__ import annotations

import io
import sys

GOOD, DAMAGED = b"G", b"D"


def main(rows: int) -> int:
    from PIL import Image, WebPImagePlugin  # noqa: F401 (Image.open would load all plugins)

    answers = sys.stdout.buffer
    Image.MAX_IMAGE_PIXELS = None  # the parent has looked at the size
    try:
        image = Image.open(io.BytesIO(sys.stdin.buffer.read()), formats=["WEBP"])
        image.load()
    except MemoryError:
        return 1  # says nothing of the file
    except Exception:  # Pillow's parsers raise whatever the damaged byte leads to
        answers.write(DAMAGED)
        return 0
    answers.write(GOOD + image.mode.ljust(4).encode())
    for top in range(0, image.height, rows):
        answers.write(image.crop((0, top, image.width, min(image.height, top + rows))).tobytes())
    answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
