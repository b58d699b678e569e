"""Taking dead rows out of PostgreSQL's pages, and knowing whether they are out.

VACUUM keeps what any older snapshot could still see, passes over a table that somebody holds, and reports success either way. So
it is first asked who could see what was dead before now, which costs a look into shared memory; then every warning counts.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, text

WAIT_S = 1.0
"""for transactions that end by themselves: on a busy server some are always under way"""
FIRST_PAUSE_S = 0.02
REWRITTEN = "index_snapshot"
"""A row for each replica: in so small a table a destroyed key would lie in a gap of its page for long."""
SUBJECTS = "subject"
OTHERS = ("sample", "template", "idempotency", "enrolment", "decision", "outbox", "gallery")
STEPS = (
    # Also out of the indexes, which VACUUM leaves as they are where few rows died: one of them holds hashes of external ids.
    f"VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON) {SUBJECTS}",
    f"VACUUM (SKIP_LOCKED) {', '.join(OTHERS)}",
    f"VACUUM (FULL, SKIP_LOCKED) {REWRITTEN}",
)

NEXT_TRANSACTION = text("SELECT pg_snapshot_xmax(pg_current_snapshot())::xid::text")
# Where a transaction of one of these is older than ours, it sees rows that died before: a session (also a standby's that reports
# what it reads, which belongs to no database), a prepared transaction, a replication slot. NULL ages are nobody's.
SEEN_BY_OTHERS = text("""
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND (datname IS NULL OR datname = current_database())
          AND greatest(age(backend_xmin), age(backend_xid)) > age(CAST(:before AS xid))
      UNION ALL
        SELECT FROM pg_prepared_xacts WHERE database = current_database() AND age(transaction) > age(CAST(:before AS xid))
      UNION ALL
        SELECT FROM pg_replication_slots WHERE age(xmin) > age(CAST(:before AS xid))
    )
""")


def scrub(connection: Connection) -> bool:
    """True: no row that was dead before this call is left in the tables that hold people. False: it is to be tried again.

    `connection` commits by itself, and is not given back: how long a VACUUM takes is for the size of the tables to say.
    """
    if not _nobody_sees_the_dead(connection):
        return False
    warnings: list[object] = []
    driver: Any = connection.connection.driver_connection
    connection.detach()
    driver.add_notice_handler(warnings.append)
    connection.exec_driver_sql("SET client_min_messages = warning")
    connection.exec_driver_sql("SET statement_timeout = 0")
    for step in STEPS:
        connection.exec_driver_sql(step)
    return not warnings  # of a table that somebody held, or that this program's role may not vacuum


def _nobody_sees_the_dead(connection: Connection) -> bool:
    """Whether everybody who could see a row that died before now is gone, or goes within `WAIT_S`."""
    before = connection.execute(NEXT_TRANSACTION).scalar_one()
    until, pause_s = time.monotonic() + WAIT_S, FIRST_PAUSE_S
    while connection.execute(SEEN_BY_OTHERS, {"before": before}).scalar_one():
        if time.monotonic() >= until:
            return False
        time.sleep(pause_s)
        pause_s *= 2
    return True
