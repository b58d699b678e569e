"""What may differ between two runs that are alike: times, durations, ids made since they parted, hashes, free space.

Everything else stands as it was sent. Ids from before the runs parted stay too: both runs have the same ones, so that a survivor
is told from another. Placeholders for times, ids and hashes are as wide as what they stand for.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
ID = re.compile(r"\b(?P<prefix>[a-z]{2,6})_(?P<ms>[0-9a-f]{12})[0-9a-f]{20}\b")
HASH = re.compile(r"\b[0-9a-f]{64}\b")
CURSOR = re.compile(r'(?P<before>"next":"|[?&]cursor=)(?P<cursor>[A-Za-z0-9_=-]+)')
FREE = re.compile(r"\d+ MiB of (?P<what>disk free|memory available)")
DURATIONS = ("latency_ms", "lag_s", "median_s", "rate_per_s", "estimated_s")
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
TOOK = re.compile(rf'"(?P<name>{"|".join((*DURATIONS, "pid"))})":{NUMBER}')
LOGGED = re.compile(rf"\b(?P<name>duration_ms|latency_ms)={NUMBER}")
PROBED = re.compile(r"^health_requests_\w+{.*\n?", re.MULTILINE)
"""Whoever waits for something probes until it is there."""
MEASURED = re.compile(
    r"^(?P<name>(?:process_\w+|python_\w+|http_connections|\w+_created|\w+_age_seconds|\w+_lag_seconds"
    rf"|(?:http_request|face_auth_stage)_duration_seconds_(?:bucket|sum))(?:{{.*}})?) {NUMBER}$",
    re.MULTILINE,
)


@dataclass
class Sameness:
    """`parted_ms`: the moment, in milliseconds since the epoch, up to which the runs share their ids."""

    parted_ms: int
    new_ids: dict[str, str] = field(default_factory=dict)

    def text(self, sent: str) -> str:
        """As it would be in any run that is alike; new ids are numbered in the order in which they turn up."""
        shown = CURSOR.sub(lambda match: match["before"] + _decoded(match["cursor"]), sent)
        shown = FREE.sub(r"<some> MiB of \g<what>", shown)
        shown = TIME.sub("<time-of-some-microsecond->", shown)
        shown = HASH.sub("<hash" + "-" * 58 + ">", shown)
        shown = TOOK.sub(r'"\g<name>":<took>', shown)
        shown = LOGGED.sub(r"\g<name>=<took>", shown)
        shown = PROBED.sub("", shown)
        shown = MEASURED.sub(r"\g<name> <measured>", shown)
        return ID.sub(self._named, shown)

    def _named(self, match: re.Match[str]) -> str:
        if int(match["ms"], 16) <= self.parted_ms:
            return match[0]
        numbered = f"{match['prefix']}_<new-{len(self.new_ids) + 1:026d}>"
        return self.new_ids.setdefault(match[0], numbered)


def _decoded(cursor: str) -> str:
    """A cursor holds an id, or a number."""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().replace('"', "'")
    except (binascii.Error, UnicodeDecodeError):
        return cursor
