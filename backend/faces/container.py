"""What kind of file some bytes are, from the bytes alone: names and content types are the client's to choose."""

from __future__ import annotations

import re
import struct
from enum import Enum

from backend.errors import CorruptImage, UnsupportedImage


class Kind(Enum):
    """The formats that are read; the value is Pillow's name."""

    jpeg = "JPEG"
    png = "PNG"
    webp = "WEBP"
    bmp = "BMP"


_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}
_ZIP_END = b"PK\x05\x06"
_ZIP_ENTRY = b"PK\x01\x02"
_ZIP_END_BYTES = 22
_LONGEST_ZIP_COMMENT = 0xFFFF
_AFTER_ENTROPY = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""The next marker after compressed data, in which 0xFF is followed by 0 or by a restart marker's number."""
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_ALONE = {0x01, *range(0xD0, 0xD9)}
_MARKUP = re.compile(rb"<(?i:script|!doctype html|\?php )")
"""In capitals or not. What stands before the group is looked for quickly: a quarter of lower case and three passes."""


def sniff(data: bytes) -> Kind:
    """Raises UnsupportedImage for everything else, with the sentence that helps the sender most."""
    if data.startswith(b"\xff\xd8\xff"):
        return Kind.jpeg
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Kind.png
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return Kind.webp
    if data.startswith(b"BM"):
        return Kind.bmp
    if data[4:8] == b"ftyp":
        name = "HEIC" if data[8:12] in _HEIF_BRANDS else "AVIF" if data[8:12] in {b"avif", b"avis"} else "a video"
        raise UnsupportedImage(f"The file is {name}, which is not read: send JPEG, PNG, WebP or BMP")
    if data.startswith((b"GIF87a", b"GIF89a")):
        raise UnsupportedImage("The file is a GIF, which is not read: send JPEG, PNG, WebP or BMP")
    if data.startswith((b"II*\0", b"MM\0*")):
        raise UnsupportedImage("The file is a TIFF or a raw photograph, which is not read: send JPEG, PNG, WebP or BMP")
    raise UnsupportedImage


def second_nature(data: bytes) -> str | None:
    """What else the file is when it is a polyglot, else None.

    Phones append to their JPEGs (a depth map, a short film), so bytes after the image are no reason to refuse;
    a complete archive, a document or a web page is. Nothing of either would be stored: only pixels are.
    """
    if _ends_as_zip(data):
        return "a ZIP archive"
    if b"%PDF-" in data[:1024]:
        return "a PDF document"
    return "a web page or script" if _MARKUP.search(data) else None


def _ends_as_zip(data: bytes) -> bool:
    """A real end-of-directory record: four bytes alone would turn up by chance once in 65,000 photographs."""
    end = data.rfind(_ZIP_END, max(0, len(data) - _ZIP_END_BYTES - _LONGEST_ZIP_COMMENT))
    if end < 0 or end + _ZIP_END_BYTES > len(data):
        return False
    size, _offset, comment = struct.unpack_from("<IIH", data, end + 12)
    if end + _ZIP_END_BYTES + comment != len(data):
        return False
    return size == 0 or data[max(0, end - size) :].startswith(_ZIP_ENTRY)


def webp_size(data: bytes) -> tuple[int, int]:
    """Canvas width and height of a WebP from its first chunk (RFC 9649). Raises CorruptImage."""
    chunk, body = data[12:16], data[20:30]
    if len(body) < 10:
        raise CorruptImage
    if chunk == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise CorruptImage


def jpeg_scans(data: bytes) -> int:
    """How often a JPEG's decoder goes through the whole image: each scan may be a few bytes long and cost as much as any other.

    Counted along the markers, as what a phone appends, and the thumbnail in its EXIF, have scans of their own.
    """
    scans, place = 0, 2
    while place + 4 <= len(data):
        marker = data[place + 1]
        if data[place] != 0xFF or marker == _JPEG_END:
            break
        if marker == 0xFF or marker in _JPEG_ALONE:
            place += 1 if marker == 0xFF else 2
            continue
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == _JPEG_SCAN:
            scans += 1
            found = _AFTER_ENTROPY.search(data, place)
            place = found.start() if found else len(data)
    return scans
