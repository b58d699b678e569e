"""The one-shot steps of `compose.yaml`: `python -m deploy.containers prepare | ledger | demo`, in this order.

Each may run again: what is there already stays. They live in an image of their own; the programs' images know nothing of them.
"""

from __future__ import annotations

import sys

from deploy.containers import demo, ledger, prepare
from deploy.sentence import Sentence

STEPS = {"prepare": prepare.run, "ledger": ledger.run, "demo": demo.run}


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in STEPS:
        print(f"python -m deploy.containers {' | '.join(STEPS)}", file=sys.stderr)
        return 2
    try:
        STEPS[sys.argv[1]]()
    except Sentence as sentence:
        print(f"{sys.argv[1]}: {sentence}", file=sys.stderr)
        return sentence.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
