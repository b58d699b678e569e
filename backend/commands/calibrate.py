"""`python -m backend calibrate FOLDER… --out FILE`: what scores mean here, measured on a site's own photographs."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from backend import settings
from backend.faces import calibration_file
from backend.faces.accuracy.photographs import collect
from backend.faces.accuracy.templates import Capturing
from backend.faces.calibrating import Measured, TooFewPeople, measure
from backend.faces.calibration_file import CalibrationFile, CalibrationFileError
from backend.faces.engine import ModelCard
from backend.faces.image import ImageLimits
from backend.faces.load import EngineError, load_engine

FAILED, WRONG_USE = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="a folder per person, or a flat one with one photograph of each; the same name in two folders is one person",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the calibration file (BACKEND_CALIBRATION_FILE)")
    parser.add_argument("--source", help="a sentence that says what was measured (default: the numbers of photographs and pairs)")
    parser.add_argument("--engine", choices=["offline", "insightface"], help="default: BACKEND_ENGINE")
    parser.add_argument("--model-pack", type=Path, help="default: BACKEND_MODEL_PACK")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """0 when the file is written; 1 when the engine cannot be loaded; 2 when there is too little to measure on."""
    chosen = settings.load(engine=args.engine, model_pack=args.model_pack)
    if not args.out.parent.is_dir():  # said before the minutes of measuring, not after them
        print(f"{args.out.parent}: there is no such folder to write the calibration file to", file=sys.stderr)
        return WRONG_USE
    try:
        photographs = collect(args.folders).photographs
        engine = load_engine(chosen.engine, model_pack=chosen.model_pack)
        with tqdm(total=len(photographs), unit="image", disable=None, leave=False) as bar:
            limits = ImageLimits(chosen.max_image_bytes, chosen.max_image_pixels)
            found = measure(Capturing(engine, limits, chosen.min_face_px), photographs, each=bar.update)
        file = found.file(model_id=engine.card.model_id, created=datetime.now(UTC), source=args.source)
        args.out.write_text(file.text(), encoding="utf-8")
        calibration_file.read(args.out, model_id=engine.card.model_id)
    except EngineError as error:
        print(error, file=sys.stderr)
        return FAILED
    except (TooFewPeople, CalibrationFileError) as error:
        print(error, file=sys.stderr)
        return WRONG_USE
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return WRONG_USE
    document = _document(found, file, engine.card, args.out)
    print(json.dumps(document, indent=2) if args.json else _sentences(document))
    return 0


def _document(found: Measured, file: CalibrationFile, card: ModelCard, out: Path) -> dict[str, Any]:
    calibration = file.calibration()
    return {
        "file": str(out),
        "id": calibration.id,
        "model_id": card.model_id,
        "source": calibration.source,
        "photographs": found.photographs,
        "people": found.people,
        "failures_to_enrol": len(found.failures),
        "impostor_pairs": len(found.impostor),
        "genuine_pairs": len(found.genuine),
        "genuine_curve": calibration.genuine is not None,
        "supported_fmr": calibration.supported_fmr,
        "points": [{"score": point.score, "fmr": point.fmr} for point in calibration.points],
        "highest_impostors": [{"files": [str(path) for path in one.paths], "score": one.score} for one in found.doubtful],
        "failures": [{"file": str(failure.photograph.path), "code": failure.code} for failure in found.failures],
    }


def _sentences(document: dict[str, Any]) -> str:
    points, failed = document["points"], document["failures_to_enrol"]
    lines = [
        f"{document['photographs']} photographs of {document['people']} people, {failed} failures to enrol",
        *(f"  {failure['file']}: {failure['code']}" for failure in document["failures"]),
        f"model {document['model_id']}:",
        f"  {document['impostor_pairs']:,} impostor pairs, {document['genuine_pairs']:,} genuine pairs",
        f"  FMR from {points[0]['fmr']:.2g} at {points[0]['score']:g} to {document['supported_fmr']:.2g}, which is all that"
        f" {document['impostor_pairs']:,} pairs support",
        "the highest pairs of different people (if one shows a single person, give both the same name and measure again):",
        *(f"  {one['score']:.3f}  {'  '.join(one['files'])}" for one in document["highest_impostors"]),
    ]
    if not document["genuine_curve"]:
        lines.append("too few pairs of one person for a genuine curve")
    return "\n".join([*lines, f"{document['id']} written to {document['file']}: name it in BACKEND_CALIBRATION_FILE"])
