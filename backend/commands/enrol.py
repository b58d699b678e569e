"""`python -m backend enrol FOLDER`: enrol photographs through the API of a running service.

A folder of folders is one subject per folder; a flat folder is one subject per file. What is done is noted in a state
file, so that a run that was interrupted goes on where it was; the Idempotency-Key of a request follows from the file's name
and content, so that a photograph that was being enrolled at that moment is not enrolled twice.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import sys
from pathlib import Path

from tqdm import tqdm

from backend import wire
from backend.client import BackendClient, ClientError
from backend.folder_enrolment import FolderEnrolment, Options, subjects_in
from backend.folder_notes import StateFile, Summary

KEY_VARIABLE = "FACE_AUTH_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
COLUMNS = ("file", "subject_id", "duplicate_of", "duplicate_file", "score", "band", "case_id")
SOME_FAILED, WRONG_USE = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a folder per subject, or photographs of one subject each")
    parser.add_argument("--url", action="append", dest="urls", help=f"the service; may be repeated (default: {DEFAULT_URL})")
    parser.add_argument("--key-file", type=Path, help=f"file with an API key of scope client (or set {KEY_VARIABLE})")
    parser.add_argument("--ca", type=Path, help="CA to trust beside the system's")
    parser.add_argument("--state", type=Path, help="where to note what is done (default: below ~/.local/state/face-auth)")
    parser.add_argument("--duplicates", type=Path, default=Path("duplicates.csv"), help="CSV to write (default: duplicates.csv)")
    parser.add_argument("--on-duplicate", choices=list(wire.OnDuplicate), default="flag", help="for a certain duplicate")
    parser.add_argument("--face", choices=list(wire.FaceChoice), default="only", help="which face, where there are several")
    parser.add_argument("--external-ids", action="store_true", help="use folder or file names as external ids")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """0 when every photograph was enrolled, 1 when some were not, 2 for wrong use."""
    try:
        summary = _enrol(args)
        write_duplicates(args.duplicates, summary)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else str(error), file=sys.stderr)
        return WRONG_USE
    except ClientError as error:
        print(f"{error}\nWhat was enrolled is noted: run the same command again to go on.", file=sys.stderr)
        return SOME_FAILED
    document = summary.document() | {"duplicates_csv": str(args.duplicates)}
    print(json.dumps(document, indent=2) if args.json else sentences(document))
    return SOME_FAILED if summary.failures else 0


def _enrol(args: argparse.Namespace) -> Summary:
    urls = args.urls or [DEFAULT_URL]
    secret = args.key_file.read_text("utf-8").strip() if args.key_file else os.environ.get(KEY_VARIABLE)
    options = Options(wire.OnDuplicate(args.on_duplicate), wire.FaceChoice(args.face), args.external_ids)
    state = StateFile(args.state or default_state(str(args.folder.resolve()), urls))
    folders = subjects_in(args.folder)
    total = sum(len(folder.photographs) for folder in folders)
    with (
        BackendClient(urls, token=secret, ca_file=args.ca, timeout=60) as client,
        tqdm(total=total, unit="photograph", disable=None) as bar,
    ):
        enrolment = FolderEnrolment(client, state, options, on_done=bar.update)
        enrolment.run(folders)
    return enrolment.summary


def default_state(source: str, urls: list[str]) -> Path:
    """One file per source of photographs and service, in the user's own state folder: theirs is often read-only."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = hashlib.sha256(json.dumps([source, sorted(urls)]).encode()).hexdigest()[:16]
    return base / "face-auth" / f"enrol-{name}.jsonl"


def write_duplicates(path: Path, summary: Summary) -> None:
    """One row per pair that reached the review threshold; `duplicate_file` where the other one is of this folder too."""
    done = [*summary.skipped, *summary.enrolled]
    files = {one.subject_id: one.file for one in reversed(done)}
    with path.open("w", newline="", encoding="utf-8") as target:
        table = csv.writer(target)
        table.writerow(COLUMNS)
        for one in done:
            for pair in one.duplicates:
                other = pair["subject_id"]
                table.writerow(
                    [one.file, one.subject_id, other, files.get(other, ""), f"{pair['score']:.6f}", pair["band"], one.case_id]
                )


def sentences(document: dict[str, object]) -> str:
    failures = document["failures"]
    lines = [
        f"{document['enrolled']} photographs enrolled, {document['already_enrolled']} were already,"
        f" {document['rejected']} rejected; {document['subjects']} subjects in {document['seconds']} s.",
        f"{document['duplicates']} possible duplicates in {document['cases']} cases: {document['duplicates_csv']}",
    ]
    if isinstance(failures, list) and failures:
        lines.append(f"{len(failures)} photographs could not be enrolled:")
        lines += [f"  {failure['file']}: {failure['detail']}" for failure in failures]
    return "\n".join(lines)
