"""Files that must not be enrolled: each is refused with a problem that says what to change, and nothing of it is kept."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.api.hostile import MEMORY_RATIO, Sender, everything, memory_ratio
from tests.api.hostile_files import GOOD, HOSTILE, NO_FACE
from tests.api.pictures import astronaut, jpeg
from tests.api.service import Service, Site, problem_of, serving, shown

EXPECTED = {
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
SLOW = {GOOD, NO_FACE}
"""Answers that take inference: `make hostile-test` has these files as well."""
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


def test_hostile_files_and_requests_are_each_answered_as_they_should_be_and_nothing_is_stored(service: Service) -> None:
    before = stored(service)
    files = [(file, file.make()) for file in HOSTILE if file.answer not in SLOW]
    sent = list(everything(Sender(service), files, (len(files) % 2 == 1,)))
    shown([(one.line(),) for one in sent])
    assert [one.line() for one in sent if not one.right] == []
    assert stored(service) == before


def test_memory_stays_level_over_rounds_of_hostile_files(service: Service) -> None:
    files = [(file, file.make()) for file in HOSTILE if file.answer not in SLOW]
    send = Sender(service)

    def one_round(number: int) -> None:
        for place, (file, content) in enumerate(files):
            send.file(file, content, form=(number + place) % 2 == 1)

    ratio = memory_ratio(service, one_round, rounds=5)
    print(f"ratio {ratio:.3f}")
    assert ratio <= MEMORY_RATIO
