"""Each alteration does what it is called, to the picture as people see it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from backend.errors import CorruptImage
from backend.faces.accuracy.alterations import ALTERATIONS, WHAT, altered
from backend.faces.image import read
from tests.faces.conftest import LIMITS


def made(*, orientation: int = 1) -> bytes:
    """200 × 100, smooth: red grows to the right, green downwards."""
    across, down = np.meshgrid(np.linspace(40, 140, 200), np.linspace(40, 140, 100))
    pixels = np.stack([across, down, np.full_like(across, 60)], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, subsampling=0, exif=exif)
    return out.getvalue()


def seen(name: str) -> np.ndarray:
    return read(altered(made(), name), LIMITS).pixels.astype(float)


ORIGINAL = read(made(), LIMITS).pixels.astype(float)


def test_every_alteration_has_its_words_and_leaves_a_readable_photograph() -> None:
    assert set(WHAT) == set(ALTERATIONS)
    for name in ALTERATIONS:
        assert seen(name).size


def test_sizes() -> None:
    assert seen("half-size").shape == (50, 100, 3)
    assert seen("crop-80").shape == (80, 160, 3)
    assert seen("rotate+15").shape == seen("rotate-15").shape == (150, 220, 3)


@pytest.mark.parametrize(("name", "factor"), [("brightness+40", 1.4), ("brightness-40", 0.6)])
def test_brightness(name: str, factor: float) -> None:
    assert seen(name).mean() / ORIGINAL.mean() == pytest.approx(factor, abs=0.02)


def test_flip_grey_and_turns() -> None:
    np.testing.assert_allclose(seen("flip"), ORIGINAL[:, ::-1], atol=4)
    grey = seen("grey")
    assert np.ptp(grey, axis=2).max() <= 2
    right_of_the_middle = ORIGINAL[50, 180]
    np.testing.assert_allclose(seen("rotate+15")[75 - 21, 110 + 77], right_of_the_middle, atol=5)  # 80 px away, 15° higher
    np.testing.assert_allclose(seen("rotate-15")[75 + 21, 110 + 77], right_of_the_middle, atol=5)


def test_jpeg_30_is_much_smaller_than_what_was_sent() -> None:
    rng = np.random.default_rng(1)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (100, 100, 3), dtype=np.uint8)).save(out, "JPEG", quality=95)
    assert len(altered(out.getvalue(), "jpeg-30")) < len(out.getvalue()) / 2


def test_blur_takes_detail_away() -> None:
    rng = np.random.default_rng(1)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (400, 400, 3), dtype=np.uint8)).save(out, "PNG")
    plain = read(out.getvalue(), LIMITS).pixels.astype(float)
    assert read(altered(out.getvalue(), "blur"), LIMITS).pixels.astype(float).std() < plain.std() / 2


def test_a_damaged_photograph_is_corrupt_as_it_is_to_everybody_else() -> None:
    with pytest.raises(CorruptImage):
        altered(made()[:700], "flip")


def test_a_photograph_on_its_side_is_altered_upright() -> None:
    assert read(altered(made(orientation=6), "half-size"), LIMITS).pixels.shape == (100, 50, 3)
