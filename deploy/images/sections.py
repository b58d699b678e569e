"""Print what a program needs of requirements.txt: `python sections.py PROGRAM[,PROGRAM…] FILE`. Standard library only.

A section begins with `# --- backend and monitor: servers and ledgers ---`; its programs stand before the colon, `all programs`
is everybody's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

HEADING = re.compile(r"^# --- (?P<programs>[^:]+?)(:.*)? ---$")
EVERYBODY = "all programs"


def needed(text: str, programs: Collection[str]) -> Iterator[str]:
    """The requirements of the sections that name one of the programs, in their order."""
    wanted = False
    for line in text.splitlines():
        if heading := HEADING.match(line):
            named = re.split(r", | and ", heading["programs"])
            wanted = EVERYBODY in named or any(program in named for program in programs)
        elif wanted and (requirement := line.partition("#")[0].strip()):
            yield requirement


def main() -> int:
    programs, file = sys.argv[1:]
    print(*needed(Path(file).read_text("utf-8"), programs.split(",")), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
