from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dashboard.roles import Role
from dashboard.sessions import Sessions
from dashboard.users import Users
from tests.dashboard.conftest import CHEAP, PASSWORD, SECRET

NOW = 1_800_000_000.0
IDLE, LONGEST = 1800.0, 43_200.0


@pytest.fixture
def users(users_file: Path) -> Users:
    users = Users(users_file, CHEAP)
    users.add("ada", PASSWORD, [Role.reviewer])
    return users


@pytest.fixture
def sessions(users: Users) -> Sessions:
    return Sessions(users, SECRET, idle_s=IDLE, max_s=LONGEST)


def begun(sessions: Sessions, users: Users, now: float = NOW) -> str:
    user = users.get("ada")
    assert user is not None
    return sessions.cookie(sessions.begin(user, now))


def test_a_cookie_of_ours_names_its_person_and_their_present_roles(sessions: Sessions, users: Users) -> None:
    person = sessions.read(begun(sessions, users), NOW + 1)
    assert person is not None
    assert (person.id, person.roles) == ("usr_ada", frozenset({Role.reviewer}))


@pytest.mark.parametrize("place", [0, 5, -1])
def test_a_changed_cookie_names_nobody(sessions: Sessions, users: Users, place: int) -> None:
    cookie = begun(sessions, users)
    other = "A" if cookie[place] != "A" else "B"
    forged = cookie[:place] + other + (cookie[place + 1 :] if place != -1 else "")
    # the last character carries unused bits: only a change that changes the signature's bytes must be refused
    assert sessions.read(forged[:-1] if place == -1 else forged, NOW) is None


def test_a_cookie_signed_with_another_secret_names_nobody(sessions: Sessions, users: Users) -> None:
    assert sessions.read(begun(Sessions(users, "another", idle_s=IDLE, max_s=LONGEST), users), NOW) is None
    assert sessions.read(None, NOW) is None
    assert sessions.read("", NOW) is None


def test_a_session_ends_after_half_an_hour_without_action(sessions: Sessions, users: Users) -> None:
    cookie = begun(sessions, users)
    assert sessions.read(cookie, NOW + IDLE - 1) is not None
    assert sessions.read(cookie, NOW + IDLE) is None


def test_action_on_an_open_page_keeps_a_session_although_its_cookie_is_old(sessions: Sessions, users: Users) -> None:
    cookie = begun(sessions, users)
    person = sessions.read(cookie, NOW + 1000)
    assert person is not None
    sessions.touch(person, NOW + 1000)
    assert sessions.read(cookie, NOW + 1000 + IDLE - 1) is not None
    assert sessions.read(cookie, NOW + 1000 + IDLE) is None


def test_a_session_ends_after_twelve_hours_whatever_is_done(sessions: Sessions, users: Users) -> None:
    cookie = begun(sessions, users)
    for step in range(1, int(LONGEST // 1000) + 1):
        person = sessions.read(cookie, NOW + 1000 * step)
        assert person is not None
        sessions.touch(person, NOW + 1000 * step)
    assert sessions.read(cookie, NOW + LONGEST) is None


def test_a_signed_out_session_stays_over_after_a_restart(sessions: Sessions, users: Users, users_file: Path) -> None:
    cookie, other = begun(sessions, users), begun(sessions, users)
    person = sessions.read(cookie, NOW)
    assert person is not None
    sessions.end(person, NOW)
    restarted = Sessions(Users(users_file, CHEAP), SECRET, idle_s=IDLE, max_s=LONGEST)
    for place in (sessions, restarted):
        assert place.read(cookie, NOW) is None
        assert place.read(other, NOW) is not None, "signing out ends one session, not the person's others"


def test_signing_out_forgets_sessions_that_have_run_out_anyway(sessions: Sessions, users: Users) -> None:
    for when in (NOW, NOW + 2 * LONGEST):
        person = sessions.read(begun(sessions, users, when), when)
        assert person is not None
        sessions.end(person, when)
    ada = users.get("ada")
    assert ada is not None
    assert len(ada.ended) == 1


def test_signing_out_holds_in_this_process_although_the_users_file_cannot_be_written(
    sessions: Sessions, users: Users, users_file: Path
) -> None:
    cookie = begun(sessions, users)
    person = sessions.read(cookie, NOW)
    assert person is not None
    lock = users_file.with_name(f".{users_file.name}.lock")
    lock.unlink()
    lock.mkdir()  # no writer gets past this, not even root
    with pytest.raises(IsADirectoryError):
        sessions.end(person, NOW)
    assert sessions.read(cookie, NOW) is None


def test_a_disabled_person_is_out_at_once(sessions: Sessions, users: Users) -> None:
    cookie = begun(sessions, users)
    users.set_disabled("ada", True, datetime.now(UTC))
    assert sessions.read(cookie, NOW) is None


def test_a_new_password_ends_every_session_that_began_before_it(sessions: Sessions, users: Users) -> None:
    before = begun(sessions, users, NOW)
    users.set_password("ada", "another long password", datetime.fromtimestamp(NOW + 10, UTC))
    assert sessions.read(before, NOW + 20) is None
    assert sessions.read(begun(sessions, users, NOW + 20), NOW + 21) is not None


def test_a_role_taken_away_is_gone_from_sessions_that_are_open(sessions: Sessions, users: Users, users_file: Path) -> None:
    cookie = begun(sessions, users)
    users_file.write_text(users_file.read_text().replace('"reviewer"', '"operator"'))
    person = sessions.read(cookie, NOW)
    assert person is not None
    assert person.roles == {Role.operator}
