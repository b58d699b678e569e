"""Decoding what a client sends: every refusal by its kind, every format to upright RGB, memory within bounds."""

from __future__ import annotations

import io
import struct
import threading
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backend.errors import (
    AnimatedImage,
    CorruptImage,
    EmptyImage,
    FaceAuthError,
    ImageTooLarge,
    Overloaded,
    TooManyPixels,
    UnsupportedImage,
)
from backend.faces import apart
from backend.faces.container import jpeg_scans
from backend.faces.image import ImageLimits, MemoryBudget, as_image, decode, read
from tests.faces.conftest import LIMITS
from tests.faces.made import encoded, opened, scene

BAD: dict[str, type[FaceAuthError] | tuple[int, int]] = {
    "black.jpg": (640, 480),
    "bmp.bmp": (120, 147),
    "bomb_20000x20000.png": TooManyPixels,
    "cmyk.jpg": (335, 410),
    "empty.jpg": EmptyImage,
    "exif_orientation_3.jpg": (335, 410),
    "exif_orientation_6.jpg": (335, 410),
    "gray16.png": (335, 410),
    "no_face_dog.jpg": (600, 450),
    "no_face_house.jpg": (640, 480),
    "rgba.png": (335, 410),
    "small_face_in_1600x1200.jpg": (1600, 1200),
    "text_renamed.jpg": UnsupportedImage,
    "tiny_16x16.jpg": (16, 16),
    "truncated_half.jpg": CorruptImage,
    "upside_down_no_exif.jpg": (335, 410),
}


def jpeg(width: int, height: int, **options: object) -> bytes:
    return encoded(scene(width, height), "JPEG", quality=60, **options)


def huge_png(width: int, height: int) -> bytes:
    """Only a header: whoever decodes it to find out has lost."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def as_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hidden.txt", "hidden")
    return buffer.getvalue()


def test_the_table_of_bad_files_names_every_one_there_is(testdata: Path) -> None:
    assert {path.name for path in (testdata / "bad").iterdir()} == set(BAD)


@pytest.mark.parametrize("name", sorted(BAD))
def test_each_bad_file_is_refused_for_its_reason_or_decoded_upright(testdata: Path, name: str) -> None:
    data, expected = (testdata / "bad" / name).read_bytes(), BAD[name]
    if isinstance(expected, type):
        with pytest.raises(FaceAuthError) as refused:
            decode(data, LIMITS)
        assert type(refused.value) is expected
        print(f"{name}: urn:face-auth:problem:{refused.value.code()}")
    else:
        pixels = decode(data, LIMITS)
        assert pixels.shape == (expected[1], expected[0], 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable


MADE = {
    "60 megapixels": (lambda: huge_png(10_000, 6_000), TooManyPixels),
    "400 megapixels": (lambda: huge_png(20_000, 20_000), TooManyPixels),
    "100 megapixels": (lambda: huge_png(10_000, 10_000), TooManyPixels),
    "animated PNG": (
        lambda: encoded(scene(64, 64), "PNG", save_all=True, append_images=[scene(64, 64, seed=1)]),
        AnimatedImage,
    ),
    "animated WebP": (
        lambda: encoded(scene(64, 64), "WEBP", save_all=True, append_images=[scene(64, 64, seed=1)]),
        AnimatedImage,
    ),
    "animated GIF": (
        lambda: encoded(scene(64, 64), "GIF", save_all=True, append_images=[scene(64, 64, seed=1)]),
        UnsupportedImage,
    ),
    "HEIC": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64, UnsupportedImage),
    "AVIF": (lambda: b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + b"\0" * 64, UnsupportedImage),
    "TIFF": (lambda: encoded(scene(64, 64), "TIFF"), UnsupportedImage),
    "JPEG that is a ZIP": (lambda: jpeg(64, 64) + as_zip(), UnsupportedImage),
    "PNG that is a ZIP": (lambda: encoded(scene(64, 64)) + as_zip(), UnsupportedImage),
    "JPEG that is a PDF": (lambda: jpeg(64, 64, comment=b"%PDF-1.7 1 0 obj"), UnsupportedImage),
    "JPEG that is a web page": (lambda: jpeg(64, 64, comment=b"<ScRiPt>alert(1)</script>"), UnsupportedImage),
    "PNG that is a script": (lambda: encoded(scene(64, 64)) + b"<?php echo 1;", UnsupportedImage),
    "PDF": (lambda: b"%PDF-1.7\n" + b"x" * 100, UnsupportedImage),
    "ZIP": (as_zip, UnsupportedImage),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', UnsupportedImage),
    "PNG cut in its header": (lambda: encoded(scene(64, 64))[:20], CorruptImage),
    "PNG cut in its pixels": (lambda: encoded(scene(640, 640))[:-400], CorruptImage),
    "JPEG of three bytes": (lambda: b"\xff\xd8\xff", CorruptImage),
    "WebP cut in its header": (lambda: encoded(scene(64, 64), "WEBP")[:24], CorruptImage),
    "WebP cut in its pixels": (lambda: encoded(scene(640, 640), "WEBP")[:-200], CorruptImage),
    "BMP of no pixels": (lambda: b"BM" + b"\0" * 60, CorruptImage),
    "PNG with a damaged chunk": (lambda: encoded(scene(64, 64)).replace(b"IDAT", b"IDAX", 1), CorruptImage),
}


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_made_bad_file_is_refused_for_its_reason(name: str) -> None:
    make, expected = MADE[name]
    with pytest.raises(FaceAuthError) as refused:
        decode(make(), LIMITS)
    assert type(refused.value) is expected
    print(f"{name}: urn:face-auth:problem:{refused.value.code()}")


def test_a_webp_of_268_megapixels_is_refused_from_its_header_before_a_canvas_is_made() -> None:
    small = bytearray(encoded(scene(64, 64), "WEBP", save_all=True, append_images=[scene(64, 64, seed=1)]))
    assert small[12:16] == b"VP8X"
    small[24:30] = (16_382).to_bytes(3, "little") * 2
    with pytest.raises(TooManyPixels):
        decode(bytes(small), LIMITS)


def test_too_many_bytes_are_refused_before_they_are_looked_at() -> None:
    with pytest.raises(ImageTooLarge, match=r"11 bytes; at most 10 "):
        decode(b"not an imag", ImageLimits(max_bytes=10))


def test_a_refusal_says_the_size_it_saw() -> None:
    with pytest.raises(TooManyPixels, match="10000 × 6000"):
        decode(huge_png(10_000, 6_000), LIMITS)


def test_a_heic_photograph_is_called_by_its_name() -> None:
    with pytest.raises(UnsupportedImage, match="HEIC"):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", LIMITS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_exif_orientation_is_turned_upright(orientation: int) -> None:
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :30], upright[:20, 30:], upright[20:, :30] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(upright)
    if orientation in undo:
        image = image.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read(encoded(image, "PNG", exif=exif), LIMITS)
    np.testing.assert_array_equal(found.pixels, upright)
    assert (found.width, found.height) == (60, 40)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # Pillow's own; elsewhere it is a line on stderr
def test_damaged_exif_leaves_the_image_as_it_is() -> None:
    data = jpeg(64, 48, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff")
    assert decode(data, LIMITS).shape == (48, 64, 3)


def test_an_image_with_exif_3_and_one_with_6_show_the_same_person_upright(testdata: Path) -> None:
    third, sixth = (decode((testdata / "bad" / f"exif_orientation_{n}.jpg").read_bytes(), LIMITS) for n in (3, 6))
    upside_down = decode((testdata / "bad" / "upside_down_no_exif.jpg").read_bytes(), LIMITS)
    assert np.abs(third.astype(int) - sixth).mean() < 60
    assert np.abs(third.astype(int) - upside_down[::-1, ::-1]).mean() < np.abs(third.astype(int) - upside_down).mean()


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    ramp = np.linspace(0, 65_535, 256 * 4).astype(np.uint16).reshape(4, 256)
    pixels = decode(encoded(Image.fromarray(ramp), "PNG"), LIMITS)
    np.testing.assert_array_equal(pixels[:, :, 0], ramp >> 8)


def test_what_is_transparent_is_white_not_black() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert (decode(encoded(clear), LIMITS) == 255).all()


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("CMYK", "JPEG"), ("L", "BMP")]
)
def test_every_mode_becomes_rgb(mode: str, kind: str) -> None:
    assert decode(encoded(scene(32, 24).convert(mode), kind), LIMITS).shape == (24, 32, 3)


def test_cmyk_keeps_its_colours(testdata: Path) -> None:
    cmyk = decode((testdata / "bad" / "cmyk.jpg").read_bytes(), LIMITS).astype(int)
    rgba = decode((testdata / "bad" / "rgba.png").read_bytes(), LIMITS).astype(int)
    assert abs(cmyk.mean() - rgba.mean()) < 40  # inverted ink would give a negative


def test_a_photograph_with_a_second_picture_appended_by_the_phone_is_read() -> None:
    first, second = scene(64, 48), scene(32, 24, seed=1)
    both = encoded(first, "MPO", save_all=True, append_images=[second])
    assert decode(both, LIMITS).shape == (48, 64, 3)
    assert decode(jpeg(64, 48) + b"\0\0\0\x18ftypmp42" + b"\0" * 500, LIMITS).shape == (48, 64, 3)


def test_a_39_megapixel_jpeg_is_decoded_at_half_its_size_and_known_at_its_own() -> None:
    found = read(jpeg(7200, 5400), LIMITS)
    assert found.pixels.shape == (2700, 3600, 3)
    assert (found.width, found.height, found.enlarge) == (7200, 5400, 2.0)


def test_a_large_png_is_reduced_as_well() -> None:
    assert decode(encoded(Image.new("RGB", (6400, 4800))), LIMITS).shape == (2400, 3200, 3)


@pytest.mark.parametrize("size", [(1999, 1501), (1000, 1000), (3, 3)])
def test_what_is_done_in_strips_is_what_would_be_done_at_once(size: tuple[int, int]) -> None:
    image = scene(*size, seed=2)
    clear = image.convert("RGBA")
    clear.putalpha(scene(*size, seed=3).convert("L"))
    ground = Image.new("RGBA", size, (255, 255, 255, 255))
    expected = np.asarray(Image.alpha_composite(ground, clear).convert("RGB"))
    np.testing.assert_array_equal(decode(encoded(clear), LIMITS), expected)
    np.testing.assert_array_equal(decode(encoded(clear, "WEBP", lossless=True, exact=True), LIMITS), expected)
    assert as_image(expected).tobytes() == expected.tobytes()


def test_a_reduced_image_in_strips_is_the_one_reduced_at_once() -> None:
    image = scene(6401, 3203, seed=4)
    np.testing.assert_array_equal(decode(encoded(image), LIMITS), np.asarray(image.reduce(2)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_what_is_decoded_apart_is_what_is_decoded_here(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = scene(1203, 905, seed=5).convert("P" if kind == "PNG" else "RGB")
    image.info |= {"transparency": 3} if kind == "PNG" else {}
    data = encoded(image, kind)
    found = []
    for large in (0, 10**9):
        monkeypatch.setattr(apart, "LARGE_PIXELS", dict.fromkeys(apart.LARGE_PIXELS, large))
        found.append(decode(data, LIMITS))
    np.testing.assert_array_equal(*found)


def test_a_large_webp_that_is_damaged_is_refused_and_leaves_no_process() -> None:
    data = encoded(scene(1600, 1200), "WEBP")
    before = psutil.Process().children()
    with pytest.raises(CorruptImage):
        decode(data[:-500], LIMITS)
    assert psutil.Process().children() == before


def test_a_process_that_is_ended_from_outside_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Overloaded):
        decode(encoded(scene(1600, 1200), "WEBP"), LIMITS)


def with_scans(data: bytes, times: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * times + data[-2:]


def test_scans_are_counted_along_the_markers_and_too_many_are_refused() -> None:
    sequential, progressive = jpeg(640, 480), jpeg(640, 480, progressive=True)
    assert (jpeg_scans(sequential), jpeg_scans(progressive)) == (1, 10)
    assert jpeg_scans(with_scans(progressive, 25)) == 35
    assert jpeg_scans(sequential + progressive) == 1  # what a phone appends
    thumbnail = b"\xff\xe1" + struct.pack(">H", len(progressive) + 2) + progressive
    assert jpeg_scans(sequential[:2] + thumbnail + sequential[2:]) == 1
    assert jpeg_scans(progressive[:-2]) == 10
    assert decode(with_scans(progressive, 25), LIMITS).shape == (480, 640, 3)
    with pytest.raises(UnsupportedImage, match="510 scans"):
        decode(with_scans(progressive, 500), LIMITS)
    with pytest.raises(UnsupportedImage, match="35 scans"):
        decode(with_scans(progressive, 25), ImageLimits(max_pixels=640 * 480))


def test_decoding_waits_while_its_memory_is_in_use() -> None:
    budget = MemoryBudget(100)
    entered = threading.Event()

    def second() -> None:
        with budget.hold(60):
            entered.set()

    with budget.hold(60):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(10)
    thread.join()


def test_what_needs_more_than_the_whole_budget_is_decoded_alone() -> None:
    budget = MemoryBudget(100)
    with budget.hold(1000):
        pass
    with budget.hold(100):
        pass


def test_eight_large_jpegs_at_once_stay_within_the_budget() -> None:
    data = jpeg(7200, 5400)
    decode(data, LIMITS)
    process, peak, done = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    workers = [threading.Thread(target=decode, args=(data, LIMITS)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done.set()
    watcher.join()
    assert peak < 900 * 1024 * 1024  # eight at full size would be 117 MB each before any copy


def test_memory_stays_flat_over_repeated_bad_images(testdata: Path) -> None:
    files = [path.read_bytes() for path in sorted((testdata / "bad").iterdir())] + [make() for make, _ in MADE.values()]
    process = psutil.Process()

    def decode_all(count: int) -> int:
        for index in range(count):
            try:
                decode(files[index % len(files)], LIMITS)
            except FaceAuthError:
                continue
        return int(process.memory_info().rss)

    after_80, after_500 = decode_all(80), decode_all(420)
    assert after_500 <= 1.1 * after_80


def test_a_bomb_is_refused_in_no_time() -> None:
    began = time.perf_counter()
    with pytest.raises(TooManyPixels):
        decode(huge_png(20_000, 20_000), LIMITS)
    assert time.perf_counter() - began < 1


def pixels_or_refused(data: bytes) -> bool:
    """Anything but pixels or a typed refusal comes through as the exception it is."""
    try:
        return decode(data, LIMITS).ndim == 3
    except FaceAuthError as error:
        return 400 <= error.status < 500


@given(st.binary(max_size=400), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 ", b"BM", b""]))
def test_no_bytes_lead_to_anything_but_pixels_or_an_error_of_ours(tail: bytes, head: bytes) -> None:
    assert pixels_or_refused(head + tail)


@given(st.data())
def test_no_damage_to_a_real_file_leads_to_anything_but_pixels_or_an_error_of_ours(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]))
    whole = bytearray(encoded(scene(24, 24), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert pixels_or_refused(bytes(whole))


def test_nothing_of_the_file_but_its_pixels_is_kept() -> None:
    marked = jpeg(64, 64, comment=b"a secret in the comment", exif=b"Exif\0\0" + b"a secret in the EXIF")
    pixels = decode(marked, LIMITS)
    assert b"secret" not in pixels.tobytes()
    np.testing.assert_array_equal(pixels, np.asarray(opened(marked)))
