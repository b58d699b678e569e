from __future__ import annotations

import io
import json
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dashboard.__main__ import main
from dashboard.roles import Role
from dashboard.users import Users, UsersError
from tests.dashboard.conftest import CHEAP, PASSWORD

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def users(users_file: Path) -> Users:
    return Users(users_file, CHEAP)


def test_a_person_is_let_in_with_their_password_alone(users: Users) -> None:
    users.add("ada", PASSWORD, [Role.admin])
    assert users.authenticate("ada", PASSWORD) is not None
    assert users.authenticate("ada", PASSWORD + "x") is None
    assert users.authenticate("nobody", PASSWORD) is None


def test_the_file_is_private_and_holds_no_password(users: Users, users_file: Path) -> None:
    users.add("ada", PASSWORD, [Role.admin])
    assert stat.S_IMODE(users_file.stat().st_mode) == 0o600
    text = users_file.read_text()
    assert PASSWORD not in text
    assert "$argon2id$" in text


def test_a_disabled_person_is_not_let_in_until_enabled(users: Users) -> None:
    from datetime import UTC, datetime

    users.add("ada", PASSWORD, [Role.admin])
    users.set_disabled("ada", True, datetime.now(UTC))
    assert users.authenticate("ada", PASSWORD) is None
    users.set_disabled("ada", False, datetime.now(UTC))
    assert users.authenticate("ada", PASSWORD) is not None


@pytest.mark.parametrize("name", ["", "Ada", "a b", "-a", "../x", "a" * 65])
def test_names_that_would_not_fit_an_id_are_refused(users: Users, name: str) -> None:
    with pytest.raises(UsersError, match="a name has"):
        users.add(name, PASSWORD, [Role.admin])


def test_short_passwords_and_second_persons_of_one_name_are_refused(users: Users) -> None:
    with pytest.raises(UsersError, match="at least 10"):
        users.add("ada", "short", [Role.admin])
    users.add("ada", PASSWORD, [Role.admin])
    with pytest.raises(UsersError, match="there already"):
        users.add("ada", PASSWORD, [Role.admin])


def test_a_change_by_another_process_is_seen_without_a_restart(users: Users, users_file: Path) -> None:
    assert users.get("ada") is None
    Users(users_file, CHEAP).add("ada", PASSWORD, [Role.admin])
    assert users.get("ada") is not None


def test_writers_at_once_lose_nobody(users_file: Path) -> None:
    threads = [threading.Thread(target=Users(users_file, CHEAP).add, args=(f"u{n}", PASSWORD, [Role.operator])) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [user.name for user in Users(users_file).all()] == [f"u{n}" for n in range(8)]


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def command(users_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DASHBOARD_USERS_FILE", str(users_file))
    monkeypatch.chdir(tmp_path)
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    return password


def test_the_command_adds_lists_and_disables(command: Path, users_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["users", "add", "ada", "--role", "reviewer", "--role", "operator", "--password-file", str(command), "--json"]) == 0
    )
    added = json.loads(capsys.readouterr().out)
    assert added == {"id": "usr_ada", "name": "ada", "roles": ["reviewer", "operator"], "disabled": False, "valid_after": None}
    assert Users(users_file).authenticate("ada", PASSWORD) is not None
    assert main(["users", "disable", "ada"]) == 0
    capsys.readouterr()
    assert main(["users", "--json", "list"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["total"], listed["items"][0]["disabled"]) == (1, True)


def test_the_command_changes_roles_and_enables_and_a_new_password_replaces_the_old(
    command: Path, users_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["users", "add", "ada", "--role", "reviewer", "--password-file", str(command)])
    assert main(["users", "roles", "ada", "--role", "operator", "--role", "admin"]) == 0
    assert "ada (operator, admin) has these roles now" in capsys.readouterr().out
    main(["users", "disable", "ada"])
    assert Users(users_file).authenticate("ada", PASSWORD) is None
    main(["users", "enable", "ada"])
    assert Users(users_file).authenticate("ada", PASSWORD) is not None
    other = tmp_path / "other"
    other.write_text("another fine password\n")
    assert main(["users", "passwd", "ada", "--password-file", str(other)]) == 0
    assert Users(users_file).authenticate("ada", PASSWORD) is None
    (ada,) = Users(users_file).all()
    assert ada.roles == ("operator", "admin")
    assert ada.password.startswith("$argon2id$")


@pytest.mark.parametrize("weak", ["", "short", "aaaaaaaaaaaaaa", "abababababab", "ada-ada-ada-", "ADAadaADA12"])
def test_the_command_takes_no_weak_password(
    weak: str, command: Path, users_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "weak"
    given.write_text(weak + "\n")
    assert main(["users", "add", "ada", "--role", "admin", "--password-file", str(given)]) == 1
    assert "a password has at least" in capsys.readouterr().err
    assert Users(users_file).all() == []


def test_a_password_may_come_by_standard_input(
    command: Path, users_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD))
    assert main(["users", "add", "ada", "--role", "admin", "--password-file", "-"]) == 0
    assert Users(users_file).authenticate("ada", PASSWORD) is not None
    assert PASSWORD not in capsys.readouterr().out


def test_a_generated_password_is_printed_once_and_works(
    command: Path, users_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["users", "add", "ada", "--role", "admin", "--generate", "--json"]) == 0
    assert Users(users_file).authenticate("ada", json.loads(capsys.readouterr().out)["password"]) is not None


def test_what_cannot_be_done_is_said_and_fails(command: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["users", "disable", "nobody"]) == 1
    assert "nobody is called nobody" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["users", "add", "ada", "--role", "client", "--password-file", str(command)])


def test_an_unknown_setting_is_refused(
    command: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DASHBOARD_BACKEND_URL", "http://typing-error")
    assert main(["users", "list"]) == 1
    assert "unknown setting DASHBOARD_BACKEND_URL" in capsys.readouterr().err


def test_the_users_command_starts_without_streamlit() -> None:
    """It runs once per person at the start of a fleet: it must not load the web server."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, dashboard.__main__; print('streamlit' in sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"
