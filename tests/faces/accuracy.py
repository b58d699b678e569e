"""`make accuracy-test`: both test packs and the offline engine on all test photographs, by the product's own command.

Prints each table, and exits 1 unless every engine ranks the original first for at least 95 % of the copies that were
written as JPEG 30, made half as large, or made 40 % brighter or darker. The last line has the figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from backend.accuracy_report.page import page
from backend.accuracy_report.sentences import sentences

ROOT = Path(__file__).resolve().parents[2]
ENGINES = {
    "test_mbf": ["--engine", "insightface", "--model-pack", "models/test_mbf"],
    "test_mfn128": ["--engine", "insightface", "--model-pack", "models/test_mfn128"],
    "offline": ["--engine", "offline"],
}
HELD_TO = ("jpeg-30", "half-size", "brightness+40", "brightness-40")
LEAST = 0.95


def main() -> int:
    parser = argparse.ArgumentParser(prog="make accuracy-test", description=__doc__)
    parser.add_argument("--testdata", type=Path, default=ROOT.parent / "shared" / "testdata")
    parser.add_argument("--only", choices=ENGINES, action="append", help="just this engine (repeatable)")
    parser.add_argument("--quick", action="store_true", help="only the alterations that an engine is held to")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write each engine's JSON and page there")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    alterations = ["--alterations", ",".join(HELD_TO)] if options.quick else ["--alter"]
    documents = {name: figures(name, options.testdata, alterations, options.keep) for name in options.only or ENGINES}
    firsts = {f"{name} {held_to}": first_of(document, held_to) for name, document in documents.items() for held_to in HELD_TO}
    low = [what for what, share in firsts.items() if share < LEAST]
    worst = min(firsts, key=lambda what: firsts[what])
    print(
        f"engines={len(documents)} ranked-first-at-least={LEAST} worst={firsts[worst]:.4f} ({worst})",
        *(f"{name}: {errors(document)}" for name, document in documents.items()),
        f"missed={len(low)}{': ' + ', '.join(low) if low else ''}",
        sep="; ",
    )
    return 1 if low else 0


def figures(name: str, testdata: Path, alterations: list[str], keep: Path | None) -> dict[str, Any]:
    """Runs the command, and prints what it would print to a person."""
    words = [str(testdata / word) if word.startswith("models/") else word for word in ENGINES[name]]
    folders = [str(testdata / "faces"), str(testdata / "gallery")]
    command = [sys.executable, "-m", "backend", "evaluate", *folders, *alterations, "--json", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    document: dict[str, Any] = json.loads(done.stdout)
    if keep:
        (keep / f"{name}.json").write_text(done.stdout)
        (keep / f"{name}.html").write_text(page(document))
    print(f"== {name} ==", sentences(document), "", sep="\n", flush=True)
    return document


def first_of(document: dict[str, Any], alteration: str) -> float:
    """The share of copies whose own original is ranked first, among all photographs; without any copies 0."""
    row = next(row for row in document["alterations"] if row["name"] == alteration)
    return float(row["original_first"]["rate"] or 0)


def errors(document: dict[str, Any]) -> str:
    return (
        f"{document['false_matches']}/{document['impostor_pairs']} false matches,"
        f" {document['false_non_matches']}/{document['genuine_pairs']} false non-matches"
    )


if __name__ == "__main__":
    sys.exit(main())
