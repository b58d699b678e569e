"""`python -m backend serve`: answer HTTP requests until told to stop."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading

from backend import app, settings
from backend.allocator import keep_memory_small
from backend.parts import CannotStart

COULD_NOT_START = 3
SWITCH_S = 0.0005
"""For how long a thread may compute while others wait for the interpreter. Transactions let go of it with every statement, and
after the default's 5 ms each they would hold the ledger lock for that much longer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8000)")
    parser.add_argument("--instance", help="name of this replica")
    parser.add_argument("--engine", choices=("offline", "insightface"), help="face engine")


def run(args: argparse.Namespace) -> int:
    """0 after an orderly end, 1 when requests were cut off, 3 when the service could not start."""
    chosen = settings.load(host=args.host, port=args.port, instance=args.instance, engine=args.engine)
    keep_memory_small()
    sys.setswitchinterval(SWITCH_S)
    try:
        status = app.run(chosen)
    except CannotStart as error:
        print(error, file=sys.stderr)
        status = COULD_NOT_START
    _leave_stuck_threads(status)
    return status


def _leave_stuck_threads(status: int) -> None:
    """The interpreter would wait for ever for a thread that hangs in a native call, or crash when a daemon returns from one.

    Everything of ours is closed by now.
    """
    if threading.active_count() > 1:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
