"""The quality of each sample of one subject, component by component."""

from __future__ import annotations

from collections.abc import Sequence

from backend import wire
from dashboard import phrases


def by_component(samples: Sequence[wire.Sample]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: a column per sample, the component that is worst anywhere first; no rows where none is known."""
    names = {name for sample in samples for name in sample.quality.components}
    worst = {name: min(sample.quality.components.get(name, 100) for sample in samples) for name in names}
    heads = ["Component", *(f"Sample {place}" for place in range(1, len(samples) + 1))]
    rows = [
        [phrases.in_words(name), *(phrases.number(sample.quality.components.get(name)) for sample in samples)]
        for name in sorted(names, key=lambda name: (worst[name], name))
    ]
    return heads, rows
