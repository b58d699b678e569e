"""`python -m backend evaluate FOLDER`: measure an engine on photographs whose people are known."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from backend import settings
from backend.faces.engine import ModelCard
from backend.faces.evaluation import Evaluation, evaluate, photographs_in
from backend.faces.image import ImageLimits
from backend.faces.load import EngineError, load_engine

FAILED, WRONG_USE = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a folder per subject, or a flat one with one photograph of each")
    parser.add_argument("--threshold", type=float, help="score from which two are the same (default: the review threshold)")
    parser.add_argument("--engine", choices=["offline", "insightface"], help="default: BACKEND_ENGINE")
    parser.add_argument("--model-pack", type=Path, help="default: BACKEND_MODEL_PACK")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """0 when measured, whatever the figures; 1 when the engine cannot be loaded; 2 when there is nothing to measure on."""
    chosen = settings.load(engine=args.engine, model_pack=args.model_pack)
    try:
        photographs = photographs_in(args.folder)
        if not photographs:
            print(f"{args.folder} holds no photographs: JPEG, PNG, WebP or BMP", file=sys.stderr)
            return WRONG_USE
        engine = load_engine(chosen.engine, model_pack=chosen.model_pack)
        with tqdm(total=len(photographs), unit="image", disable=None, leave=False) as bar:
            found = evaluate(
                engine,
                photographs,
                limits=ImageLimits(chosen.max_image_bytes, chosen.max_image_pixels),
                min_face_px=chosen.min_face_px,
                threshold=_threshold(args.threshold, chosen.review_threshold, engine.card),
                each=bar.update,
            )
    except EngineError as error:
        print(error, file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return WRONG_USE
    document = _document(found, engine.card)
    print(json.dumps(document, indent=2) if args.json else _sentences(document))
    return 0


def _threshold(asked: float | None, configured: float | None, card: ModelCard) -> float:
    return next(value for value in (asked, configured, card.review_threshold) if value is not None)


def _document(found: Evaluation, card: ModelCard) -> dict[str, Any]:
    return {
        "images": found.images,
        "subjects": found.subjects,
        "failures_to_enrol": len(found.failures),
        "genuine_pairs": found.genuine_pairs,
        "impostor_pairs": found.impostor_pairs,
        "false_matches": found.false_matches,
        "false_non_matches": found.false_non_matches,
        "threshold": found.threshold,
        "fmr_at_most": found.fmr_at_most,
        "genuine_min": found.genuine_min,
        "impostor_max": found.impostor_max,
        "metric": card.metric.value,
        "engine": card.engine,
        "model_id": card.model_id,
        "failures": [{"file": str(failure.path), "code": failure.code} for failure in found.failures],
    }


def _sentences(document: dict[str, Any]) -> str:
    bound = document["fmr_at_most"]
    lines = [
        f"{document['images']} images of {document['subjects']} subjects, {document['failures_to_enrol']} failures to enrol",
        *(f"  {failure['file']}: {failure['code']}" for failure in document["failures"]),
        f"at the score {document['threshold']:g} ({document['metric']}), model {document['model_id']}:",
        f"  {document['false_matches']} false matches of {document['impostor_pairs']:,} impostor pairs"
        + (f" (FMR at most {bound:.2g} at 95 %)" if bound is not None else ""),
        f"  {document['false_non_matches']} false non-matches of {document['genuine_pairs']:,} genuine pairs",
    ]
    return "\n".join(lines)
