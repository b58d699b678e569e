"""Run a program that ends when its supervisor does: `python -I -S leash.py SUPERVISOR_PID PROGRAM ARGUMENT…`.

The kernel sends it SIGTERM when the thread that started it dies, however that happens (PR_SET_PDEATHSIG, kept across exec). A
program of its own, because code between fork and exec in a process with threads may deadlock. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    supervisor, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != int(supervisor):  # it died before the line above
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
