"""`python -m backend import-compreface`: enrol the people of an Exadel CompreFace server through the API of a running service.

Each subject with its example images, which are embedded anew: CompreFace's own embeddings are of another model. The name of a
subject becomes its external id. What is done is noted as `enrol` notes it, so that the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from backend import wire
from backend.client import BackendClient, ClientError
from backend.commands.enrol import DEFAULT_URL, KEY_VARIABLE, SOME_FAILED, WRONG_USE, default_state, sentences, write_duplicates
from backend.compreface import CompreFace, CompreFaceError, Silent
from backend.folder_enrolment import Folder, FolderEnrolment, Options, Photograph
from backend.folder_notes import StateFile, Summary

FAILURES = ("file", "code", "detail")


class NoSuchSubjects(Exception):
    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"CompreFace has no such subject: {', '.join(names)}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", required=True, help="CompreFace's address, e.g. http://compreface:8000")
    parser.add_argument("--api-key-file", type=Path, required=True, help="file with the key of its recognition service")
    parser.add_argument("--subject", action="append", dest="subjects", help="only this one; may be repeated (default: all)")
    parser.add_argument("--compreface-ca", type=Path, help="CA to trust for CompreFace beside the system's")
    parser.add_argument(
        "--backend-url", action="append", dest="urls", help=f"the service here; may be repeated (default: {DEFAULT_URL})"
    )
    parser.add_argument("--key-file", type=Path, help=f"file with an API key of scope client (or set {KEY_VARIABLE})")
    parser.add_argument("--ca", type=Path, help="CA to trust for the service here beside the system's")
    parser.add_argument("--state", type=Path, help="where to note what is done (default: below ~/.local/state/face-auth)")
    parser.add_argument("--duplicates", type=Path, default=Path("duplicates.csv"), help="CSV to write (default: duplicates.csv)")
    parser.add_argument("--failures", type=Path, default=Path("failures.csv"), help="CSV to write (default: failures.csv)")
    parser.add_argument("--on-duplicate", choices=list(wire.OnDuplicate), default="flag", help="for a certain duplicate")
    parser.add_argument("--face", choices=list(wire.FaceChoice), default="only", help="which face, where there are several")
    parser.add_argument("--no-external-ids", action="store_true", help="do not use subjects' names as external ids")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """0 when every image was enrolled, 1 when some were not or one of the two services failed, 2 for wrong use."""
    try:
        summary, without_images = _import(args)
        write_duplicates(args.duplicates, summary)
        write_failures(args.failures, summary)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else str(error), file=sys.stderr)
        return WRONG_USE
    except (Silent, ClientError) as error:
        print(f"{error}\nWhat was enrolled is noted: run the same command again to go on.", file=sys.stderr)
        return SOME_FAILED
    except (CompreFaceError, NoSuchSubjects) as error:
        print(error, file=sys.stderr)
        return WRONG_USE
    document = summary.document() | {
        "subjects_without_images": without_images,
        "duplicates_csv": str(args.duplicates),
        "failures_csv": str(args.failures),
    }
    print(json.dumps(document, indent=2) if args.json else sentences(document))
    return SOME_FAILED if summary.failures else 0


def _import(args: argparse.Namespace) -> tuple[Summary, int]:
    urls = args.urls or [DEFAULT_URL]
    secret = args.key_file.read_text("utf-8").strip() if args.key_file else os.environ.get(KEY_VARIABLE)
    options = Options(wire.OnDuplicate(args.on_duplicate), wire.FaceChoice(args.face), not args.no_external_ids)
    state = StateFile(args.state or default_state(args.url.rstrip("/"), urls))
    key = args.api_key_file.read_text("utf-8").strip()
    with (
        CompreFace(args.url, key, ca_file=args.compreface_ca) as source,
        BackendClient(urls, token=secret, ca_file=args.ca, timeout=60) as client,
    ):
        people, without_images = people_of(source, args.subjects)
        total = sum(len(person.photographs) for person in people)
        with tqdm(total=total, unit="image", disable=None) as bar:
            enrolment = FolderEnrolment(client, state, options, on_done=bar.update)
            enrolment.run(people)
    return enrolment.summary, without_images


def people_of(source: CompreFace, asked: Sequence[str] | None) -> tuple[list[Folder], int]:
    """Those who are asked for with their images, and how many have none. Raises `NoSuchSubjects`, `CompreFaceError`."""
    everybody = source.subjects()
    names = everybody if asked is None else list(dict.fromkeys(asked))
    if unknown := sorted(set(names) - set(everybody)):
        raise NoSuchSubjects(unknown)
    images: dict[str, list[Photograph]] = defaultdict(list)
    for one in [None] if asked is None else names:
        for face in source.faces(one):
            images[face.subject].append(Photograph(f"{face.subject}/{face.image_id}", partial(source.image, face.image_id)))
    found = [Folder(name, tuple(sorted(images[name], key=lambda one: one.file))) for name in names if images[name]]
    return found, len(names) - len(found)


def write_failures(path: Path, summary: Summary) -> None:
    """One row per image that was not enrolled, and why."""
    with path.open("w", newline="", encoding="utf-8") as target:
        table = csv.writer(target)
        table.writerow(FAILURES)
        table.writerows([failure.file, failure.code, failure.detail] for failure in summary.failures)
