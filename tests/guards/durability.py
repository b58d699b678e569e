"""Sentence 1, acknowledged means durable, at the database; and of sentence 4 the log's numbers."""

from __future__ import annotations

from tests.guards.guard import Guard

RACES = "tests/ledger/test_races.py::"
STORE = "tests/ledger/test_store.py::"
POSTGRES = "tests/ledger/test_postgres.py::"

GUARDS = (
    Guard(
        name="no-write-by-a-program-too-old",
        keeps=1,
        file="backend/store/database.py",
        old='            refuse_if_too_old(gallery["min_app_level"])\n',
        new="",
        test=STORE + "test_a_program_that_is_too_old_for_the_database_is_not_ready_and_writes_nothing[sqlite]",
    ),
    Guard(
        name="answer-after-commit",
        keeps=1,
        file="backend/enrolment.py",
        old="            with self._store.write() as session:\n                results = [self._concluded(",
        new=(
            "            later = self._store.write()\n"
            "            session = later.__enter__()\n"
            "            __import__('threading').Timer(1.0, later.__exit__, (None, None, None)).start()\n"
            "            if True:\n                results = [self._concluded("
        ),
        test=RACES + "test_an_answer_is_given_after_the_commit[sqlite]",
    ),
    Guard(
        name="sqlite-synchronous-full",
        keeps=1,
        file="backend/store/sqlite.py",
        old='"synchronous": 2',
        new='"synchronous": 1',
        test=STORE + "test_every_connection_is_durable_and_overwrites_what_is_deleted[sqlite]",
    ),
    Guard(
        name="sqlite-settings-are-asserted",
        keeps=1,
        file="backend/store/sqlite.py",
        old="if found != value:",
        new="if False:",
        test=STORE + "test_a_connection_that_would_not_be_durable_is_refused[sqlite]",
    ),
    Guard(
        name="sqlite-file-in-its-place",
        keeps=1,
        file="backend/store/sqlite.py",
        old='if not self.is_in_place(connection.info.get("file")):',
        new="if False:",
        test=STORE + "test_a_write_during_which_the_file_is_moved_is_not_acknowledged[sqlite]",
    ),
    Guard(
        name="postgresql-synchronous-commit",
        keeps=1,
        file="backend/store/postgres.py",
        old='            "synchronous_commit": "on",\n',
        new="",
        test=POSTGRES + "test_commits_are_on_the_disk_whatever_the_role_prefers[postgresql]",
    ),
    Guard(
        name="postgresql-settings-are-asserted",
        keeps=1,
        file="backend/store/postgres.py",
        old="if found not in allowed:",
        new="if False:",
        test=POSTGRES + "test_a_server_without_fsync_is_refused_in_a_sentence_by_everything",
    ),
    Guard(
        name="half-a-write-is-nothing",
        keeps=1,
        file="backend/store/sqlite.py",
        old="as connection, connection.begin():",
        new="as connection, connection.execution_options(isolation_level='AUTOCOMMIT').begin():",
        test=STORE + "test_nothing_of_a_write_that_raises_is_kept[sqlite]",
    ),
)
