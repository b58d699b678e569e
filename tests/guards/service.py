"""Sentence 5, nothing blocks the event loop; sentence 7, nothing of a person leaves by the side door."""

from __future__ import annotations

from tests.guards.guard import Guard

POOL = "tests/faces/test_pool.py::"
REQUESTS = "tests/api/test_requests.py::"

GUARDS = (
    # --- the event loop ---
    Guard(
        name="bounded-queue",
        keeps=5,
        file="backend/faces/pool.py",
        old="if self._admitted >= self._places:",
        new="if False:",
        test=POOL + "test_a_full_pool_says_no_at_once_and_recovers",
    ),
    Guard(
        name="inference-deadline",
        keeps=5,
        file="backend/faces/pool.py",
        old="async with asyncio.timeout(self._deadline_s):",
        new="async with asyncio.timeout(None):",
        test=POOL + "test_a_job_past_its_deadline_is_given_up_and_its_slot_stays_busy_until_it_ends",
    ),
    Guard(
        name="inference-beside-the-loop",
        keeps=5,
        file="backend/faces/pool.py",
        old="return await asyncio.wrap_future(future)",
        new="return future.result()",
        test=POOL + "test_the_event_loop_turns_while_every_slot_is_busy",
    ),
    Guard(
        name="one-database-check-for-all",
        keeps=5,
        file="backend/shared_check.py",
        old="if self._running is None or self._running.done():",
        new="if True:",
        test="tests/api/test_health_checks.py::test_a_hundred_callers_share_one_check_and_its_answer_ages_a_second",
    ),
    # --- the side doors ---
    Guard(
        name="logs-name-the-route",
        keeps=7,
        file="backend/served.py",
        old='            "route": route,\n',
        new='            "route": scope["path"],\n',
        test=REQUESTS + "test_the_logs_have_a_line_per_request_and_nothing_of_anybody[plain]",
    ),
    Guard(
        name="logs-repeat-no-exception",
        keeps=7,
        file="backend/logs.py",
        old='f"{type(error).__name__} at "',
        new='f"{error!r} at "',
        test="tests/api/test_logs.py::test_no_words_of_an_exception_are_logged_nor_of_what_caused_it[plain]",
    ),
    Guard(
        name="errors-repeat-no-input",
        keeps=7,
        file="backend/problems.py",
        old='"problem": _said(found)',
        new='"problem": str(found)',
        test=REQUESTS + "test_a_wrong_query_is_a_problem_that_repeats_nothing",
    ),
    Guard(
        name="errors-name-no-metadata",
        keeps=7,
        file="backend/problems.py",
        old='PRIVATE_KEYS = frozenset({"metadata"})',
        new="PRIVATE_KEYS = frozenset[str]()",
        test=REQUESTS + "test_an_error_never_repeats_what_was_sent[body1]",
    ),
    Guard(
        name="stored-vectors-are-sealed",
        keeps=7,
        file="backend/store/keyring.py",
        old="from cryptography.hazmat.primitives.ciphers.aead import AESGCM\n",
        new=(
            "class AESGCM:\n"
            "    def __init__(self, key): pass\n"
            "    def encrypt(self, nonce, data, context): return data + bytes(16)\n"
            "    def decrypt(self, nonce, data, context): return data[:-16]\n"
        ),
        test="tests/ledger/test_erasure.py::test_nothing_of_a_subject_stands_readable_in_the_files[sqlite]",
    ),
)
