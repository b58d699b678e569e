"""Another backup, program or key: what was acknowledged holds (1), every index follows (4), what was erased stays so (6)."""

from __future__ import annotations

from tests.guards.guard import Guard

BACKUP = "tests/ledger/test_backup.py::"
GONE = "tests/ledger/test_restore_gone.py::"
ROTATION = "tests/ledger/test_rotation.py::"

GUARDS = (
    # --- another backup ---
    Guard(
        name="a-restore-begins-an-epoch",
        keeps=4,
        file="backend/store/restore.py",
        old="    gallery.epoch = secrets.token_hex(8)\n",
        new="",
        test=BACKUP + "test_going_back_is_a_new_epoch_that_running_replicas_notice_and_whose_numbers_were_never_used[sqlite]",
    ),
    Guard(
        name="a-restore-goes-on-with-the-numbers",
        keeps=4,
        file="backend/store/restore.py",
        old='        store.continue_numbering(session, name, "seq", above=highest)\n',
        new="        pass\n",
        test=BACKUP + "test_numbers_go_on_and_the_chain_goes_on[postgresql-postgresql]",
    ),
    Guard(
        name="people-are-erased-again",
        keeps=6,
        file="backend/store/gone.py",
        old="    records = _erase(store, session, gone.records)\n",
        new="    records = 0\n",
        test=BACKUP + "test_who_was_erased_since_stays_erased_and_a_revoked_key_revoked[sqlite]",
    ),
    Guard(
        name="samples-are-erased-again",
        keeps=6,
        file="backend/store/gone.py",
        old="    samples = _samples(session, gone.samples)\n",
        new="    samples = list[Sample]()\n",
        test=GONE + "test_a_sample_that_was_erased_since_is_neither_there_nor_found[sqlite]",
    ),
    Guard(
        name="keys-are-revoked-again",
        keeps=1,
        file="backend/store/gone.py",
        old="    keys = _revoke(store, session, gone.keys)\n",
        new="    keys = 0\n",
        test=BACKUP + "test_who_was_erased_since_stays_erased_and_a_revoked_key_revoked[sqlite]",
    ),
    Guard(
        name="what-is-gone-is-carried-over",
        keeps=6,
        file="backend/store/restore.py",
        old="    gone.carry_over(store, session, beyond)\n",
        new="",
        test=GONE + "test_the_wrong_backup_restored_first_does_not_make_the_next_one_forget[sqlite]",
    ),
    # --- another program ---
    Guard(
        name="an-older-schema-is-not-served",
        keeps=1,
        file="backend/store/schema.py",
        old="if revision in known and known.index(revision) < known.index(LOWEST_REVISION):",
        new="if False:",
        test="tests/ledger/test_migrations.py::test_a_released_ledger_is_not_served_before_it_is_migrated[0001-sqlite]",
    ),
    Guard(
        name="a-program-too-old-is-not-ready",
        keeps=1,
        file="backend/store/schema.py",
        old="if min_app_level > APP_LEVEL:",
        new="if False:",
        test=ROTATION + "test_a_program_that_knows_one_key_alone_is_shut_out_when_a_rotation_begins[sqlite]",
    ),
    # --- another key ---
    Guard(
        name="the-gallerys-present-key-wraps",
        keeps=1,
        file="backend/store/database.py",
        old="return self.keyring if check is None else self.keyring.wrapping_with(check)",
        new="return self.keyring",
        test=ROTATION + "test_a_second_line_changes_nothing_until_the_gallery_names_it[sqlite]",
    ),
    Guard(
        name="a-rotation-shuts-out-who-knows-one-key",
        keeps=1,
        file="backend/store/rotation.py",
        old="        gallery.min_app_level = max(gallery.min_app_level, KNOWS_TWO_KEYS)\n",
        new="",
        test=ROTATION + "test_a_program_that_knows_one_key_alone_is_shut_out_when_a_rotation_begins[sqlite]",
    ),
)
