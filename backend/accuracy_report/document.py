"""All that `evaluate` measures, as one document: what `--json` prints, and what the sentences and the page are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from backend.accuracy_report.groups_file import Groups
from backend.accuracy_report.progress import Progress
from backend.faces.accuracy import identification, tradeoff
from backend.faces.accuracy.by_subject import fmr_limits, fnmr_limits
from backend.faces.accuracy.comparisons import Comparisons, compare
from backend.faces.accuracy.identification import Searches
from backend.faces.accuracy.intervals import rate, supports, trials_needed, upper_bound
from backend.faces.accuracy.photographs import Collection
from backend.faces.accuracy.recall import Recall, recall
from backend.faces.accuracy.templates import Capturing, Failure, Templates, captured
from backend.faces.engine import ModelCard
from backend.version import version

FMR_TARGETS = (1e-2, 1e-3, 1e-4)
FPIR_TARGETS = (1e-1, 1e-2, 1e-3)
CAVEATS = (
    "Limits are two-sided 95 % (Clopper-Pearson), and 3/n, one-sided, where nothing was seen. They take every comparison as"
    " independent. Comparisons are not: one person's photographs appear in many. The limits by subject draw the people anew"
    " (bootstrap, 1,000 draws; 3/n of the people where no false non-match was seen): quote these where they are given.",
    "Photographs of other people, cameras and light give other rates. Measure on your own before you choose a threshold.",
    "Photographs that could not be enrolled are in the failures to enrol and in no other rate; altered copies that an"
    " enrolment would refuse count as not recognised, and are ranked by what a search finds in them.",
    "FPIR grows with the gallery. What is measured at this N says little about a million.",
)

Document = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What to measure beside the rates of all pairs."""

    folders: Sequence[Path]
    thresholds: Mapping[str, float]
    """by name; `chosen` is the one of the counts"""
    chosen: str
    alterations: Sequence[str] = ()
    groups: Groups | None = None


def measured(capturing: Capturing, collection: Collection, asked: Asked, progress: Progress) -> Document:
    """Raises OSError when a photograph cannot be read."""
    with progress("photographs", len(collection.photographs)) as bar:
        templates = captured(capturing, collection.photographs, each=bar.update)
    card = capturing.engine.card
    named = sorted(set(asked.thresholds.values()))
    with progress("comparisons", len(templates.vectors)) as bar:
        comparisons = compare(card.metric, templates.vectors, templates.people, named=named, each=bar.update)
    return {
        **_counts(collection, templates, comparisons, asked.thresholds[asked.chosen]),
        **_about(card, asked),
        "thresholds": [_at(comparisons, templates, name, value) for name, value in asked.thresholds.items()],
        "fnmr_at_fmr": [_at_target(comparisons, target) for target in FMR_TARGETS],
        "equal_error": _equal_error(comparisons),
        "identification": _identification(identification.search(card.metric, templates.vectors, templates.people), asked),
        "alterations": [_alteration(capturing, templates, name, asked, progress) for name in asked.alterations],
        "groups": _groups(collection, templates, card, asked),
        "failures": [{"file": str(failure.photograph.path), "code": failure.code} for failure in templates.failures],
        "copies_left_out": [str(path) for path in collection.copies],
        "under_two_names": [[str(one), str(other)] for one, other in collection.under_two_names],
        "caveats": list(CAVEATS),
        "det": [_det_point(comparisons, point) for point in tradeoff.det(comparisons)],
        "histogram": _histogram(comparisons),
    }


def _counts(collection: Collection, templates: Templates, comparisons: Comparisons, threshold: float) -> Document:
    images = len(collection.photographs)
    false_matches = comparisons.false_matches(threshold)
    return {
        "images": images,
        "subjects": len({photograph.subject for photograph in collection.photographs}),
        "failures_to_enrol": len(templates.failures),
        "genuine_pairs": comparisons.genuine_pairs,
        "impostor_pairs": comparisons.impostor_pairs,
        "false_matches": false_matches,
        "false_non_matches": comparisons.false_non_matches(threshold),
        "threshold": threshold,
        "fmr_at_most": upper_bound(false_matches, comparisons.impostor_pairs) if comparisons.impostor_pairs else None,
        "genuine_min": comparisons.genuine_min,
        "impostor_max": comparisons.impostor_max,
        "fte": asdict(rate(len(templates.failures), images)),
    }


def _about(card: ModelCard, asked: Asked) -> Document:
    return {
        "metric": card.metric.value,
        "engine": card.engine,
        "pack": card.pack,
        "model_id": card.model_id,
        "licence": card.licence,
        "version": version(),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "folders": [str(folder) for folder in asked.folders],
    }


def _at(comparisons: Comparisons, templates: Templates, name: str, threshold: float) -> Document:
    photographs = np.bincount(templates.people, minlength=len(templates.names))
    by_subject = {
        "fmr": fmr_limits(comparisons, threshold, photographs),
        "fnmr": fnmr_limits(comparisons, threshold),
    }
    found = _rates(comparisons, threshold)
    for kind, limits in by_subject.items():
        found[kind]["by_subject"] = asdict(limits) if limits else None
    return {"name": name, "threshold": threshold, **found}


def _rates(comparisons: Comparisons, threshold: float) -> Document:
    return {
        "fmr": asdict(rate(comparisons.false_matches(threshold), comparisons.impostor_pairs)),
        "fnmr": asdict(rate(comparisons.false_non_matches(threshold), comparisons.genuine_pairs)),
    }


def _at_target(comparisons: Comparisons, target: float) -> Document:
    """FNMR where FMR is `target`, if so many impostor pairs can back that."""
    if not supports(target, comparisons.impostor_pairs):
        return {"target": target, "supported": False, "trials_needed": trials_needed(target)}
    point = tradeoff.at_fmr(comparisons, target)
    if point is None:
        return {"target": target, "supported": False, "trials_needed": trials_needed(target)}
    return {"target": target, "supported": True, "threshold": point.threshold, **_rates(comparisons, point.threshold)}


def _equal_error(comparisons: Comparisons) -> Document | None:
    point = tradeoff.equal_error(comparisons)
    if point is None:
        return None
    found = _rates(comparisons, point.threshold)
    return {"threshold": point.threshold, "rate": (found["fmr"]["rate"] + found["fnmr"]["rate"]) / 2, **found}


def _det_point(comparisons: Comparisons, point: tradeoff.Point) -> Document:
    fmr = rate(point.false_matches, comparisons.impostor_pairs)
    fnmr = rate(point.false_non_matches, comparisons.genuine_pairs)
    return {"threshold": point.threshold, "fmr": fmr.rate, "fmr_high": fmr.high, "fnmr": fnmr.rate, "fnmr_high": fnmr.high}


def _histogram(comparisons: Comparisons, bars: int = 80) -> Document | None:
    """Pairs by score between the lowest and the highest that was seen, in equal steps."""
    pairs = comparisons.genuine_pairs + comparisons.impostor_pairs
    if not pairs:
        return None
    below = comparisons.genuine_below + comparisons.impostor_pairs - comparisons.impostor_from
    first = max(0, int(np.searchsorted(below, 0, side="right")) - 1)
    last = min(len(below) - 1, int(np.searchsorted(below, pairs)))
    places = np.unique(np.linspace(first, last, bars + 1).round().astype(int))
    return {
        "edges": [round(float(edge), 4) for edge in comparisons.edges[places]],
        "genuine": np.diff(comparisons.genuine_below[places]).tolist(),
        "impostor": (-np.diff(comparisons.impostor_from[places])).tolist(),
    }


def _identification(searches: Searches | None, asked: Asked) -> Document | None:
    if searches is None:
        return None
    return {
        "gallery_size": searches.gallery_size,
        "mated_searches": len(searches.own),
        "non_mated_searches": len(searches.strongest),
        "rank_1": asdict(rate(searches.ranked_first, len(searches.own))),
        "thresholds": [{"name": name, **_searched(searches, value)} for name, value in asked.thresholds.items()],
        "fnir_at_fpir": [_at_fpir(searches, target) for target in FPIR_TARGETS],
        "curve": [_curve_point(searches, float(threshold)) for threshold in identification.curve(searches)],
    }


def _searched(searches: Searches, threshold: float) -> Document:
    return {
        "threshold": threshold,
        "fpir": asdict(rate(searches.false_alarms(threshold), len(searches.strongest))),
        "fnir": asdict(rate(searches.misses(threshold), len(searches.own))),
    }


def _at_fpir(searches: Searches, target: float) -> Document:
    if not supports(target, len(searches.strongest)):
        return {"target": target, "supported": False, "trials_needed": trials_needed(target)}
    return {"target": target, "supported": True, **_searched(searches, identification.at_fpir(searches, target))}


def _curve_point(searches: Searches, threshold: float) -> Document:
    fpir = rate(searches.false_alarms(threshold), len(searches.strongest))
    fnir = rate(searches.misses(threshold), len(searches.own))
    return {"threshold": threshold, "fpir": fpir.rate, "fpir_high": fpir.high, "fnir": fnir.rate, "fnir_high": fnir.high}


def _alteration(capturing: Capturing, templates: Templates, name: str, asked: Asked, progress: Progress) -> Document:
    with progress(name, len(templates.photographs)) as bar:
        found = recall(capturing, templates, name, each=bar.update)
    return {
        "name": name,
        "copies": found.copies,
        "not_captured": found.not_captured,
        "recall": [_recalled(found, named, value) for named, value in asked.thresholds.items()],
        "original_first": asdict(rate(found.original_first, found.copies)),
        "person_first": asdict(rate(found.person_first, found.copies)),
    }


def _recalled(found: Recall, name: str, threshold: float) -> Document:
    return {"name": name, "threshold": threshold, **asdict(rate(found.recognised(threshold), found.copies))}


def _groups(collection: Collection, templates: Templates, card: ModelCard, asked: Asked) -> list[Document]:
    return [
        {
            "attribute": attribute,
            "not_listed": len({photograph.subject for photograph in collection.photographs} - set(group_of)),
            "groups": [_group(name, group_of, collection, templates, card, asked) for name in sorted(set(group_of.values()))],
        }
        for attribute, group_of in (asked.groups or {}).items()
    ]


def _group(
    name: str, group_of: Mapping[str, str], collection: Collection, templates: Templates, card: ModelCard, asked: Asked
) -> Document:
    """Rates of one group: its own people compared with each other."""
    members = {subject for subject, group in group_of.items() if group == name}
    own = np.array([photograph.subject in members for photograph in templates.photographs], bool)
    failures: list[Failure] = [failure for failure in templates.failures if failure.photograph.subject in members]
    images = sum(photograph.subject in members for photograph in collection.photographs)
    named = sorted(set(asked.thresholds.values()))
    comparisons = compare(card.metric, templates.vectors[own], templates.people[own], named=named, fine=False)
    return {
        "group": name,
        "subjects": len(members),
        "images": images,
        "fte": asdict(rate(len(failures), images)),
        "thresholds": [
            {"name": named_as, "threshold": value, **_rates(comparisons, value)} for named_as, value in asked.thresholds.items()
        ],
    }
