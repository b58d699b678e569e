"""`python3 -m deploy COMMAND`: run the whole system on this machine, stop it, render the balancers' configuration.

Until the environment exists only the standard library is imported, and this file and `python_version` parse on old Pythons,
so that a machine with the wrong one hears a sentence and not a syntax error.
"""

from __future__ import annotations

import sys

from deploy import python_version


def main() -> int:
    python_version.require(sys.argv[1:])
    from deploy.commands import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
