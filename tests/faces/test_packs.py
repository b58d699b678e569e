"""Model packs: downloaded from a server on loopback, imported, verified."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend.faces import packs
from backend.faces.capture import ImageLimits, probe
from backend.faces.load import load_engine
from backend.faces.pack_error import PackError
from backend.faces.packs import CATALOGUE, Consent, Listing, import_pack, install, installed, licence_of, problems, read_record

ROOT = Path(__file__).resolve().parents[2]
CONSENT = Consent.now("Ada")
FILES = {"det.onnx": b"detector" * 5000, "rec.onnx": b"recogniser" * 5000}


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def listing(files: Mapping[str, bytes] = FILES, *, url: str = "") -> Listing:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return Listing("made", url, hashes, "made for a test", "made")


class Server(ThreadingHTTPServer):
    """Serves one file, with ranges; `cut` ends the first answer early."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = zipped({f"made/{name}": content for name, content in FILES.items()})
        self.cut: int | None = None
        self.ranges = True
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/made.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        content = self.server.content
        if self.path != "/made.zip":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut, self.server.cut = self.server.cut, None
        self.wfile.write(content[start : start + cut] if cut else content[start:])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the base class)
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_an_installed_pack_has_its_files_its_record_and_nothing_beside(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    folder = install(listing(url=server.url), tmp_path, consent=CONSENT, progress=lambda done, total: seen.append((done, total)))
    assert {path.name for path in folder.iterdir()} == {*FILES, packs.RECORD}
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert seen[-1] == (len(server.content), len(server.content))
    record = read_record(folder)
    assert record is not None
    assert (record.agreed_by, record.agreed_at) == ("Ada", CONSENT.at.isoformat())
    assert licence_of(folder) == "made for a test"
    assert problems(folder) == []
    assert installed(tmp_path) == [folder]


def test_an_interrupted_download_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.cut = 10_000
    with pytest.raises(PackError, match="models import"):
        install(listing(url=server.url), tmp_path, consent=CONSENT)
    assert installed(tmp_path) == []
    install(listing(url=server.url), tmp_path, consent=CONSENT)
    assert server.asked == [None, "bytes=10000-"]


def test_a_server_without_ranges_sends_it_all_again(server: Server, tmp_path: Path) -> None:
    server.cut, server.ranges = 10_000, False
    with pytest.raises(PackError):
        install(listing(url=server.url), tmp_path, consent=CONSENT)
    assert problems(install(listing(url=server.url), tmp_path, consent=CONSENT)) == []


def test_a_left_over_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".made.zip.part").write_bytes(b"x" * (len(server.content) + 1))
    with pytest.raises(PackError, match="start over"):
        install(listing(url=server.url), tmp_path, consent=CONSENT)
    install(listing(url=server.url), tmp_path, consent=CONSENT)


def test_a_file_with_another_hash_is_not_installed(server: Server, tmp_path: Path) -> None:
    server.content = zipped({**FILES, "rec.onnx": b"another model"})
    with pytest.raises(PackError, match=r"rec\.onnx is not the file of made.*Nothing was installed"):
        install(listing(url=server.url), tmp_path, consent=CONSENT)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_an_archive_is_not_installed(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>please sign in</html>"
    with pytest.raises(PackError, match="damaged"):
        install(listing(url=server.url), tmp_path, consent=CONSENT)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_without_a_file_of_the_pack_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = zipped({"det.onnx": FILES["det.onnx"]})
    with pytest.raises(PackError, match=r"has no rec\.onnx"):
        install(listing(url=server.url), tmp_path, consent=CONSENT)


def test_a_missing_address_is_one_clear_sentence(server: Server, tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"answered 404.*models import") as refused:
        install(listing(url=server.url), tmp_path, consent=CONSENT, url=server.url.replace("made.zip", "gone.zip"))
    assert "\n" not in str(refused.value)


def test_without_a_network_there_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/made.zip"
        with pytest.raises(PackError, match=r"127\.0\.0\.1 cannot be reached.*models import") as refused:
            install(listing(url=url), tmp_path, consent=CONSENT)
    assert "\n" not in str(refused.value)


def test_a_pack_is_not_installed_over_another(server: Server, tmp_path: Path) -> None:
    install(listing(url=server.url), tmp_path, consent=CONSENT)
    with pytest.raises(PackError, match="exists already"):
        install(listing(url=server.url), tmp_path, consent=CONSENT)
    assert len(server.asked) == 1


def test_members_of_an_archive_cannot_choose_where_they_are_written(tmp_path: Path) -> None:
    archive = tmp_path / "evil.zip"
    archive.write_bytes(zipped({"../../outside.onnx": b"a" * 10, "/absolute.onnx": b"b" * 10, "run.sh": b"c"}))
    folder = import_pack(archive, tmp_path / "models", name="evil", consent=CONSENT)
    assert {path.name for path in folder.iterdir()} == {"outside.onnx", "absolute.onnx", packs.RECORD}
    assert {path.name for path in tmp_path.iterdir()} == {"evil.zip", "models"}


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b"])
def test_the_name_of_a_pack_is_a_plain_word(tmp_path: Path, name: str) -> None:
    with pytest.raises(PackError, match="plain word"):
        import_pack(tmp_path, tmp_path / "models", name=name, consent=CONSENT)


def test_a_pack_under_a_catalogue_name_must_be_the_catalogues(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in CATALOGUE["buffalo_s"].files:
        (source / name).write_bytes(b"something else")
    with pytest.raises(PackError, match="not the file of buffalo_s"):
        import_pack(source, tmp_path / "models", name="buffalo_s", consent=CONSENT)


def test_what_holds_no_models_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(PackError, match=r"fewer than two \.onnx"):
        import_pack(tmp_path, tmp_path / "models", name="made", consent=CONSENT)
    with pytest.raises(PackError, match="neither a folder nor a ZIP"):
        import_pack(tmp_path / "notes.txt", tmp_path / "models", name="made", consent=CONSENT)


def test_verifying_names_what_changed(server: Server, tmp_path: Path) -> None:
    folder = install(listing(url=server.url), tmp_path, consent=CONSENT)
    (folder / "det.onnx").write_bytes(b"changed")
    (folder / "rec.onnx").unlink()
    (folder / "more.onnx").write_bytes(b"more")
    assert problems(folder) == [
        "det.onnx has another SHA-256 than when it was installed",
        "rec.onnx is missing",
        "more.onnx does not belong to the pack",
    ]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / packs.RECORD).write_text("{")
    with pytest.raises(PackError, match="damaged"):
        read_record(tmp_path)


@pytest.mark.weights
def test_an_imported_pack_loads_and_carries_its_licence(testdata: Path, tmp_path: Path) -> None:
    folder = import_pack(testdata / "models" / "test_mbf", tmp_path, name="mine", consent=CONSENT)
    assert load_engine("insightface", model_pack=folder).card.licence == packs.UNKNOWN_LICENCE
    assert problems(folder) == []


@pytest.mark.weights
def test_two_packs_of_different_dimension_lie_side_by_side_and_load_each_as_itself(testdata: Path, tmp_path: Path) -> None:
    for name in ("test_mbf", "test_mfn128"):
        import_pack(testdata / "models" / name, tmp_path, name=name, consent=CONSENT)
    assert [(pack.name, problems(pack)) for pack in installed(tmp_path)] == [("test_mbf", []), ("test_mfn128", [])]
    engines = [load_engine("insightface", model_pack=pack) for pack in installed(tmp_path)]
    assert [engine.card.dimension for engine in engines] == [512, 128]
    assert len({engine.card.model_id for engine in engines}) == 2
    photo = (testdata / "faces" / "obama" / "01.jpg").read_bytes()
    found = [probe(engine, photo, limits=ImageLimits(), largest_only=True).faces[0].vector for engine in engines]
    assert [vector.shape for vector in found] == [(512,), (128,)]


def test_what_an_interrupted_download_left_is_the_only_thing_left_and_is_gone_once_installed(
    server: Server, tmp_path: Path
) -> None:
    server.cut = 10_000
    with pytest.raises(PackError):
        install(listing(url=server.url), tmp_path, consent=CONSENT)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {".made.zip.part": 10_000}
    install(listing(url=server.url), tmp_path, consent=CONSENT)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_beginning_of_another_file_is_found_out_by_its_hash_and_not_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".made.zip.part").write_bytes(b"x" * 10_000)
    with pytest.raises(PackError):
        install(listing(url=server.url), tmp_path, consent=CONSENT)
    assert server.asked == ["bytes=10000-"]
    assert list(tmp_path.iterdir()) == []
    assert problems(install(listing(url=server.url), tmp_path, consent=CONSENT)) == []


def backend(*words: str, models_dir: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m backend …` with nothing of this environment's settings, and no terminal."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BACKEND_")}
    command = [sys.executable, "-m", "backend", "models", *words, "--models-dir", str(models_dir)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, input=stdin, timeout=120
    )


def test_the_command_lists_what_can_be_installed_with_its_licence(tmp_path: Path) -> None:
    done = backend("list", "--json", models_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    items = {item["name"]: item for item in json.loads(done.stdout)["items"]}
    assert set(items) == {"buffalo_l", "buffalo_s", "liveness"}
    assert "non-commercial" in items["buffalo_l"]["licence"]
    assert not items["buffalo_l"]["installed"]


def test_the_command_asks_for_consent_and_installs_nothing_without_it(server: Server, tmp_path: Path) -> None:
    done = backend("install", "buffalo_s", "--url", server.url, models_dir=tmp_path, stdin="yes\n")
    assert done.returncode == 1
    assert "non-commercial" in done.stderr
    assert "--agree" in done.stderr
    assert server.asked == []


def test_the_command_does_not_take_a_mirrors_word_for_it(server: Server, tmp_path: Path) -> None:
    server.content = zipped(dict.fromkeys(CATALOGUE["buffalo_s"].files, b"not it"))
    done = backend("install", "buffalo_s", "--url", server.url, "--agree", models_dir=tmp_path)
    assert done.returncode == 1
    assert "is not the file of buffalo_s" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_command_imports_lists_and_verifies_and_says_who_agreed(tmp_path: Path) -> None:
    archive = tmp_path / "mine.zip"
    archive.write_bytes(zipped(FILES))
    models = tmp_path / "models"
    done = backend("import", str(archive), "--agree", "--agreed-by", "Grace", "--json", models_dir=models)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "mine"
    (mine,) = (item for item in json.loads(backend("list", "--json", models_dir=models).stdout)["items"] if item["installed"])
    assert (mine["name"], mine["agreed_by"]) == ("mine", "Grace")
    assert backend("verify", models_dir=models).returncode == 0
    (models / "mine" / "det.onnx").write_bytes(b"changed")
    changed = backend("verify", "--json", models_dir=models)
    assert changed.returncode == 1
    assert json.loads(changed.stdout)["items"][0]["problems"]


def test_verifying_a_pack_that_is_not_there_fails(tmp_path: Path) -> None:
    done = backend("verify", "nothing", models_dir=tmp_path)
    assert done.returncode == 1
    assert "no such pack" in done.stderr
