"""`python -m backend evaluate FOLDER …`: measure an engine on photographs whose people are known."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from backend import settings
from backend.accuracy_report.document import Asked, Document, measured
from backend.accuracy_report.groups_file import Groups, GroupsError, read_groups
from backend.accuracy_report.progress import bars
from backend.accuracy_report.sentences import sentences
from backend.faces.accuracy.alterations import ALTERATIONS
from backend.faces.accuracy.photographs import Collection, collect
from backend.faces.accuracy.templates import Capturing
from backend.faces.engine import ModelCard
from backend.faces.image import ImageLimits
from backend.faces.load import EngineError, load_engine

FAILED, WRONG_USE = 1, 2


class WrongUse(Exception):
    """What was asked for cannot be measured; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="a folder per subject, or a flat one with one photograph of each; who is in two of them by one name is one person",
    )
    parser.add_argument("--threshold", type=float, help="score from which two are the same (default: the review threshold)")
    parser.add_argument("--alter", action="store_true", help="is a copy of each photograph still recognised, altered? " + _all())
    parser.add_argument("--alterations", metavar="NAME,…", help="only these of them; needs no --alter")
    parser.add_argument("--groups", type=Path, metavar="CSV", help="header `subject,group`: the rates of each group by itself")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots, in one file that needs no network")
    parser.add_argument("--engine", choices=["offline", "insightface"], help="default: BACKEND_ENGINE")
    parser.add_argument("--model-pack", type=Path, help="default: BACKEND_MODEL_PACK")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """0 when measured, whatever the figures; 1 when the engine cannot be loaded; 2 when there is nothing to measure on."""
    chosen = settings.load(engine=args.engine, model_pack=args.model_pack)
    try:
        document = _measured(args, chosen)
        if args.html:
            _write_page(document, args.html)
    except EngineError as error:
        print(error, file=sys.stderr)
        return FAILED
    except (WrongUse, GroupsError) as error:
        print(error, file=sys.stderr)
        return WRONG_USE
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
        return WRONG_USE
    print(json.dumps(document, indent=2) if args.json else sentences(document))
    return 0


def _measured(args: argparse.Namespace, chosen: settings.Settings) -> Document:
    """What can be wrong with the arguments is found before the engine is loaded: that takes seconds, and measuring minutes."""
    alterations = _alterations(args.alterations, everything=args.alter)
    collection = collect(args.folders)
    if not collection.photographs:
        raise WrongUse(f"{', '.join(map(str, args.folders))}: no photographs there: JPEG, PNG, WebP or BMP")
    groups = _groups(args.groups, collection)
    if args.html:
        _check_page(args.html)
    engine = load_engine(chosen.engine, model_pack=chosen.model_pack)
    limits = ImageLimits(chosen.max_image_bytes, chosen.max_image_pixels)
    thresholds = _thresholds(args.threshold, chosen, engine.card)
    asked = Asked(
        folders=args.folders,
        thresholds=thresholds,
        chosen="asked" if "asked" in thresholds else "review",
        alterations=alterations,
        groups=groups,
    )
    return measured(Capturing(engine, limits, chosen.min_face_px), collection, asked, bars)


def _thresholds(asked: float | None, chosen: settings.Settings, card: ModelCard) -> dict[str, float]:
    """By name: the service's own, as set or as the engine has them, and the one that was asked for."""
    found = {
        "verification": (chosen.verification_threshold, card.verification_threshold),
        "review": (chosen.review_threshold, card.review_threshold),
        "certain": (chosen.certain_threshold, card.certain_threshold),
    }
    named = {name: own if configured is None else configured for name, (configured, own) in found.items()}
    return named if asked is None else {"asked": asked, **named}


def _alterations(names: str | None, *, everything: bool) -> list[str]:
    if names is None:
        return list(ALTERATIONS) if everything else []
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in ALTERATIONS]:
        raise WrongUse(f"No alteration is called {', '.join(unknown)}: there are {_all()}")
    return list(dict.fromkeys(wanted))


def _groups(file: Path | None, collection: Collection) -> Groups | None:
    return read_groups(file, {photograph.subject for photograph in collection.photographs}) if file else None


def _all() -> str:
    return ", ".join(ALTERATIONS)


def _check_page(file: Path) -> None:
    """Raises WrongUse where there is no plotly, OSError where there is no folder to write to. Nothing is written yet."""
    from importlib.util import find_spec

    if find_spec("plotly") is None:
        raise WrongUse("--html draws with plotly, which is not installed here: pip install plotly, or take --json")
    next(file.parent.iterdir(), None)


def _write_page(document: Document, file: Path) -> None:
    from backend.accuracy_report.page import page  # plotly takes a second to import, and only this needs it

    file.write_text(page(document), "utf-8")
