"""Files that must not be enrolled: each is refused with a problem that says what to change, and nothing of it is kept."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.api.pictures import MADE, astronaut, jpeg, woman
from tests.api.service import Service, Site, problem_of, serving, shown

EXPECTED = {
    "60 megapixels": (413, "too_many_pixels"),
    "animated WebP": (415, "animated_image"),
    "animated PNG": (415, "animated_image"),
    "animated GIF": (415, "unsupported_image"),
    "HEIC": (415, "unsupported_image"),
    "JPEG that is a ZIP too": (415, "unsupported_image"),
    "GIF that is a script": (415, "unsupported_image"),
    "TIFF": (415, "unsupported_image"),
    "PDF": (415, "unsupported_image"),
    "SVG": (415, "unsupported_image"),
    "several faces": (422, "several_faces"),
    "face too small": (422, "face_too_small"),
    "nothing": (400, "empty_image"),
    "one byte": (415, "unsupported_image"),
    "first half of a JPEG": (400, "corrupt_image"),
    "noise": (415, "unsupported_image"),
    # of testdata/bad
    "black.jpg": (422, "no_face"),
    "bomb_20000x20000.png": (413, "too_many_pixels"),
    "empty.jpg": (400, "empty_image"),
    "no_face_dog.jpg": (422, "no_face"),
    "no_face_house.jpg": (422, "no_face"),
    "small_face_in_1600x1200.jpg": (422, "no_face"),  # below what the offline detector sees
    "text_renamed.jpg": (415, "unsupported_image"),
    "tiny_16x16.jpg": (422, "no_face"),
    "truncated_half.jpg": (400, "corrupt_image"),
}
GOOD_AFTER_ALL = {  # odd, and enrolled all the same
    "bmp.bmp",
    "cmyk.jpg",
    "exif_orientation_3.jpg",
    "exif_orientation_6.jpg",
    "gray16.png",
    "rgba.png",
    "upside_down_no_exif.jpg",
}


@pytest.fixture(scope="module")
def service(site: Site) -> Iterator[Service]:
    """Asks for faces of 40 pixels: one that the engine sees may be too small."""
    with serving(site, BACKEND_MIN_FACE_PX="40") as running:
        yield running


def enrol(service: Service, image: bytes) -> tuple[int, str]:
    """Status and problem of an enrolment; the code is empty where it was accepted."""
    answer = service.request("POST", "/v1/subjects", service.site.key("client"), {"images": [b64encode(image).decode()]})
    return answer.status_code, "" if answer.status_code == 201 else problem_of(answer)


def stored(service: Service) -> dict[str, object]:
    with service.client(service.site.key("viewer")) as client:
        return client.stats().model_dump()


def test_each_made_file_is_refused_for_its_own_reason_and_nothing_is_stored(service: Service) -> None:
    before = stored(service)
    found = {name: enrol(service, make()) for name, make in MADE.items()}
    shown([(name, *answer) for name, answer in found.items()])
    assert found == {name: EXPECTED[name] for name in MADE}
    assert stored(service) == before


def test_each_bad_file_of_the_test_data_is_refused_and_nothing_is_stored(service: Service, testdata: Path) -> None:
    before = stored(service)
    files = [path for path in sorted((testdata / "bad").iterdir()) if path.name not in GOOD_AFTER_ALL]
    found = {path.name: enrol(service, path.read_bytes()) for path in files}
    shown([(name, *answer) for name, answer in found.items()])
    assert found == {path.name: EXPECTED[path.name] for path in files}
    assert stored(service) == before


def test_odd_but_good_files_of_the_test_data_are_enrolled(service: Service, testdata: Path) -> None:
    found = {name: enrol(service, (testdata / "bad" / name).read_bytes()) for name in sorted(GOOD_AFTER_ALL)}
    shown([(name, *answer) for name, answer in found.items()])
    assert {status for status, _ in found.values()} == {201}


@pytest.mark.parametrize(("orientation", "turned"), [(3, 180), (6, 90), (8, 270)])
def test_the_orientation_of_the_camera_is_honoured(service: Service, orientation: int, turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = jpeg(astronaut())
    as_taken = jpeg(Image.open(io.BytesIO(upright)).rotate(turned, expand=True), quality=95, exif=exif.tobytes())
    with service.client(service.site.key("client")) as client:
        (expected,), (seen,) = client.detect(upright).faces, client.detect(as_taken).faces
        assert abs(seen.box.x - expected.box.x) < 0.1 * expected.box.width
        assert abs(seen.box.y - expected.box.y) < 0.1 * expected.box.height
        assert client.verify(as_taken, reference_image=upright).decision == "match"


def test_more_images_than_allowed_are_refused(service: Service) -> None:
    image = b64encode(MADE["noise"]()).decode()
    answer = service.request("POST", "/v1/subjects", service.site.key("client"), {"images": [image] * 11})
    assert (answer.status_code, problem_of(answer)) == (413, "too_many_images")


def test_an_image_of_too_many_bytes_is_refused(service: Service) -> None:
    assert enrol(service, woman() + b"\0" * (10 * 1024 * 1024)) == (413, "image_too_large")


def test_memory_stays_level_over_hundreds_of_bad_files(service: Service) -> None:
    files = [make() for name, make in MADE.items()]
    early = 0
    for number in range(500):
        enrol(service, files[number % len(files)])
        if number == 49:
            early = service.memory()
    late = service.memory()
    print(f"resident after 50: {early >> 20} MiB, after 500: {late >> 20} MiB, ratio {late / early:.3f}")
    assert late <= 1.1 * early
