"""A Python that can run the system: this one, or a newer one on PATH. Parses on Python 3.7."""

from __future__ import annotations

import os
import shutil
import sys

OLDEST = (3, 11)
NEWEST = (3, 14)


def require(arguments: list[str]) -> None:
    """Return on a fitting Python; else start `deploy` again with one from PATH, or end with a sentence."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        other = shutil.which("python3.%d" % minor)  # noqa: UP031
        if other:
            os.execv(other, [other, "-m", "deploy", *arguments])  # noqa: S606
    sys.exit(
        "This is Python %d.%d; the system needs Python 3.11 to 3.14. Install one (Debian 12: apt-get install python3.11 "  # noqa: UP031
        "python3.11-venv) and run the command again with it." % sys.version_info[:2]
    )
