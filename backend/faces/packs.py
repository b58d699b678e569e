"""Model packs in a models folder: install, import, verify, list. An engine loads a pack by its folder and never downloads.

A pack is a folder with two ONNX files, a detector and a recogniser, and `PACK.json`: where it came from, the SHA-256 of
each file, its licence and who agreed to it. A pack appears whole or not at all: it is made beside and renamed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

from backend.faces.download import Progress, download
from backend.faces.fingerprint import sha256_of
from backend.faces.pack_error import PackError

RECORD = "PACK.json"
INSIGHTFACE_LICENCE = "InsightFace pretrained models: for non-commercial research purposes only"
UNKNOWN_LICENCE = "not stated by the pack (InsightFace's own packs are for non-commercial research only)"
_LARGEST_FILE = 1024**3
_RELEASE = "https://github.com/deepinsight/insightface/releases/download/v0.7"


@dataclass(frozen=True)
class Listing:
    """A pack that can be installed; only the files named here are taken from its archive, each by its SHA-256."""

    name: str
    url: str
    files: Mapping[str, str]
    licence: str
    about: str


_SCRFD_10G = "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"
_SCRFD_500M = "5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a"
R50 = "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"
MOBILE_FACE_NET = "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f"

LIVENESS = "87a9ac1dbb16a61eec212957e5095e62a8769c1e188af9b0198f253302c4afdb"

CATALOGUE: Mapping[str, Listing] = {
    "buffalo_l": Listing(
        "buffalo_l",
        f"{_RELEASE}/buffalo_l.zip",
        {"det_10g.onnx": _SCRFD_10G, "w600k_r50.onnx": R50},
        INSIGHTFACE_LICENCE,
        "SCRFD-10G and ResNet-50, 512 values: the most accurate",
    ),
    "buffalo_s": Listing(
        "buffalo_s",
        f"{_RELEASE}/buffalo_s.zip",
        {"det_500m.onnx": _SCRFD_500M, "w600k_mbf.onnx": MOBILE_FACE_NET},
        INSIGHTFACE_LICENCE,
        "SCRFD-500M and MobileFaceNet, 512 values: about five times faster",
    ),
    "liveness": Listing(
        "liveness",
        "https://github.com/deepinsight/insightface-model-addons/releases/download/addons/liveness.onnx",
        {"liveness.onnx": LIVENESS},
        INSIGHTFACE_LICENCE,
        "an add-on, no engine: BACKEND_LIVENESS_MODEL names its file",
    ),
}


@dataclass(frozen=True)
class Consent:
    """Who agreed to a pack's licence."""

    agreed_by: str
    at: datetime

    @classmethod
    def now(cls, agreed_by: str) -> Consent:
        return cls(agreed_by, datetime.now(UTC))


@dataclass(frozen=True)
class Record:
    """What PACK.json holds."""

    name: str
    source: str
    licence: str
    agreed_by: str
    agreed_at: str
    files: dict[str, str]


def install(
    listing: Listing, models_dir: Path, *, consent: Consent, url: str | None = None, progress: Progress | None = None
) -> Path:
    """Downloads (resuming what an earlier attempt left), checks every hash, and puts the pack in place. Raises PackError."""
    _refuse_existing(models_dir, listing.name)
    archive = models_dir / f".{listing.name}.zip.part"
    models_dir.mkdir(parents=True, exist_ok=True)
    source = url or listing.url
    download(source, archive, progress=progress)
    try:
        return _place(listing.name, models_dir, _files_of(archive, listing), source, listing, consent)
    finally:
        archive.unlink(missing_ok=True)  # complete: what is wrong with it another attempt would find again


def import_pack(source: Path, models_dir: Path, *, name: str, consent: Consent) -> Path:
    """A pack from a folder or a ZIP archive, or an add-on from its file, for sites without a network. Raises PackError.

    A pack of the catalogue's name must be the catalogue's, by its hashes.
    """
    if Path(name).name != name or name.startswith("."):
        raise PackError(f"{name!r} cannot be the name of a pack: use a plain word")
    _refuse_existing(models_dir, name)
    models_dir.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        files = _from_folder(source)
    elif source.suffix == ".onnx" and name in CATALOGUE:
        files = _alone(source, source.name)
    elif zipfile.is_zipfile(source):
        files = _from_zip(source)
    else:
        raise PackError(f"{source} is neither a folder nor a ZIP archive, nor the file of an add-on")
    return _place(name, models_dir, files, str(source.resolve()), CATALOGUE.get(name), consent)


def read_record(pack: Path) -> Record | None:
    """None where the pack was not installed by us. Raises PackError when PACK.json is damaged."""
    path = pack / RECORD
    if not path.is_file():
        return None
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise PackError(f"{path} is damaged: install the pack again") from None


def licence_of(pack: Path) -> str:
    record = read_record(pack)
    return record.licence if record else UNKNOWN_LICENCE


def installed(models_dir: Path) -> list[Path]:
    """Folders that hold ONNX files, by name."""
    if not models_dir.is_dir():
        return []
    return sorted(folder for folder in models_dir.iterdir() if not folder.name.startswith(".") and any(folder.glob("*.onnx")))


def problems(pack: Path) -> list[str]:
    """What is wrong with the pack's files, a sentence each; none when every hash is as recorded and, where known, as pinned."""
    record = read_record(pack)
    if record is None:
        return [f"{pack.name} has no {RECORD}: put it in place with `models import`"]
    pinned = CATALOGUE[record.name].files if record.name in CATALOGUE else {}
    found = []
    for name, expected in {**record.files, **pinned}.items():
        path = pack / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif sha256_of(path) != expected:
            found.append(f"{name} has another SHA-256 than when it was installed")
    extra = {path.name for path in pack.glob("*.onnx")} - set(record.files)
    return found + [f"{name} does not belong to the pack" for name in sorted(extra)]


def _refuse_existing(models_dir: Path, name: str) -> None:
    if (models_dir / name).exists():
        raise PackError(f"{models_dir / name} exists already: remove it first to install the pack again")


Source = Iterator[tuple[str, IO[bytes]]]


def _from_folder(folder: Path) -> Source:
    for path in sorted(folder.glob("*.onnx")):
        with path.open("rb") as file:
            yield path.name, file


def _alone(path: Path, name: str) -> Source:
    with path.open("rb") as file:
        yield name, file


def _files_of(download: Path, listing: Listing) -> Source:
    """A listing of one file may be that file itself; its hash says whether it is."""
    if len(listing.files) == 1 and not zipfile.is_zipfile(download):
        return _alone(download, *listing.files)
    return _from_zip(download)


def _from_zip(archive: Path) -> Source:
    """The archive's ONNX files by their last name: where a member says it lies is not ours to follow."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                name = PurePosixPath(member.filename).name
                if not name.endswith(".onnx") or member.is_dir():
                    continue
                if member.file_size > _LARGEST_FILE:
                    raise PackError(f"{name} in the archive is larger than a model can be")
                with opened.open(member) as file:
                    yield name, file
    except zipfile.BadZipFile:
        raise PackError("The archive is damaged: download it again") from None


def _place(name: str, models_dir: Path, files: Source, source: str, listing: Listing | None, consent: Consent) -> Path:
    with _beside(models_dir) as fresh:
        hashes = _copied(files, fresh, wanted=listing.files if listing else None)
        if listing:
            _compare(hashes, listing)
        elif len(hashes) < 2:
            raise PackError("A pack needs a detector and a recogniser: fewer than two .onnx files were found")
        licence = listing.licence if listing else UNKNOWN_LICENCE
        record = Record(name, source, licence, consent.agreed_by, consent.at.isoformat(), hashes)
        (fresh / RECORD).write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
        fresh.rename(models_dir / name)
    return models_dir / name


def _copied(files: Source, into: Path, *, wanted: Mapping[str, str] | None) -> dict[str, str]:
    hashes = {}
    for name, file in files:
        if wanted is None or name in wanted:
            with (into / name).open("wb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
            hashes[name] = sha256_of(into / name)
    return hashes


def _compare(hashes: Mapping[str, str], listing: Listing) -> None:
    for name, expected in listing.files.items():
        if name not in hashes:
            raise PackError(f"The archive has no {name}: it is not the pack {listing.name}")
        if hashes[name] != expected:
            raise PackError(f"{name} is not the file of {listing.name}: its SHA-256 is {hashes[name]}. Nothing was installed")


@contextmanager
def _beside(models_dir: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=".installing-", dir=models_dir))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
