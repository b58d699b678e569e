"""Files made to do harm, and odd ones that are good: each with the status and the code that it is to be answered with.

Everything is made here, from the astronaut and from nothing; the bombs decode to forty megapixels from a few hundred kilobytes.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from tests.api.pictures import MADE, astronaut, group, jpeg, woman


@dataclass(frozen=True)
class Hostile:
    """`answer` is to the enrolment: "201", or a status and a problem's code."""

    name: str
    make: Callable[[], bytes]
    answer: str


GOOD, NO_FACE, CORRUPT = "201", "422 no_face", "400 corrupt_image"
UNKNOWN, PIXELS, FRAMES = "415 unsupported_image", "413 too_many_pixels", "415 animated_image"


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)  # type: ignore[arg-type]
    return sink.getvalue()


@cache
def portrait(mode: str = "RGB") -> Image.Image:
    return astronaut().convert(mode)


# --- JPEG ---------------------------------------------------------------------------------------------------------


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(*segments: bytes) -> bytes:
    whole = woman()
    return whole[:2] + b"".join(segments) + whole[2:]


def frame(width: int, height: int, *, marker: int = 0xC0, precision: int = 8, components: int = 1) -> bytes:
    named = b"".join(bytes([number + 1, 0x11, 0]) for number in range(components))
    return segment(marker, struct.pack(">BHHB", precision, height, width, components) + named)


def bare_jpeg(width: int, height: int, *, scans: int = 1, marker: int = 0xC0, precision: int = 8) -> bytes:
    """Grey; a scan is a few bytes of zeros, whatever the image's size."""
    tables = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC4, b"\0" + bytes([1] + [0] * 15) + b"\0")
    tables += segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\xe0")  # AC: the end of a band, for 2^14 blocks and more
    first = segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + b"\0" * 8
    more = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + b"\x00" * 40
    return (
        b"\xff\xd8" + tables + frame(width, height, marker=marker, precision=precision) + first + more * (scans - 1) + b"\xff\xd9"
    )


def exif(*entries: tuple[int, int, int, bytes], following: int = 0, first: int = 8) -> bytes:
    """A TIFF header and one directory: tag, type, count, four bytes of value."""
    directory = struct.pack(">H", len(entries)) + b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0MM\0*" + struct.pack(">I", first) + directory + struct.pack(">I", following)


def turned_by(value: bytes, kind: int = 3) -> bytes:
    return with_segments(segment(0xE1, exif((0x0112, kind, 1, value))))


def ycck() -> bytes:
    """CMYK whose Adobe marker says that it is YCCK."""
    whole = bytearray(saved(portrait("CMYK"), "JPEG"))
    adobe = whole.index(b"Adobe")
    whole[adobe + 11] = 2
    return bytes(whole)


def patched(whole: bytes, place: int, *values: int) -> bytes:
    return whole[:place] + bytes(values) + whole[place + len(values) :]


def without_tables(marker: int) -> bytes:
    whole = woman()
    place = whole.index(bytes([0xFF, marker]))
    length = int.from_bytes(whole[place + 2 : place + 4], "big")
    return whole[:place] + whole[place + 2 + length :]


JPEGS = [
    Hostile("jpeg: two bytes", lambda: b"\xff\xd8", UNKNOWN),
    Hostile("jpeg: three bytes", lambda: b"\xff\xd8\xff", CORRUPT),
    Hostile("jpeg: cut in its header", lambda: woman()[:100], CORRUPT),
    Hostile("jpeg: cut before its first scan", lambda: woman()[: woman().index(b"\xff\xda")], CORRUPT),
    Hostile("jpeg: first half", lambda: woman()[: len(woman()) // 2], CORRUPT),
    Hostile("jpeg: its last tenth missing", lambda: woman()[: len(woman()) * 9 // 10], CORRUPT),
    Hostile("jpeg: 65,535 x 65,535", lambda: bare_jpeg(65_535, 65_535), PIXELS),
    Hostile("jpeg: 65,535 x 8", lambda: saved(Image.new("L", (65_500, 8)), "JPEG"), NO_FACE),
    Hostile("jpeg: 8 x 65,535", lambda: saved(Image.new("L", (8, 65_500)), "JPEG"), NO_FACE),
    Hostile("jpeg: no width", lambda: bare_jpeg(0, 600), CORRUPT),
    Hostile("jpeg: no height", lambda: bare_jpeg(800, 0), CORRUPT),
    Hostile("jpeg: 200,000 scans", lambda: bare_jpeg(6000, 6000, scans=200_000, marker=0xC2), UNKNOWN),
    Hostile("jpeg: 5,000 scans of 16 x 16", lambda: bare_jpeg(16, 16, scans=5_000, marker=0xC2), UNKNOWN),
    Hostile("jpeg: 60 scans of 36 megapixels", lambda: bare_jpeg(6000, 6000, scans=60, marker=0xC2), UNKNOWN),
    Hostile("jpeg: progressive", lambda: saved(portrait(), "JPEG", progressive=True), GOOD),
    Hostile("jpeg: arithmetic by name", lambda: patched(woman(), woman().index(b"\xff\xc0"), 0xFF, 0xC9), NO_FACE),
    Hostile("jpeg: lossless by name", lambda: patched(woman(), woman().index(b"\xff\xc0"), 0xFF, 0xC3), CORRUPT),
    Hostile("jpeg: 12 bits", lambda: bare_jpeg(64, 64, marker=0xC1, precision=12), CORRUPT),
    Hostile("jpeg: no quantisation", lambda: without_tables(0xDB), CORRUPT),
    Hostile("jpeg: a Huffman table short", lambda: without_tables(0xC4), GOOD),
    Hostile("jpeg: grey", lambda: saved(portrait("L"), "JPEG"), GOOD),
    Hostile("jpeg: CMYK", lambda: saved(portrait("CMYK"), "JPEG"), GOOD),
    Hostile("jpeg: YCCK", ycck, NO_FACE),
    Hostile("jpeg: EXIF cut off", lambda: with_segments(segment(0xE1, b"Exif\0\0MM\0*\xff\xff")), GOOD),
    Hostile("jpeg: EXIF that is noise", lambda: with_segments(segment(0xE1, b"Exif\0\0" + bytes(range(256)) * 8)), GOOD),
    Hostile("jpeg: EXIF that loops", lambda: with_segments(segment(0xE1, exif((0x0112, 3, 1, b"\0\1\0\0"), following=8))), GOOD),
    Hostile(
        "jpeg: EXIF whose pointer points at itself",
        lambda: with_segments(segment(0xE1, exif((0x8769, 4, 1, b"\0\0\0\x08")))),
        GOOD,
    ),
    Hostile(
        "jpeg: EXIF with 4 billion values", lambda: with_segments(segment(0xE1, exif((0x0112, 3, 0xFFFFFFFF, b"\0\0\0\0")))), GOOD
    ),
    Hostile("jpeg: EXIF of 5 MiB", lambda: with_segments(*[segment(0xE1, b"Exif\0\0" + b"x" * 65_000)] * 80), GOOD),
    Hostile("jpeg: turned by 0", lambda: turned_by(b"\0\0\0\0"), GOOD),
    Hostile("jpeg: turned by 9", lambda: turned_by(b"\0\x09\0\0"), GOOD),
    Hostile("jpeg: turned by a text", lambda: turned_by(b"up\0\0", kind=2), GOOD),
    Hostile("jpeg: turned by infinity", lambda: turned_by(struct.pack(">f", float("inf")), kind=11), GOOD),
    Hostile("jpeg: 10,000 comments", lambda: with_segments(*[segment(0xFE, b"x" * 100)] * 10_000), GOOD),
    Hostile(
        "jpeg: an ICC profile that is none", lambda: with_segments(segment(0xE2, b"ICC_PROFILE\0\1\1" + b"x" * 60_000)), GOOD
    ),
    Hostile("jpeg: ICC part 1 of 0", lambda: with_segments(segment(0xE2, b"ICC_PROFILE\0\1\0" + b"x" * 100)), GOOD),
    Hostile("jpeg: a ZIP behind it", lambda: woman() + zipped(), UNKNOWN),
    Hostile("jpeg: a web page in its comment", lambda: with_segments(segment(0xFE, b"<script>alert(1)</script>")), UNKNOWN),
    Hostile("jpeg: a PDF in its comment", lambda: with_segments(segment(0xFE, b"%PDF-1.7 1 0 obj")), UNKNOWN),
    Hostile("jpeg: 64 KiB of zeros behind it", lambda: woman() + b"\0" * 65_536, GOOD),
    Hostile("jpeg: more bytes than allowed", lambda: woman() + b"\0" * (10 * 1024 * 1024), "413 image_too_large"),
    Hostile("jpeg: MPO with a second picture", lambda: saved(portrait(), "MPO", save_all=True, append_images=[portrait()]), GOOD),
    Hostile("jpeg: several faces", group, "422 several_faces"),
    Hostile("jpeg: a small face", MADE["face too small"], "422 face_too_small"),
]

# --- PNG ----------------------------------------------------------------------------------------------------------

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def zeros(size: int) -> bytes:
    """`size` zero bytes, compressed a mebibyte at a time."""
    packer, block = zlib.compressobj(9), bytes(1 << 20)
    return b"".join(packer.compress(block[: min(len(block), size - at)]) for at in range(0, size, len(block))) + packer.flush()


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """All of it black, or of the palette's first colour."""

    def bytes_of(columns: int, lines: int) -> int:
        return ((columns * _CHANNELS.get(colour, 1) * depth + 7) // 8 + 1) * lines if columns and lines else 0

    by_adam7 = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _ADAM7]
    passes = by_adam7 if interlaced else [(width, height)]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    pixels = zeros(sum(bytes_of(*one) for one in passes))
    return SIGNATURE + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def headed(width: int, height: int) -> bytes:
    """A header alone, and pixels that are none."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return SIGNATURE + header + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def in_png(extra: bytes) -> bytes:
    whole = saved(portrait(), "PNG")
    return whole[:33] + extra + whole[33:]


def wrong_sum(kind: bytes) -> bytes:
    whole = saved(portrait(), "PNG")
    place = whole.index(kind)
    length = int.from_bytes(whole[place - 4 : place], "big")
    return patched(whole, place + 4 + length, *(byte ^ 0xFF for byte in whole[place + 4 + length : place + 8 + length]))


def palette(*, transparent: bool) -> Image.Image:
    image = portrait().quantize(64)
    if transparent:
        image.info["transparency"] = 3
    return image


def wide_grey() -> Image.Image:
    return Image.fromarray(np.asarray(portrait("L")).astype(np.uint16) << 8)


def animated(kind: str, **options: object) -> bytes:
    frames = [portrait().resize((200, 200)).rotate(angle) for angle in (0, 10, 20)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)


PNGS = [
    Hostile("png: signature alone", lambda: SIGNATURE, CORRUPT),
    Hostile("png: cut in its header", lambda: saved(portrait(), "PNG")[:20], CORRUPT),
    Hostile("png: cut in its pixels", lambda: saved(portrait(), "PNG")[:-400], CORRUPT),
    Hostile("png: wrong checksum of its header", lambda: wrong_sum(b"IHDR"), CORRUPT),
    Hostile("png: wrong checksum of its pixels", lambda: wrong_sum(b"IDAT"), GOOD),
    Hostile("png: 2,147,483,647 x 2,147,483,647", lambda: headed(2**31 - 1, 2**31 - 1), PIXELS),
    Hostile("png: 4,294,967,295 x 1", lambda: headed(2**32 - 1, 1), PIXELS),
    Hostile("png: 400 megapixels", lambda: headed(20_000, 20_000), PIXELS),
    Hostile("png: no size", lambda: headed(0, 0), CORRUPT),
    Hostile("png: a gigabyte behind 64 x 64 pixels", lambda: small_with(zeros(1 << 30)), NO_FACE),
    Hostile("png: no pixels", lambda: headed(64, 64).replace(b"IDAT", b"iDAT"), CORRUPT),
    Hostile("png: text that unpacks to 500 MiB", lambda: in_png(chunk(b"zTXt", b"k\0\0" + zeros(500 << 20))), CORRUPT),
    Hostile("png: iTXt that unpacks to 500 MiB", lambda: in_png(chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(500 << 20))), CORRUPT),
    Hostile("png: ICC profile that unpacks to 500 MiB", lambda: in_png(chunk(b"iCCP", b"k\0\0" + zeros(500 << 20))), CORRUPT),
    Hostile("png: EXIF that loops", lambda: in_png(chunk(b"eXIf", exif((0x0112, 3, 1, b"\0\1\0\0"), following=8)[6:])), GOOD),
    Hostile("png: 50,000 empty chunks", lambda: in_png(chunk(b"teSt", b"") * 50_000), GOOD),
    Hostile("png: a chunk of 4 GiB by its length", lambda: in_png(b"\xff\xff\xff\xffteSt"), CORRUPT),
    Hostile("png: 7 bits a sample", lambda: png(64, 64, depth=7), CORRUPT),
    Hostile("png: colour type 5", lambda: png(64, 64, colour=5), CORRUPT),
    Hostile("png: palette without a palette", lambda: png(64, 64, colour=3), NO_FACE),
    Hostile("png: animated", lambda: animated("PNG"), FRAMES),
    Hostile("png: animated by its header alone", lambda: in_png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))), FRAMES),
    Hostile("png: a ZIP behind it", lambda: saved(portrait(), "PNG") + zipped(), UNKNOWN),
    Hostile("png: a script behind it", lambda: saved(portrait(), "PNG") + b"<?php echo 1;", UNKNOWN),
    Hostile("png: interlaced", lambda: png(640, 480, interlaced=True), NO_FACE),
    Hostile("png: 16-bit grey", lambda: saved(wide_grey(), "PNG"), GOOD),
    Hostile("png: palette", lambda: saved(palette(transparent=False), "PNG"), GOOD),
    Hostile("png: palette with a transparent colour", lambda: saved(palette(transparent=True), "PNG"), GOOD),
    Hostile("png: 1 bit", lambda: saved(portrait("1"), "PNG"), GOOD),
    Hostile("png: grey", lambda: saved(portrait("L"), "PNG"), GOOD),
    Hostile("png: grey with alpha", lambda: saved(portrait("LA"), "PNG"), GOOD),
    Hostile("png: wholly transparent", lambda: saved(Image.new("RGBA", (200, 200)), "PNG"), NO_FACE),
    Hostile("png: 4000 x 8", lambda: png(4000, 8), NO_FACE),
    Hostile("png: 1 x 1", lambda: png(1, 1), NO_FACE),
    Hostile("png: 1 x 60,000", lambda: png(1, 60_000), NO_FACE),
]


def small_with(pixels: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    return SIGNATURE + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# --- WebP and BMP -------------------------------------------------------------------------------------------------


def webp(**options: object) -> bytes:
    return saved(portrait(), "WEBP", **options)


def huge_canvas() -> bytes:
    whole = bytearray(animated("WEBP"))
    whole[24:30] = (16_382).to_bytes(3, "little") * 2
    return bytes(whole)


def bmp(width: int, height: int, *, bits: int = 24, compression: int = 0, pixels: bytes = b"") -> bytes:
    colours = b"".join(bytes([n, n, n, 0]) for n in range(256)) if bits == 8 else b""
    start = 54 + len(colours)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, len(colours) // 4, 0)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + colours + pixels


def run_lengths(width: int, height: int) -> bytes:
    row = bytes([255, 7]) * (width // 255) + bytes([width % 255, 7]) + b"\0\0"
    return bmp(width, height, bits=8, compression=1, pixels=row * height + b"\0\1")


OTHERS = [
    Hostile("webp: 12 bytes", lambda: b"RIFF\4\0\0\0WEBP", CORRUPT),
    Hostile("webp: cut in its pixels", lambda: webp()[:-500], CORRUPT),
    Hostile("webp: cut in its pixels, large", lambda: saved(portrait().resize((1500, 1300)), "WEBP")[:-500], CORRUPT),
    Hostile("webp: a canvas of 268 megapixels", huge_canvas, PIXELS),
    Hostile("webp: animated", lambda: animated("WEBP"), FRAMES),
    Hostile("webp: lossless", lambda: webp(lossless=True), GOOD),
    Hostile("webp: with alpha", lambda: saved(portrait("RGBA"), "WEBP"), GOOD),
    Hostile("webp: large", lambda: saved(portrait().resize((1500, 1303)), "WEBP"), GOOD),
    Hostile("webp: a length of 4 GiB", lambda: patched(webp(), 4, 255, 255, 255, 255), CORRUPT),
    Hostile("bmp: good", lambda: saved(portrait(), "BMP"), GOOD),
    Hostile("bmp: two bytes", lambda: b"BM", CORRUPT),
    Hostile("bmp: no pixels", lambda: bmp(64, 64), CORRUPT),
    Hostile("bmp: 100,000 x 100,000", lambda: bmp(100_000, 100_000), PIXELS),
    Hostile("bmp: a height of -2^31", lambda: bmp(64, -(2**31)), PIXELS),
    Hostile("bmp: 3 bits", lambda: bmp(64, 64, bits=3, pixels=b"\0" * 5000), CORRUPT),
    Hostile("bmp: compressed as nothing known", lambda: bmp(64, 64, compression=9, pixels=b"\0" * 20_000), CORRUPT),
    Hostile("bmp: run lengths", lambda: run_lengths(200, 200), NO_FACE),
    Hostile("gif: animated", MADE["animated GIF"], UNKNOWN),
    Hostile("gif: a script", MADE["GIF that is a script"], UNKNOWN),
    Hostile("tiff", lambda: saved(portrait(), "TIFF"), UNKNOWN),
    Hostile("tiff: of floats", lambda: saved(portrait("F"), "TIFF"), UNKNOWN),
    Hostile("jpeg 2000: JP2", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 500, UNKNOWN),
    Hostile("jpeg 2000: codestream", lambda: b"\xff\x4f\xff\x51" + b"\0" * 500, UNKNOWN),
    Hostile("jpeg xl", lambda: b"\xff\x0a" + b"\0" * 500, UNKNOWN),
    Hostile("avif", lambda: b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + b"\0" * 500, UNKNOWN),
    Hostile("heic", MADE["HEIC"], UNKNOWN),
    Hostile("video", lambda: b"\0\0\0\x18ftypmp42" + b"\0" * 500, UNKNOWN),
    Hostile("ico", lambda: saved(portrait().resize((64, 64)), "ICO"), UNKNOWN),
    Hostile("svg that reads a file", MADE["SVG"], UNKNOWN),
    Hostile("svg of a billion laughs", lambda: b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l "lol">]><svg>&l;</svg>', UNKNOWN),
    Hostile("pdf", MADE["PDF"], UNKNOWN),
    Hostile("postscript", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n", UNKNOWN),
    Hostile("html", lambda: b"<!doctype html><img src=x onerror=alert(1)>", UNKNOWN),
    Hostile("zip of a photograph", lambda: zipped(woman()), UNKNOWN),
    Hostile("gzip of a photograph", lambda: gzip.compress(woman(), mtime=0), UNKNOWN),
    Hostile("tar of a photograph", lambda: tarred(woman()), UNKNOWN),
    Hostile("a program", lambda: b"\x7fELF" + b"\0" * 500, UNKNOWN),
    Hostile("a path", lambda: b"/etc/passwd", UNKNOWN),
    Hostile("an address", lambda: b"http://127.0.0.1:8000/v1/keys", UNKNOWN),
    Hostile("a pickle", lambda: b"\x80\x04cos\nsystem\n", UNKNOWN),
    Hostile("NUL bytes", lambda: b"\0" * 10_000, UNKNOWN),
    Hostile("noise", MADE["noise"], UNKNOWN),
    Hostile("one byte", MADE["one byte"], UNKNOWN),
    Hostile("nothing", MADE["nothing"], "400 empty_image"),
]


def zipped(content: bytes = b"hidden") -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("face.jpg", content)
    return sink.getvalue()


def tarred(content: bytes) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        entry = tarfile.TarInfo("face.jpg")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return sink.getvalue()


HOSTILE = [*JPEGS, *PNGS, *OTHERS]

# --- bombs: admitted by their headers, heavy to decode ------------------------------------------------------------


def _photograph(width: int, height: int) -> Image.Image:
    small = np.random.default_rng(1).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)


_EVERY_COLOUR = chunk(b"PLTE", bytes(range(256)) * 3) + chunk(b"tRNS", bytes(range(256)))

BOMBS: dict[str, Callable[[], bytes]] = {
    "jpeg, 39 megapixels, progressive": lambda: jpeg_bomb(progressive=True),
    "jpeg, 39 megapixels": lambda: jpeg_bomb(progressive=False),
    "png, 39 megapixels with alpha": lambda: png(7300, 5400, colour=6),
    "png, 39 megapixels, 16 bits with alpha": lambda: png(7300, 5400, colour=6, depth=16),
    "png, 39 megapixels, 16-bit grey": lambda: png(7300, 5400, colour=0, depth=16),
    "png, 39 megapixels, palette": lambda: png(7300, 5400, colour=3, extra=_EVERY_COLOUR),
    "png, 39 megapixels, interlaced": lambda: png(7300, 5400, interlaced=True),
    "png, 36 megapixels that are not reduced": lambda: png(5999, 5999),
    "webp, 39 megapixels": lambda: saved(_photograph(7300, 5400), "WEBP", quality=20, method=0),
    "bmp, 39 megapixels of run lengths": lambda: run_lengths(7300, 5400),
}


def jpeg_bomb(*, progressive: bool) -> bytes:
    return saved(_photograph(7300, 5400), "JPEG", quality=70, progressive=progressive)


def turned_bomb() -> bytes:
    turned = Image.Exif()
    turned[0x0112] = 6
    return jpeg(_photograph(5999, 5999), exif=turned.tobytes())


BOMBS["jpeg, 36 megapixels on their side"] = turned_bomb
