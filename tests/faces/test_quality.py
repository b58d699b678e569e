"""Components, reasons and advice."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter

from backend.errors import QualityTooLow
from backend.faces import quality
from backend.faces.engine import Engine, Face
from backend.faces.gate import COMPONENTS, Gate, check_least, least_in
from backend.faces.quality import POOR, Quality, assess

OFIQ = {
    "SingleFacePresent",
    "InterEyeDistance",
    "HeadPoseYaw",
    "HeadPosePitch",
    "HeadPoseRoll",
    "Sharpness",
    "LuminanceMean",
    "UnderExposurePrevention",
    "OverExposurePrevention",
    "DynamicRange",
    "LeftwardCropOfTheFaceImage",
    "RightwardCropOfTheFaceImage",
    "MarginAboveOfTheFaceImage",
    "MarginBelowOfTheFaceImage",
}
REKOGNITION = {"EXCEEDS_MAX_FACES", "EXTREME_POSE", "LOW_BRIGHTNESS", "LOW_SHARPNESS", "SMALL_BOUNDING_BOX", "LOW_FACE_QUALITY"}


@pytest.fixture(scope="module")
def seen(offline: Engine, portrait: bytes) -> tuple[Image.Image, Face]:
    from tests.faces.made import opened

    image = opened(portrait)
    (face,) = offline.detect(np.array(image))
    return image, face


def judged(image: Image.Image, face: Face, **how: int) -> Quality:
    return assess(np.array(image), face, faces_in_image=how.get("faces", 1))


def moved(face: Face, *, landmarks: np.ndarray | None = None, box: tuple[float, float, float, float] | None = None) -> Face:
    return Face(box or face.box, face.landmarks if landmarks is None else landmarks.astype(np.float32), face.confidence)


def test_a_good_portrait_has_every_component_and_no_reason(seen: tuple[Image.Image, Face]) -> None:
    found = judged(*seen)
    assert set(found.components) == OFIQ
    assert all(isinstance(value, int) and 0 <= value <= 100 for value in found.components.values())
    assert found.reasons == ()
    assert found.overall >= 70


def test_every_reason_is_one_of_rekognitions_with_one_sentence_to_follow() -> None:
    assert set(quality._REASONS) == OFIQ == set(COMPONENTS)
    for reason in [*quality._REASONS.values(), quality._TOO_BRIGHT]:
        assert reason.code in REKOGNITION
        assert re.fullmatch(r"[A-Z][^.!?]*\.", reason.advice)


SPOILT: dict[str, tuple[Callable[[Image.Image], Image.Image], str, str]] = {
    "blurred": (lambda image: image.filter(ImageFilter.GaussianBlur(image.width / 80)), "Sharpness", "LOW_SHARPNESS"),
    "dark": (lambda image: image.point(lambda value: value * 0.1), "LuminanceMean", "LOW_BRIGHTNESS"),
    "bright": (lambda image: image.point(lambda value: 200 + value * 0.2), "LuminanceMean", "LOW_FACE_QUALITY"),
    "glaring": (lambda image: image.point(lambda value: value * 4), "OverExposurePrevention", "LOW_FACE_QUALITY"),
    "flat": (lambda image: image.point(lambda value: 120 + value * 0.1), "DynamicRange", "LOW_FACE_QUALITY"),
    "black": (lambda image: image.point(lambda value: value * 0.02), "UnderExposurePrevention", "LOW_BRIGHTNESS"),
}


@pytest.mark.parametrize("fault", sorted(SPOILT))
def test_what_is_wrong_with_the_light_or_the_focus_is_named(seen: tuple[Image.Image, Face], fault: str) -> None:
    spoil, component, code = SPOILT[fault]
    image, face = seen
    found = judged(spoil(image), face)
    assert found.components[component] < POOR <= judged(image, face).components[component]
    assert code in {reason.code for reason in found.reasons}
    assert found.overall <= found.components[component]


def test_a_head_turned_to_the_side_is_told_to_face_the_camera(seen: tuple[Image.Image, Face]) -> None:
    image, face = seen
    points = face.landmarks.copy()
    points[2] = points[0]
    found = judged(image, moved(face, landmarks=points))
    assert found.components["HeadPoseYaw"] < POOR
    assert "EXTREME_POSE" in {reason.code for reason in found.reasons}


def test_a_head_thrown_back_is_told_to_hold_level(seen: tuple[Image.Image, Face]) -> None:
    image, face = seen
    points = face.landmarks.copy()
    points[2] = (points[0] + points[1]) / 2
    assert judged(image, moved(face, landmarks=points)).components["HeadPosePitch"] < POOR


@pytest.mark.parametrize(("degrees", "poor"), [(0, False), (5, False), (40, True), (90, False), (130, True), (180, False)])
def test_a_tilted_head_is_advised_and_a_photograph_on_its_side_is_not(
    seen: tuple[Image.Image, Face], degrees: int, poor: bool
) -> None:
    image, face = seen
    level = face.landmarks.copy()
    level[1, 1] = level[0, 1]
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (level - level.mean(axis=0)) @ matrix.T + level.mean(axis=0)
    assert (judged(image, moved(face, landmarks=points)).components["HeadPoseRoll"] < POOR) is poor


def test_a_small_face_is_told_to_come_closer_and_reduced_decoding_does_not_count(seen: tuple[Image.Image, Face]) -> None:
    image, face = seen
    small = moved(face, landmarks=face.landmarks * np.float32(20 / quality.eye_distance(face)))
    here = assess(np.array(image), small, faces_in_image=1)
    enlarged = assess(np.array(image), small, faces_in_image=1, enlarge=4.0)
    assert "SMALL_BOUNDING_BOX" in {reason.code for reason in here.reasons}
    assert enlarged.components["InterEyeDistance"] == 100


def test_company_in_the_picture_is_named_and_does_not_spoil_the_face(seen: tuple[Image.Image, Face]) -> None:
    found = judged(*seen, faces=3)
    assert found.components["SingleFacePresent"] == 0
    assert {reason.code for reason in found.reasons} == {"EXCEEDS_MAX_FACES"}
    assert found.overall == judged(*seen).overall


@pytest.mark.parametrize(
    ("component", "shift"),
    [
        ("LeftwardCropOfTheFaceImage", (-0.4, 0.0)),
        ("RightwardCropOfTheFaceImage", (0.4, 0.0)),
        ("MarginAboveOfTheFaceImage", (0.0, -0.4)),
        ("MarginBelowOfTheFaceImage", (0.0, 0.4)),
    ],
)
def test_an_edge_that_cuts_into_the_face_is_named(
    seen: tuple[Image.Image, Face], component: str, shift: tuple[float, float]
) -> None:
    image, face = seen
    _, _, width, height = face.box
    corners = {-0.4: 0.0, 0.0: 5.0}
    x = image.width - width if shift[0] > 0 else corners[shift[0]]
    y = image.height - height if shift[1] > 0 else corners[shift[1]]
    found = judged(image, moved(face, box=(x + shift[0] * width, y + shift[1] * height, width, height)))
    assert found.components[component] < POOR
    assert all(
        value == 100 for name, value in found.components.items() if ("Crop" in name or "Margin" in name) and name != component
    )


def test_a_box_outside_the_image_is_hopeless_and_not_an_error(seen: tuple[Image.Image, Face]) -> None:
    image, face = seen
    found = judged(image, moved(face, box=(-500.0, -500.0, 100.0, 100.0)))
    assert quality.is_hopeless(found)


@pytest.mark.parametrize(("darkest", "brightest"), [(0, 255), (0, 0), (255, 255), (40, 43), (0, 1)])
def test_percentiles_from_counts_are_numpys(darkest: int, brightest: int) -> None:
    light = np.random.default_rng(darkest).integers(darkest, brightest + 1, (128, 128)).astype(np.float32)
    np.testing.assert_allclose(quality._percentiles(light, (2, 98)), np.percentile(light, (2, 98)), rtol=1e-6)


def test_a_gate_refuses_what_falls_short_of_it_by_name_with_value_limit_and_advice(seen: tuple[Image.Image, Face]) -> None:
    image, face = seen
    found = judged(image.filter(ImageFilter.GaussianBlur(image.width / 200)), face)
    sharp = found.components["Sharpness"]
    found.require(Gate({"Sharpness": sharp, "overall": found.overall}))
    with pytest.raises(QualityTooLow) as refused:
        found.require(Gate({"Sharpness": sharp + 1, "HeadPoseYaw": 1}))
    advice = "Hold still and let the camera focus on your face."
    assert refused.value.errors == [
        {"field": "Sharpness", "problem": advice, "type": "quality_too_low", "value": sharp, "least": sharp + 1}
    ]
    assert refused.value.detail == f"Sharpness is {sharp}, at least {sharp + 1} is asked. {advice}"


def test_a_gate_for_all_has_the_advice_of_the_weakest(seen: tuple[Image.Image, Face]) -> None:
    image, face = seen
    for at, advice in ((0, "brighter place"), (215, "less light")):
        found = judged(image.point(lambda value, at=at: at + value * 0.15), face)
        assert min(found.components, key=found.components.__getitem__) == "LuminanceMean"
        with pytest.raises(QualityTooLow, match=f"overall is {found.overall}, at least 100 is asked. .*{advice}"):
            found.require(Gate({"overall": 100}))


def test_a_gate_is_read_from_a_number_or_from_json() -> None:
    assert least_in("40") == {"overall": 40}
    assert least_in('{"Sharpness": 60}') == {"Sharpness": 60}
    with pytest.raises(ValueError, match="write a number, or JSON"):
        least_in("sharp")
    with pytest.raises(ValueError, match="the components are overall, SingleFacePresent"):
        check_least({"Beauty": 50})
    with pytest.raises(ValueError, match="0 to 100"):
        check_least({"overall": 101})
