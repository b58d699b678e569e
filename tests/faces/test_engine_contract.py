"""What every engine must do; each test runs over both."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFilter

from backend.errors import FaceTooSmall, NoFace, PoorQuality, SeveralFaces, TooManyFaces
from backend.faces.capture import capture, detect, probe
from backend.faces.engine import Engine, Face, Metric
from backend.faces.image import decode, read
from backend.faces.load import load_engine
from backend.faces.score import score
from tests.faces.conftest import LIMITS
from tests.faces.made import encoded, opened, scene, tiled, turned


def one_face(engine: Engine, data: bytes) -> Face:
    faces = engine.detect(decode(data, LIMITS))
    assert len(faces) == 1
    return faces[0]


def repeated(engine: Engine, crop: bytes, vector: np.ndarray) -> float:
    """The score of a stored template with what the probe path makes of its crop."""
    return score(engine.card.metric, probe(engine, crop, limits=LIMITS, largest_only=True).faces[0].vector, vector)


def test_the_card_says_what_the_engine_is(engine: Engine) -> None:
    card = engine.card
    assert card.dimension in {128, 512}
    assert card.licence
    assert card.certain_threshold > card.review_threshold
    assert card.certain_threshold > card.verification_threshold
    assert all(len(digest) == 64 for digest in card.files.values())
    assert len(card.files) == 2


def test_the_model_id_is_the_same_when_the_engine_is_loaded_again(engine: Engine, testdata: Path) -> None:
    again = (
        load_engine("offline")
        if engine.card.engine == "offline"
        else load_engine("insightface", model_pack=testdata / "models" / "test_mbf")
    )
    assert again.card == engine.card


def test_six_people_are_found_in_the_group_photo(engine: Engine, group_photo: bytes) -> None:
    found = detect(engine, group_photo, limits=LIMITS)
    assert len(found.faces) == 6
    assert (found.width, found.height) == opened(group_photo).size


def test_faces_come_largest_first(engine: Engine, group_photo: bytes) -> None:
    areas = [seen.face.box[2] * seen.face.box[3] for seen in detect(engine, group_photo, limits=LIMITS).faces]
    assert areas == sorted(areas, reverse=True)


def test_landmarks_lie_in_the_box_and_in_their_order(engine: Engine, portrait: bytes) -> None:
    face = one_face(engine, portrait)
    x, y, width, height = face.box
    left, right, nose, mouth_left, mouth_right = face.landmarks
    assert face.landmarks.shape == (5, 2)
    assert face.landmarks.dtype == np.float32
    assert x < left[0] < nose[0] < right[0] < x + width
    assert y < left[1] < nose[1] < mouth_left[1] < y + height * 1.1
    assert mouth_left[0] < mouth_right[0]


def test_a_picture_without_people_has_no_faces(engine: Engine, testdata: Path) -> None:
    for name in ("no_face_house.jpg", "no_face_dog.jpg", "black.jpg"):
        assert detect(engine, (testdata / "bad" / name).read_bytes(), limits=LIMITS).faces == []


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (4000, 8), (8, 4000), (3000, 20)])
def test_a_sliver_or_a_speck_holds_no_face_and_breaks_nothing(engine: Engine, size: tuple[int, int]) -> None:
    assert detect(engine, encoded(scene(*size)), limits=LIMITS).faces == []


def test_a_template_has_the_stated_dimension_and_scale(engine: Engine, portrait: bytes) -> None:
    vector = engine.embed(decode(portrait, LIMITS), one_face(engine, portrait))
    assert vector.shape == (engine.card.dimension,)
    assert vector.dtype == np.float32
    norm = float(np.linalg.norm(vector))
    assert norm == pytest.approx(1, abs=1e-5) if engine.card.metric is Metric.cosine else 1.2 < norm < 1.7


def test_the_same_image_gives_the_same_template(engine: Engine, portrait: bytes) -> None:
    pixels = decode(portrait, LIMITS)
    first, second = (engine.embed(pixels, engine.detect(pixels)[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_template_compared_with_itself_scores_one(engine: Engine, portrait: bytes) -> None:
    vector = engine.embed(decode(portrait, LIMITS), one_face(engine, portrait))
    assert score(engine.card.metric, vector, vector) == pytest.approx(1, abs=1e-5)


def test_two_photographs_of_one_person_reach_the_review_threshold_and_two_people_do_not(engine: Engine, testdata: Path) -> None:
    def vector(name: str) -> np.ndarray:
        return capture(engine, (testdata / "faces" / name / "01.jpg").read_bytes(), limits=LIMITS).vector

    metric, threshold = engine.card.metric, engine.card.review_threshold
    again = capture(engine, (testdata / "faces" / "obama" / "02.jpg").read_bytes(), limits=LIMITS, choose="largest").vector
    assert score(metric, vector("obama"), again) >= threshold
    assert score(metric, vector("obama"), vector("H001066_horsford")) < threshold


def test_the_stored_score_can_be_repeated_from_two_stored_crops(engine: Engine, testdata: Path) -> None:
    first, second = (
        capture(engine, (testdata / "faces" / "R000395_rogers" / f"0{n}.jpg").read_bytes(), limits=LIMITS) for n in (1, 2)
    )
    stored = score(engine.card.metric, first.vector, second.vector)
    one, other = (probe(engine, face.crop, limits=LIMITS, largest_only=True).faces[0].vector for face in (first, second))
    assert score(engine.card.metric, one, other) == pytest.approx(stored, abs=0.001)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photograph_on_its_side_is_stored_upright_and_its_score_can_be_repeated(
    engine: Engine, portrait: bytes, turns: int
) -> None:
    upright = capture(engine, portrait, limits=LIMITS)
    captured = capture(engine, turned(portrait, turns), limits=LIMITS)
    left, right, nose = captured.landmarks[:3]
    assert left[0] < right[0]
    assert left[1] < nose[1]
    assert repeated(engine, captured.crop, captured.vector) == pytest.approx(1, abs=0.001)
    assert score(engine.card.metric, captured.vector, upright.vector) >= engine.card.certain_threshold


def test_a_face_that_fills_the_frame_is_found_and_its_score_can_be_repeated(engine: Engine, portrait: bytes) -> None:
    x, y, width, height = one_face(engine, portrait).box
    tight = opened(portrait).crop((round(x + 0.05 * width), round(y), round(x + 0.95 * width), round(y + height)))
    captured = capture(engine, encoded(tight.resize((tight.width * 2, tight.height * 2)), "JPEG", quality=95), limits=LIMITS)
    assert repeated(engine, captured.crop, captured.vector) == pytest.approx(1, abs=0.001)
    whole = capture(engine, portrait, limits=LIMITS)
    assert score(engine.card.metric, captured.vector, whole.vector) >= engine.card.review_threshold


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_large_photograph_on_its_side_is_found_where_it_is(engine: Engine, portrait: bytes, turns: int) -> None:
    """Of twelve megapixels, so that second looks are taken of a smaller copy: boxes and landmarks are the large one's."""
    upright = opened(portrait).resize((3000, 3672))
    (expected,) = engine.detect(np.array(upright))
    on_its_side = np.ascontiguousarray(np.rot90(np.array(upright), turns))
    found = engine.detect(on_its_side)[0]
    x, y = expected.landmarks[:, 0], expected.landmarks[:, 1]
    right, bottom = upright.width - 1, upright.height - 1
    turned = [(x, y), (y, right - x), (right - x, bottom - y), (bottom - y, x)][turns]
    away = np.linalg.norm(found.landmarks[:3] - np.stack(turned, axis=1)[:3], axis=1).max()
    assert away < np.linalg.norm(expected.landmarks[1] - expected.landmarks[0]) / 6


def test_the_crop_is_a_small_jpeg_with_the_face_in_its_middle(engine: Engine, portrait: bytes) -> None:
    captured = capture(engine, portrait, limits=LIMITS)
    crop = opened(captured.crop)
    assert captured.crop.startswith(b"\xff\xd8\xff")
    assert crop.width == crop.height <= 512
    middle = captured.landmarks.mean(axis=0) / crop.width
    assert ((middle > 0.35) & (middle < 0.68)).all()


def test_the_crop_of_an_enlarged_photograph_stays_small(engine: Engine, portrait: bytes) -> None:
    large = opened(portrait).resize((3600, 4400))
    captured = capture(engine, encoded(large, "JPEG", quality=80), limits=LIMITS)
    assert opened(captured.crop).size == (512, 512)
    small = capture(engine, portrait, limits=LIMITS)
    assert score(engine.card.metric, captured.vector, small.vector) >= engine.card.review_threshold


def test_boxes_are_in_pixels_of_the_image_as_sent_even_when_it_was_decoded_smaller(engine: Engine, portrait: bytes) -> None:
    small = opened(portrait)
    large = encoded(small.resize((small.width * 6400 // small.height, 6400)), "JPEG", quality=80)
    assert read(large, LIMITS).pixels.shape[0] == 3200
    (there,), (here,) = (detect(engine, data, limits=LIMITS).faces for data in (large, portrait))
    factor = 6400 / small.height
    np.testing.assert_allclose(there.face.landmarks[:3] / factor, here.face.landmarks[:3], atol=0.06 * here.face.size)


def test_enrolling_the_only_face_refuses_a_group(engine: Engine, group_photo: bytes) -> None:
    with pytest.raises(SeveralFaces, match="6 faces"):
        capture(engine, group_photo, limits=LIMITS)


def test_enrolling_the_largest_face_of_a_group_takes_that_one(engine: Engine, group_photo: bytes) -> None:
    captured = capture(engine, group_photo, limits=LIMITS, choose="largest")
    everybody = probe(engine, group_photo, limits=LIMITS).faces
    found = [score(engine.card.metric, captured.vector, face.vector) for face in everybody]
    assert found[0] == max(found)
    assert found[0] >= engine.card.certain_threshold


def test_a_probe_of_the_largest_face_counts_the_others(engine: Engine, group_photo: bytes) -> None:
    found = probe(engine, group_photo, limits=LIMITS, largest_only=True)
    assert (len(found.faces), found.faces_found) == (1, 6)


def test_a_crowd_is_refused(engine: Engine, group_photo: bytes) -> None:
    crowd = tiled(group_photo, 3, 2)
    with pytest.raises(TooManyFaces):
        probe(engine, crowd, limits=LIMITS)
    with pytest.raises(TooManyFaces):
        capture(engine, crowd, limits=LIMITS, choose="largest")


def test_nobody_is_no_template(engine: Engine, testdata: Path) -> None:
    house = (testdata / "bad" / "no_face_house.jpg").read_bytes()
    assert probe(engine, house, limits=LIMITS).faces == []
    with pytest.raises(NoFace):
        capture(engine, house, limits=LIMITS)


def test_a_face_smaller_than_asked_for_is_refused_with_its_size(engine: Engine, portrait: bytes) -> None:
    size = round(one_face(engine, portrait).size)
    with pytest.raises(FaceTooSmall, match=rf"{size} pixels .* {size + 5} are needed"):
        capture(engine, portrait, limits=LIMITS, min_face_px=size + 5)


def test_a_face_too_blurred_to_match_itself_is_refused_with_advice(engine: Engine, portrait: bytes) -> None:
    sharp = opened(portrait)
    blurred = sharp.filter(ImageFilter.GaussianBlur(12 * sharp.width / 450))
    with pytest.raises(PoorQuality, match="let the camera focus"):
        capture(engine, encoded(blurred, "JPEG"), limits=LIMITS)


def test_a_face_in_the_dark_is_refused_with_advice(engine: Engine, portrait: bytes) -> None:
    dark = opened(portrait).point(lambda value: value * 0.08)
    with pytest.raises(PoorQuality, match="light"):
        capture(engine, encoded(dark), limits=LIMITS)


def test_threads_get_what_one_thread_gets(engine: Engine, testdata: Path) -> None:
    photographs = [path.read_bytes() for path in sorted((testdata / "faces").glob("*/01.jpg"))[:6]]

    def vector(data: bytes) -> np.ndarray:
        return probe(engine, data, limits=LIMITS, largest_only=True).faces[0].vector

    alone = [vector(data) for data in photographs]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(vector, photographs * 2))
    for expected, found in zip(alone * 2, together, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
