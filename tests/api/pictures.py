"""Photographs that the installed packages carry, altered copies of them, and files that are made to be refused."""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from PIL import Image, ImageEnhance


def _package_file(package: str, *parts: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0], *parts)


@cache
def astronaut() -> Image.Image:
    """Head and shoulders: further down the offline engine's detector sees a second face in the suit."""
    return Image.open(_package_file("skimage", "data", "astronaut.png")).convert("RGB").crop((50, 0, 430, 330))


@cache
def group() -> bytes:
    """Six people."""
    return _package_file("insightface", "data", "images", "t1.jpg").read_bytes()


def jpeg(image: Image.Image, *, quality: int = 92, exif: bytes = b"") -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=quality, exif=exif)
    return sink.getvalue()


def woman() -> bytes:
    return jpeg(astronaut())


def same_woman(turn: int = 1) -> bytes:
    """The same photograph, brighter, smaller and in another crop: a duplicate that shares no byte. `turn` varies it."""
    cut = astronaut().crop((20 + turn, 4, 370 - turn, 320))
    small = cut.resize((330 - turn, 298))
    return jpeg(ImageEnhance.Brightness(small).enhance(1.1), quality=85)


def people_of_the_group(boxes: list[tuple[float, float, float, float]]) -> list[bytes]:
    """One photograph per box (x, y, width, height), with as much again around it, enlarged to twice the size."""
    whole = Image.open(io.BytesIO(group())).convert("RGB")
    found = []
    for x, y, width, height in boxes:
        side = max(width, height)
        cut = whole.crop((int(x - side * 0.45), int(y - side * 0.5), int(x + width + side * 0.45), int(y + height + side * 0.5)))
        found.append(jpeg(cut.resize((cut.width * 2, cut.height * 2), Image.Resampling.LANCZOS)))
    return found


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)  # type: ignore[arg-type]
    return sink.getvalue()


def _sixty_megapixels() -> bytes:
    """A PNG whose header says 10,000 × 6,000; decoding it would take 180 MB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_000, 6_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * (1 + 30_000) * 10, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _animated(kind: str) -> bytes:
    frames = [astronaut().resize((200, 200)).rotate(angle) for angle in (0, 10, 20)]
    return _saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)


def _heic() -> bytes:
    return struct.pack(">I", 24) + b"ftypheic" + b"\0\0\0\0mif1heic" + b"\0" * 2000


def _polyglot() -> bytes:
    return woman() + b"PK\x03\x04" + b"\0" * 26 + b"hello.txt" + b"PK\x05\x06" + b"\0" * 18


def _with_html() -> bytes:
    return b"GIF89a/*" + b"<script>alert(1)</script>" * 10


def _small_face() -> bytes:
    """About 36 pixels wide."""
    return jpeg(astronaut().resize((134, 116), Image.Resampling.LANCZOS), quality=98)


MADE: dict[str, Callable[[], bytes]] = {
    "60 megapixels": _sixty_megapixels,
    "animated WebP": lambda: _animated("WEBP"),
    "animated PNG": lambda: _animated("PNG"),
    "animated GIF": lambda: _animated("GIF"),
    "HEIC": _heic,
    "JPEG that is a ZIP too": _polyglot,
    "GIF that is a script": _with_html,
    "TIFF": lambda: _saved(astronaut(), "TIFF"),
    "PDF": lambda: b"%PDF-1.7\n" + b"0" * 5000,
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "several faces": group,
    "face too small": _small_face,
    "nothing": lambda: b"",
    "one byte": lambda: b"\xff",
    "first half of a JPEG": lambda: woman()[: len(woman()) // 2],
    "noise": lambda: bytes(range(256)) * 100,
}
"""What no enrolment may accept."""
