"""`python -m backend import-compreface` from a server that answers as CompreFace's description says, into a real service."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from backend import wire
from backend.client import BackendClient
from backend.compreface import WAITS_S, CompreFace, KeyRefused, NotCompreFace, Silent
from tests.api.pictures import MADE, group, people_of_the_group, same_woman, woman
from tests.api.service import Service, free_port
from tests.api.stand_in_compreface import KEY, StandIn, listening
from tests.api.test_client import Server
from tests.api.test_client import listening as answering


@pytest.fixture(scope="module")
def client(service: Service) -> BackendClient:
    return service.client(service.site.key("admin"))


@pytest.fixture(scope="module")
def people(client: BackendClient) -> dict[str, list[bytes]]:
    """Eileen with a photograph that is no good between two that are, her copy under another name, a man, and one without any."""
    boxes = [face.box for face in client.detect(group()).faces]
    man = people_of_the_group([(box.x, box.y, box.width, box.height) for box in boxes])[0]
    broken = MADE["first half of a JPEG"]()
    return {"Eileen C.": [broken, woman(), same_woman(1)], "E. Collins": [same_woman(2)], "man/of the group": [man], "empty": []}


@pytest.fixture
def source(people: dict[str, list[bytes]]) -> Iterator[StandIn]:
    with listening(StandIn(people)) as server:
        yield server


class Import:
    """The command, with its files in one folder."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.folder = service, folder
        (folder / "compreface.key").write_text(KEY + "\n")
        (folder / "backend.key").write_text(service.site.key("client") + "\n")

    def __call__(self, url: str, *more: str) -> subprocess.CompletedProcess[str]:
        words = ["import-compreface", "--url", url, "--api-key-file", str(self.folder / "compreface.key")]
        words += ["--backend-url", self.service.url, "--key-file", str(self.folder / "backend.key")]
        words += ["--state", str(self.folder / "state.jsonl"), "--json"]
        for name in ("duplicates", "failures"):
            words += [f"--{name}", str(self.folder / f"{name}.csv")]
        return self.service.site.command(*words, *more)

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / f"{name}.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def import_from(service: Service, tmp_path: Path) -> Import:
    return Import(service, tmp_path)


def enrolled(client: BackendClient) -> dict[str | None, int]:
    """Samples by external id."""
    return {one.external_id: len(one.samples) for one in client.subjects(limit=200).items}


def test_everybody_is_enrolled_once_with_their_images_and_a_report(
    import_from: Import, source: StandIn, client: BackendClient
) -> None:
    first = import_from(source.url)
    summary = json.loads(first.stdout)
    assert first.returncode == 1, "one image is damaged"
    assert enrolled(client) == {"Eileen C.": 2, "E. Collins": 1, "man/of the group": 1}
    assert (summary["subjects"], summary["photographs"], summary["enrolled"], summary["subjects_without_images"]) == (3, 5, 4, 1)
    (failure,) = import_from.table("failures")
    assert failure["file"].startswith("Eileen C./")
    assert failure["code"] == "corrupt_image"
    pairs = [(row["file"].split("/")[0], row["duplicate_file"].split("/")[0]) for row in import_from.table("duplicates")]
    assert ("E. Collins", "Eileen C.") in pairs or ("Eileen C.", "E. Collins") in pairs
    assert not any(KEY in target for target in source.asked), "the key goes into no address"
    assert KEY not in first.stderr + first.stdout

    again = json.loads(import_from(source.url).stdout)
    assert (again["enrolled"], again["already_enrolled"]) == (0, 4)
    state = import_from.folder / "state.jsonl"
    state.write_text(state.read_text().splitlines()[0] + "\n")
    resumed = json.loads(import_from(source.url).stdout)
    assert (resumed["already_enrolled"], resumed["enrolled"]) == (1, 3)
    assert enrolled(client) == {"Eileen C.": 2, "E. Collins": 1, "man/of the group": 1}


@pytest.mark.parametrize("knows", [True, False])
def test_one_subject_alone_is_imported_when_she_is_named(
    import_from: Import, source: StandIn, client: BackendClient, knows: bool
) -> None:
    source.knows_subject_parameter = knows
    before = enrolled(client)
    done = import_from(source.url, "--subject", "E. Collins", "--no-external-ids", "--on-duplicate", str(wire.OnDuplicate.reject))
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["photographs"]) == (0, 1)
    assert {name: count for name, count in enrolled(client).items() if name} == {n: c for n, c in before.items() if n}


def test_what_is_wrong_is_a_sentence_and_not_success(import_from: Import, source: StandIn) -> None:
    nobody = import_from(source.url, "--subject", "Nobody")
    assert (nobody.returncode, nobody.stderr) == (2, "CompreFace has no such subject: Nobody\n")
    source.key = "another"
    refused = import_from(source.url)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "refuses the key" in refused.stderr
    assert KEY not in refused.stderr
    other = import_from(import_from.service.url)
    assert other.returncode == 2
    assert "no CompreFace" in other.stderr
    away = import_from(f"http://127.0.0.1:{free_port()}")
    assert away.returncode == 1
    assert "does not answer (ConnectError)" in away.stderr


# --- reading ------------------------------------------------------------------------------------------------------


def test_pages_are_read_to_their_end(source: StandIn) -> None:
    with CompreFace(source.url, KEY) as compreface:
        assert len({face.image_id for face in compreface.faces()}) == 5
        assert [face.subject for face in compreface.faces("E. Collins")] == ["E. Collins"]
    assert sum("/faces?" in target for target in source.asked) == 4


def test_a_failure_that_passes_is_waited_out_and_one_that_stays_is_told(source: StandIn) -> None:
    waits: list[float] = []
    with CompreFace(source.url, KEY, sleep=waits.append) as compreface:
        source.failing = len(WAITS_S)
        assert "empty" in compreface.subjects()
        assert waits == list(WAITS_S)
        source.failing = len(WAITS_S) + 1
        with pytest.raises(Silent, match="status 500"):
            compreface.subjects()


def test_a_refused_key_is_told_from_something_else_that_answers(source: StandIn) -> None:
    with CompreFace(source.url, "wrong") as compreface, pytest.raises(KeyRefused):
        compreface.subjects()
    for other in (Server(404), Server(200, {"items": []}), Server(302), Server(200, [1])):
        with answering(other) as (url,), CompreFace(url, KEY) as compreface, pytest.raises(NotCompreFace):
            compreface.subjects()
    with pytest.raises(NotCompreFace):
        CompreFace("compreface:8000", KEY)


@pytest.mark.parametrize("says_404", [False, True])
def test_an_image_that_is_gone_has_no_bytes_and_a_key_that_is_gone_ends_the_reading(source: StandIn, says_404: bool) -> None:
    source.says_404 = says_404
    gone = UUID(int=1)
    with CompreFace(source.url, KEY) as compreface:
        assert compreface.image(gone) == b""
        source.key = "taken back"
        with pytest.raises(KeyRefused):
            compreface.image(gone)


def test_an_image_id_that_is_none_goes_into_no_address() -> None:
    page = {"faces": [{"image_id": "../../admin", "subject": "x"}], "page_number": 0, "page_size": 9, "total_pages": 1}
    server = Server(200, page | {"total_elements": 1})
    with answering(server) as (url,), CompreFace(url, KEY) as compreface, pytest.raises(NotCompreFace):
        list(compreface.faces())
    assert len(server.asked) == 1
