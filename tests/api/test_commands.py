"""`python -m backend keys`, `enrol` and `restore`, as an operator runs them."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.api.pictures import MADE, same_woman, woman
from tests.api.service import Service, Site


def test_a_key_is_made_listed_and_revoked(fresh_site: Site) -> None:
    made = fresh_site.command("keys", "create", "--name", "till 4", "--scope", "client", "--expires-days", "30", "--json")
    key = json.loads(made.stdout)
    assert (made.returncode, key["scopes"], key["revoked_at"]) == (0, ["client"], None)
    assert key["secret"].startswith("fa_")
    listed = fresh_site.command("keys", "list", "--json")
    assert [one["id"] for one in json.loads(listed.stdout)["items"]] == [key["id"]]
    assert key["secret"] not in listed.stdout
    assert "valid" in fresh_site.command("keys", "list").stdout
    assert json.loads(fresh_site.command("keys", "revoke", key["id"], "--json").stdout)["revoked_at"] is not None
    assert "revoked" in fresh_site.command("keys", "list").stdout


def test_what_cannot_be_done_with_keys_is_a_sentence_and_not_success(fresh_site: Site) -> None:
    unknown = fresh_site.command("keys", "revoke", "key_nowhere")
    assert (unknown.returncode, unknown.stderr) == (1, "No such API key\n")
    assert fresh_site.command("keys", "create", "--name", "x", "--scope", "king").returncode == 2
    away = fresh_site.command("keys", "list", BACKEND_DATABASE_URL=f"sqlite:///{fresh_site.folder}/nowhere.db")
    assert away.returncode == 1
    assert len(away.stderr.splitlines()) == 1


def test_a_backup_is_restored_and_what_was_undone_since_is_told(fresh_site: Site, tmp_path: Path) -> None:
    file = str(tmp_path / "one.backup")
    key = json.loads(fresh_site.command("keys", "create", "--name", "till 4", "--scope", "client", "--json").stdout)
    assert fresh_site.command("backup", file).returncode == 0
    fresh_site.command("keys", "revoke", key["id"])
    told = fresh_site.command("restore", file, "--replace")
    assert (told.returncode, told.stderr) == (0, "")
    assert "1 API keys that were revoked since are revoked again" in told.stdout
    again = json.loads(fresh_site.command("restore", file, "--replace", "--json").stdout)
    assert (again["revoked_again"], again["erased_again"], again["samples_erased_again"]) == (1, 0, 0)


def test_a_backup_of_another_model_is_not_restored(fresh_site: Site, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    assert fresh_site.command("backup", str(file)).returncode == 0
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE backup_manifest SET content = replace(content, 'dlib-resnet', 'other')")
        connection.commit()
    refused = fresh_site.command("restore", str(file), "--replace")
    assert refused.returncode == 1
    assert "the engine here is dlib-resnet" in refused.stderr


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two photographs of one person in her folder, a duplicate of her and something else beside it."""
    folder = tmp_path / "photographs"
    (folder / "eileen").mkdir(parents=True)
    (folder / "eileen" / "1.jpg").write_bytes(woman())
    (folder / "eileen" / "2.jpg").write_bytes(same_woman(1))
    (folder / "copy.jpg").write_bytes(same_woman(2))
    (folder / "broken.jpg").write_bytes(MADE["first half of a JPEG"]())
    (folder / "notes.txt").write_text("not a photograph")
    return folder


def test_a_folder_is_enrolled_once_and_its_duplicates_are_listed(service: Service, photographs: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(service.site.key("client") + "\n")
    table, state = tmp_path / "duplicates.csv", tmp_path / "state.jsonl"
    words = ["enrol", str(photographs), "--url", service.url, "--key-file", str(key)]
    words += ["--duplicates", str(table), "--state", str(state), "--json"]

    first = service.site.command(*words)
    summary = json.loads(first.stdout)
    assert first.returncode == 1, "one photograph could not be enrolled"
    assert (summary["subjects"], summary["photographs"], summary["enrolled"], summary["cases"]) == (2, 4, 3, 1)
    assert [(one["file"], one["code"]) for one in summary["failures"]] == [("broken.jpg", "corrupt_image")]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    # first photographs come first: her second one is compared with the copy, too
    assert [(row["file"], row["duplicate_file"]) for row in rows] == [("copy.jpg", "eileen/1.jpg"), ("eileen/2.jpg", "copy.jpg")]
    assert {row["case_id"][:5] for row in rows} == {"case_"}

    (photographs / "broken.jpg").unlink()
    before = _subjects(service)
    again = service.site.command(*words)
    summary = json.loads(again.stdout)
    assert (again.returncode, summary["enrolled"], summary["already_enrolled"], summary["subjects"]) == (0, 0, 3, 2)
    assert summary["duplicates"] == len(rows)
    assert _subjects(service) == before

    state.write_text("".join(state.read_text().splitlines(keepends=True)[:1]) + '{"file": "cop')
    resumed = json.loads(service.site.command(*words).stdout)
    assert (resumed["already_enrolled"], resumed["enrolled"]) == (1, 2)
    assert _subjects(service) == before, "what had been enrolled before the interruption was answered, not enrolled twice"


def test_who_was_erased_meanwhile_is_enrolled_again(service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(woman())
    words = ["enrol", str(folder), "--url", service.url, "--state", str(tmp_path / "state.jsonl"), "--json"]
    words += ["--duplicates", str(tmp_path / "d.csv"), "--external-ids"]
    secret = {"FACE_AUTH_API_KEY": service.site.key("client")}
    assert json.loads(service.site.command(*words, **secret).stdout)["enrolled"] == 1
    with service.client(service.site.key("client")) as client:
        (subject,) = client.subjects(external_id="a").items
        client.erase_subject(subject.id)
        assert json.loads(service.site.command(*words, **secret).stdout)["enrolled"] == 1
        assert client.subjects(external_id="a").items[0].id != subject.id


def test_enrolling_without_a_key_or_a_service_or_a_folder_says_so(service: Service, photographs: Path, tmp_path: Path) -> None:
    rest = ["--state", str(tmp_path / "state.jsonl"), "--duplicates", str(tmp_path / "d.csv")]
    refused = service.site.command("enrol", str(photographs), "--url", service.url, *rest)
    assert refused.returncode == 1
    assert "401 unauthenticated" in refused.stderr
    nobody = service.site.command("enrol", str(photographs), "--url", "http://127.0.0.1:9", *rest)
    assert nobody.returncode == 1
    assert "no backend answers" in nobody.stderr
    nothing = service.site.command("enrol", str(tmp_path / "nowhere"), *rest)
    assert nothing.returncode == 2
    assert "No such file or directory" in nothing.stderr


def _subjects(service: Service) -> int:
    with service.client(service.site.key("viewer")) as client:
        return client.stats().subjects
