"""How much memory a gallery needs, how much it may have, and the refusal of one that cannot fit.

Better not ready, with a sentence, than killed by the kernel in the middle of a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import psutil

from backend.cgroup import OURS, ControlGroup
from backend.faces.engine import ModelCard

SHARE = 0.7
"""of the machine's or the container's memory, where no setting says otherwise: the rest is for models, images and Python"""
BESIDE = 2
"""A gallery that is built anew stands beside the old one for a while, and grows in steps as any array does."""
ID_AND_DIGEST_BYTES = 16
WARN_FROM = 0.8


class GalleryTooLarge(Exception):
    """The message says what is needed, what there is, and what to change."""


@dataclass(frozen=True)
class Room:
    """What one replica's index may take, in bytes."""

    bytes_per_template: int
    limit: int

    def needed(self, templates: int) -> int:
        return templates * self.bytes_per_template

    def refuse(self, templates: int) -> None:
        """Raises GalleryTooLarge where the index by itself does not fit."""
        if self.needed(templates) > self.limit:
            raise GalleryTooLarge(
                f"{templates:,} templates need {_mib(self.needed(templates))} of memory, this replica may use {_mib(self.limit)}:"
                " give the replica more memory, or raise BACKEND_GALLERY_MEMORY_BYTES"
            )

    def warning(self, templates: int) -> str | None:
        """What to prepare for, while it still fits."""
        if self.needed(templates) > self.limit * WARN_FROM:
            return f"{templates:,} templates take {_mib(self.needed(templates))} of the {_mib(self.limit)} that they may"
        return None

    def plan(self, templates: int) -> dict[str, object]:
        """For the log line at the start."""
        return {
            "templates": templates,
            "bytes_per_template": self.bytes_per_template,
            "needed_bytes": self.needed(templates),
            "while_built_anew_bytes": self.needed(templates) * BESIDE,
            "limit_bytes": self.limit,
            "most_templates": self.limit // self.bytes_per_template,
        }


def room_for(card: ModelCard, allowed_bytes: int = 0) -> Room:
    """`allowed_bytes`: the setting; 0 = such a share of the machine's or container's memory that one built anew fits beside."""
    limit = allowed_bytes or int(memory_total() * SHARE / BESIDE)
    return Room(bytes_per_template=4 * card.dimension + ID_AND_DIGEST_BYTES, limit=limit)


def together(rooms: Sequence[Room]) -> list[Room]:
    """Of several models with as many templates each, which share what each would have alone."""
    whole = sum(room.bytes_per_template for room in rooms)
    return [replace(room, limit=room.limit * room.bytes_per_template // whole) for room in rooms]


def memory_total(group: ControlGroup = OURS) -> int:
    """Bytes of the machine, or of the control group where that allows less."""
    total: int = psutil.virtual_memory().total
    limit = group.memory_limit()
    return total if limit is None else min(total, limit)


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
