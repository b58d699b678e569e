"""Rekognition's guard: the images of one subject show one person; what does not match goes to a reviewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.faces.engine import Metric
from backend.faces.score import scores
from backend.gallery.candidates import Match, scored
from backend.store.templates import StoredTemplate


def strays(metric: Metric, new: Sequence[StoredTemplate], own: Sequence[StoredTemplate], *, threshold: float) -> list[Match]:
    """Those of `new` that match no template of the person at `threshold`, each with the one that it comes closest to.

    The person is `own` where it is known already, else whom most of `new` show.
    """
    person = own or _shown_by_most(metric, new, threshold)
    known = {template.id for template in person}
    others = [template for template in new if template.id not in known]
    closest = [max(scored(metric, [template], person), key=lambda match: match.score) for template in others]
    return [match for match in closest if match.score < threshold]


def _shown_by_most(metric: Metric, images: Sequence[StoredTemplate], threshold: float) -> list[StoredTemplate]:
    """The image that matches most of the others (then best, then first), and all that it leads to from match to match."""
    vectors = np.stack([image.vector for image in images])
    table = scores(metric, vectors, vectors)
    alike = table >= threshold
    reference = max(range(len(images)), key=lambda i: (int(alike[i].sum()), float(table[i].sum()), -i))
    person = {reference}
    while joining := {i for i in range(len(images)) if alike[i, sorted(person)].any()} - person:
        person |= joining
    return [images[i] for i in sorted(person)]
