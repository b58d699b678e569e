"""multipart/form-data beside JSON, to a running service: the same answers, the same refusals, nothing on disk."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from backend.body import parse
from backend.errors import FaceAuthError
from backend.wire import AddSampleRequest, EnrolRequest
from tests.api.pictures import astronaut, jpeg, same_woman, woman
from tests.api.service import Service, make_site, problem_of, serving

Part = tuple[str, tuple[str | None, bytes | str]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    site = make_site(tmp_path_factory.mktemp("forms") / "site")
    (site.folder / "tmp").mkdir()
    with serving(site, TMPDIR=str(site.folder / "tmp")) as running:
        yield running


def file(name: str, content: bytes, file_name: str = "face.jpg") -> Part:
    return name, (file_name, content)


def text(name: str, value: str) -> Part:
    return name, (None, value)


def post(service: Service, path: str, parts: Sequence[Part], **headers: str) -> httpx.Response:
    allowed = {"Authorization": f"Bearer {service.site.key('admin')}"}
    return service.http.post(service.url + path, files=parts, headers=allowed | headers)


def test_a_form_enrols_adds_verifies_identifies_and_detects(service: Service) -> None:
    fields = [text("external_id", "A-17"), text("metadata", json.dumps({"desk": "3"})), text("face", "largest")]
    made = post(service, "/v1/subjects", [file("images", woman()), file("images", same_woman()), *fields])
    assert made.status_code == 201, made.text
    subject_id = made.json()["subject_id"]
    stored = service.get(f"/v1/subjects/{subject_id}", service.site.key("admin")).json()
    assert (stored["external_id"], stored["metadata"], len(stored["samples"])) == ("A-17", {"desk": "3"}, 2)
    assert post(service, f"/v1/subjects/{subject_id}/samples", [file("images", same_woman(3))]).status_code == 201
    verified = post(service, "/v1/verify", [file("image", woman()), text("subject_id", subject_id)]).json()
    assert verified["decision"] == "match"
    pair = post(service, "/v1/verify", [file("image", woman()), file("reference_image", same_woman()), text("threshold", "0.99")])
    assert (pair.json()["threshold"], pair.json()["decision"]) == (0.99, "non_match")
    found = post(service, "/v1/identify", [file("image", same_woman()), text("limit", "1")]).json()
    assert [one["subject_id"] for one in found["faces"][0]["candidates"]] == [subject_id]
    with service.client(service.site.key("admin")) as client:
        assert post(service, "/v1/detect", [file("image", woman())]).json() == client.detect(woman()).model_dump(mode="json")


def test_a_form_sent_again_with_another_boundary_has_the_first_answer(service: Service) -> None:
    parts = [file("images", jpeg(astronaut(), quality=80))]
    first, again = (post(service, "/v1/subjects", parts, **{"Idempotency-Key": "form-1"}) for _ in range(2))
    assert first.request.headers["content-type"] != again.request.headers["content-type"]
    assert (again.status_code, again.json()) == (201, first.json())
    other = post(service, "/v1/subjects", [*parts, text("face", "largest")], **{"Idempotency-Key": "form-1"})
    assert (other.status_code, problem_of(other)) == (422, "idempotency_key_reused")


REFUSED: dict[str, tuple[list[Part], tuple[int, str, str | None]]] = {
    "an unknown field": ([file("images", b"x"), text("colour", "red")], (422, "invalid_request", "colour")),
    "no image": ([text("face", "only")], (422, "invalid_request", "images")),
    "a field given twice": ([file("images", b"x"), text("face", "only"), text("face", "only")], (422, "invalid_request", "face")),
    "metadata that is no JSON": ([file("images", b"x"), text("metadata", "{")], (422, "invalid_request", "metadata")),
    "metadata that is a list": ([file("images", b"x"), text("metadata", "[]")], (422, "invalid_request", "metadata")),
    "text that is no UTF-8": (
        [file("images", b"x"), ("external_id", (None, b"\xff\xfe"))],
        (422, "invalid_request", "external_id"),
    ),
    "an image that is none": ([file("images", b"x")], (415, "unsupported_image", None)),
    "an image without bytes": ([file("images", b"")], (400, "empty_image", None)),
    "eleven images": ([file("images", b"x")] * 11, (413, "too_many_images", None)),
    "more parts than a form has": ([text(f"f{n}", "") for n in range(100)], (400, "invalid_form", None)),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_form_that_cannot_be_carried_out_is_refused_by_name(service: Service, name: str) -> None:
    parts, (status, code, field) = REFUSED[name]
    answer = post(service, "/v1/subjects", parts)
    assert (answer.status_code, problem_of(answer)) == (status, code)
    assert field is None or field in {error["field"] for error in answer.json()["errors"]}


DAMAGED: dict[str, tuple[bytes, str]] = {
    "no boundary": (b"", "multipart/form-data"),
    "nothing": (b"", "multipart/form-data; boundary=B"),
    "another boundary": (b"--A\r\n\r\n--A--\r\n", "multipart/form-data; boundary=B"),
    "cut off": (b'--B\r\nContent-Disposition: form-data; name="images"\r\n\r\nxx', "multipart/form-data; boundary=B"),
    "a part without a name": (b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n", "multipart/form-data; boundary=B"),
    "a part without headers": (b"--B\r\n\r\nx\r\n--B--\r\n", "multipart/form-data; boundary=B"),
    "a name that is no UTF-8": (
        b'--B\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--B--\r\n',
        "multipart/form-data; boundary=B",
    ),
    "a part in base64": (
        b'--B\r\nContent-Disposition: form-data; name="images"\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--B--\r\n',
        "multipart/form-data; boundary=B",
    ),
    "a header without an end": (b"--B\r\nX: " + b"x" * 100_000, "multipart/form-data; boundary=B"),
    "a hundred headers": (b"--B\r\n" + b"X: y\r\n" * 100, "multipart/form-data; boundary=B"),
    "a boundary of a kilobyte": (b"", f"multipart/form-data; boundary={'B' * 1024}"),
}


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_a_damaged_form_is_refused_without_its_content(name: str) -> None:
    body, content_type = DAMAGED[name]
    with pytest.raises(FaceAuthError) as refused:
        parse(body, AddSampleRequest, content_type)
    assert (refused.value.status, refused.value.code()) == (400, "invalid_form")


@pytest.mark.parametrize("size", [65_400, 65_530, 65_536, 65_540, 200_000])
def test_a_file_comes_through_to_the_byte_whatever_lies_in_it_and_wherever_pieces_end(size: int) -> None:
    content = (b"\r\n--b\r\n--Bx--\r\n-" * (size // 16 + 1))[: size - 1] + b"x"
    form = b'--B\r\nContent-Disposition: form-data; name="images"; filename="../../x"\r\n\r\n' + content + b"\r\n--B--\r\n"
    assert parse(form, EnrolRequest, "multipart/form-data; boundary=B").content.images == [content]


def test_batches_and_decisions_take_json_alone(service: Service) -> None:
    answer = post(service, "/v1/subjects/batch", [file("images", woman())])
    assert (answer.status_code, problem_of(answer)) == (415, "unsupported_media_type")


def test_a_form_is_described(service: Service) -> None:
    paths = service.get("/openapi.json").json()["paths"]
    for path in ("/v1/subjects", "/v1/subjects/{subject_id}/samples", "/v1/verify", "/v1/identify", "/v1/detect"):
        schema: dict[str, Any] = paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        image = schema["properties"].get("image") or schema["properties"]["images"]["items"]
        assert image["contentMediaType"] == "application/octet-stream"


def test_an_upload_in_flight_lies_in_no_file(service: Service) -> None:
    """Six megabytes, in two halves: between them nothing of the service's open files is larger than the spool of a framework."""
    boundary, photograph = "B", jpeg(astronaut()) + b"\0" * (6 * 1024 * 1024)
    head = b'--B\r\nContent-Disposition: form-data; name="image"; filename="f.jpg"\r\n\r\n'
    half_sent, go_on = threading.Event(), threading.Event()

    def body() -> Iterator[bytes]:
        yield head + photograph[: len(photograph) // 2]
        half_sent.set()
        go_on.wait(30)
        yield photograph[len(photograph) // 2 :] + b"\r\n--B--\r\n"

    headers = {
        "Authorization": f"Bearer {service.site.key('admin')}",
        "Content-Type": f"multipart/form-data; boundary={boundary}",
    }
    answers: list[httpx.Response] = []
    sender = threading.Thread(
        target=lambda: answers.append(service.http.post(f"{service.url}/v1/detect", content=body(), headers=headers))
    )
    before, spooled = _files(service), set((service.site.folder / "tmp").iterdir())
    sender.start()
    assert half_sent.wait(20)
    deadline = time.monotonic() + 0.5
    seen = set()
    while time.monotonic() < deadline:
        seen |= _files(service) - before
    go_on.set()
    sender.join(60)
    assert answers[0].status_code == 200
    assert not seen
    assert set((service.site.folder / "tmp").iterdir()) == spooled


def _files(service: Service) -> set[str]:
    """All that the process has open under a path, deleted ones as well: a spooled file has no name."""
    folder = Path(f"/proc/{service.process.pid}/fd")
    names = set()
    for entry in folder.iterdir():
        try:
            names.add(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return {name for name in names if name.startswith("/") and not name.startswith(("/dev", "/proc"))}


def test_parsing_a_form_made_to_be_slow_takes_no_longer_than_one_of_the_same_size() -> None:
    """Beginnings of the boundary alone: a parser that steps through them byte by byte would hold the interpreter for seconds."""
    started = psutil.Process().cpu_times().user
    head = b'--B\r\nContent-Disposition: form-data; name="images"\r\n\r\n'
    parse(head + b"\r\n--" * 2_500_000 + b"\r\n--B--\r\n", EnrolRequest, "multipart/form-data; boundary=B")
    assert psutil.Process().cpu_times().user - started < 5
