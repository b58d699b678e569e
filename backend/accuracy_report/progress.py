"""A bar for each part of a measurement, on a terminal only."""

from __future__ import annotations

from typing import Any, Protocol

from tqdm import tqdm


class Progress(Protocol):
    def __call__(self, what: str, total: int) -> Any:
        """A context whose value has `update(n=1)`."""
        ...


def bars(what: str, total: int) -> Any:
    return tqdm(total=total, desc=what, unit="image", disable=None, leave=False)
