from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from streamlit.testing.v1 import AppTest

from backend import wire
from dashboard.roles import HOLDERS, Right, Role
from dashboard.tables import settings as tables
from dashboard.users import Users, UsersError
from monitor import wire as monitor_wire
from tests.dashboard import samples_alerts, samples_trail
from tests.dashboard.conftest import CHEAP, PASSWORD, Desktop, html, read, said
from tests.dashboard.stand_in import Asked, Reply, problem

FILE = ("GET", "/v1/fleet-file")
KEYS = ("GET", "/v1/keys")
MAKE = ("POST", "/v1/keys")
ONE = samples_trail.key(1)


@pytest.fixture
def system(desktop: Desktop) -> Desktop:
    desktop.monitor.routes = {FILE: lambda _: samples_alerts.fleet_file()}
    desktop.backend.routes = {
        KEYS: lambda _: samples_trail.page(
            samples_trail.key(1),
            samples_trail.key(2, revoked_at=datetime.now(UTC) - timedelta(days=1)),
            samples_trail.key(3, last_used_at=None),
        ),
        MAKE: _made,
    }
    return desktop


def _made(asked: Asked) -> Reply:
    body = json.loads(asked.body)
    made = wire.NewKey(**(samples_trail.key(7).model_dump() | {"name": body["name"], "secret": "fa_the_secret"}))
    return Reply(201, made.model_dump_json().encode())


def part(app: AppTest, name: str) -> AppTest:
    return app.segmented_control(key="settings-part").set_value(name).run()


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def posted(desktop: Desktop) -> list[Asked]:
    return [one for one in desktop.backend.asked if one.method != "GET"]


# --- the fleet file ---------------------------------------------------------------------------------------------------


def test_the_fleet_file_is_shown_as_the_monitor_sees_it(system: Desktop) -> None:
    app = system.open("operator", "settings")
    assert not app.exception
    page = html(app)
    for what in (
        "The fleet file is in force: 3 backends, read 2 h ago.", "/etc/face-auth/fleet.yaml", "nginx, least connections",
        "3 failures / 2 passes", "99.9 %", "10.0.0.2:8000", "ca.pem", "operators", "alertmanager", "every 60 s",
    ):  # fmt: skip
        assert what in page


def test_a_refused_file_is_shown_with_line_and_reason(system: Desktop) -> None:
    wrong = monitor_wire.FleetFileMistake(line=7, field="backends.0.wieght", reason="Extra inputs are not permitted")
    refused = {"mistakes": [wrong], "refused_at": datetime.now(UTC) - timedelta(minutes=5)}
    system.monitor.routes[FILE] = lambda _: samples_alerts.fleet_file(**refused)
    page = html(system.open("supervisor", "settings"))
    for what in ("The file on disk is refused (1 mistake, since 5 min ago).", ">7<", "backends.0.wieght", "Extra inputs"):
        assert what in page


def test_a_fleet_without_routes_says_what_would_be_here(system: Desktop) -> None:
    system.monitor.routes[FILE] = lambda _: samples_alerts.fleet_file(alert_routes=[])
    assert "No alert route is described" in said(system.open("operator", "settings"))


def test_a_monitor_that_dies_leaves_the_last_file_and_comes_back(system: Desktop) -> None:
    import streamlit as st

    app = system.open("admin", "settings")
    system.monitor.stop()
    st.cache_data.clear()
    app.run()
    assert "Below is the last fleet file, from just now." in read(app.warning[0].value)
    assert "b3" in html(app)
    system.monitor.start()
    st.cache_data.clear()
    app.run()
    assert not app.warning


def test_a_monitor_that_was_never_reached_is_named(system: Desktop) -> None:
    system.monitor.stop()
    app = system.open("admin", "settings")
    assert not app.exception
    assert "The monitor cannot be reached" in read(app.error[0].value)


@pytest.mark.parametrize(
    ("role", "offered"),
    [
        ("operator", ["Fleet file", "People", "Roles"]),
        ("supervisor", ["Fleet file", "People", "Roles"]),
        ("admin", ["Fleet file", "API keys", "People", "Roles"]),
    ],
)
def test_each_role_is_offered_what_it_may_do(system: Desktop, role: str, offered: list[str]) -> None:
    app = system.open(role, "settings")
    assert list(app.segmented_control(key="settings-part").options) == offered


def test_the_roles_are_told_in_words_for_every_right(system: Desktop) -> None:
    page = html(part(system.open("operator", "settings"), "Roles"))
    assert set(tables.RIGHTS) == set(Right)
    assert set(tables.ROLES) == set(Role)
    for words in tables.RIGHTS.values():
        assert words in page
    rows = dict(zip(tables.RIGHTS, tables.rights(), strict=True))
    assert [cell == tables.YES for cell in rows[Right.erase][1:]] == [role in HOLDERS[Right.erase] for role in Role]


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_are_listed_with_scopes_use_and_end_and_those_that_are_over_apart(system: Desktop) -> None:
    app = part(system.open("admin", "settings"), "API keys")
    page = html(app)
    for what in ("turnstile-1", "client", "used 3 min ago", "never used", "600 requests/min", "(in 60 d)"):
        assert what in page
    assert "turnstile-2" not in page
    app.toggle(key="keys-over").set_value(True).run()
    assert "REVOKED" in html(app)


def test_nobody_has_a_key_yet(system: Desktop) -> None:
    system.backend.routes[KEYS] = lambda _: samples_trail.page()
    assert "No program has a key yet." in said(part(system.open("admin", "settings"), "API keys"))


def test_a_secret_is_shown_until_it_is_put_away_and_then_never_again(system: Desktop) -> None:
    app = part(system.open("admin", "settings"), "API keys")
    assert "Give the key a name and at least one scope." in html(press(app, "keys-do"))
    app.text_input(key="keys-name").set_value("north gate").run()
    app.multiselect(key="keys-scopes").set_value(["client", "viewer"]).run()
    app.number_input(key="keys-rate").set_value(90).run()
    press(app, "keys-do")
    assert [one.value for one in app.code] == ["fa_the_secret"]
    assert "The key north gate is made." in html(app)
    (asked,) = posted(system)
    body = json.loads(asked.body)
    assert (body["name"], body["scopes"], body["rate_per_minute"]) == ("north gate", ["client", "viewer"], 90)
    assert timedelta(days=364) < datetime.fromisoformat(body["expires_at"]) - datetime.now(UTC) <= timedelta(days=365)
    assert app.text_input(key="keys-name").value == ""
    press(app, "keys-seen")
    assert not app.code
    app.run()
    assert "fa_the_secret" not in html(app)


def test_pressing_again_after_a_lost_answer_asks_for_the_same_key(system: Desktop) -> None:
    system.backend.routes[MAKE] = lambda _: problem(503, "database_away", "The database does not answer")
    app = part(system.open("admin", "settings"), "API keys")
    app.text_input(key="keys-name").set_value("gate").run()
    app.multiselect(key="keys-scopes").set_value(["client"]).run()
    app.segmented_control(key="keys-end").set_value("No end").run()
    assert "The database does not answer." in html(press(app, "keys-do"))
    assert app.text_input(key="keys-name").value == "gate", "what was typed stays"
    system.backend.routes[MAKE] = _made
    press(app, "keys-do")
    first, *others = posted(system)
    assert others
    assert {(one.headers["idempotency-key"], one.body) for one in others} == {(first.headers["idempotency-key"], first.body)}


def test_a_key_is_revoked_only_by_who_types_its_name(system: Desktop) -> None:
    revoke = ("DELETE", "/v1/keys/{}")
    system.backend.routes[revoke] = lambda _: ONE
    app = part(system.open("admin", "settings"), "API keys")
    assert "Nothing was done: type the name of the key" in html(press(app, f"revoke-{ONE.id}"))
    app.text_input(key=f"typed-{ONE.id}").set_value("turnstile-3").run()
    press(app, f"revoke-{ONE.id}")
    assert system.backend.count(*revoke) == 0
    app.text_input(key=f"typed-{ONE.id}").set_value("turnstile-1").run()
    assert "turnstile-1 is revoked: it is refused at once." in html(press(app, f"revoke-{ONE.id}"))
    assert system.backend.count("DELETE", f"/v1/keys/{ONE.id}") == 1


def test_a_key_is_rotated_into_one_like_it(system: Desktop) -> None:
    app = part(system.open("admin", "settings"), "API keys")
    app.text_input(key=f"typed-{ONE.id}").set_value("turnstile-1").run()
    press(app, f"rotate-{ONE.id}")
    assert [one.value for one in app.code] == ["fa_the_secret"]
    body = json.loads(posted(system)[0].body)
    assert (body["name"], body["scopes"], body["rate_per_minute"]) == ("turnstile-1", ["client"], 600)
    lasts = datetime.fromisoformat(body["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < lasts <= timedelta(days=90), "as long as the old one lasted"
    assert all(one.method == "POST" for one in posted(system)), "the old one goes on until it is revoked"


def test_a_second_press_never_takes_the_place_of_a_secret_that_nobody_has_put_away(system: Desktop) -> None:
    app = part(system.open("admin", "settings"), "API keys")
    app.text_input(key=f"typed-{ONE.id}").set_value("turnstile-1").run()
    press(app, f"rotate-{ONE.id}")
    assert "the secret of turnstile-1 is still here. Put it away first." in html(press(app, f"rotate-{ONE.id}"))
    app.text_input(key="keys-name").set_value("gate").run()
    app.multiselect(key="keys-scopes").set_value(["client"]).run()
    assert "is still here" in html(press(app, "keys-do"))
    assert len(posted(system)) == 1
    press(app, "keys-seen")
    press(app, "keys-do")
    assert len(posted(system)) == 2


def test_the_name_of_a_key_is_no_markup(system: Desktop) -> None:
    system.backend.routes[KEYS] = lambda _: samples_trail.page(samples_trail.key(1, name="![x](https://elsewhere.example/x.png)"))
    label = part(system.open("admin", "settings"), "API keys").text_input(key=f"typed-{ONE.id}").label
    assert r"\!\[x\]\(https\:" in label


def test_a_limit_is_set_and_taken_away(system: Desktop) -> None:
    change = ("PATCH", "/v1/keys/{}")
    system.backend.routes[change] = lambda _: ONE
    app = part(system.open("admin", "settings"), "API keys")
    app.number_input(key=f"rate-{ONE.id}").set_value(30).run()
    assert "turnstile-1 may send 30 requests per minute at each replica." in html(press(app, f"limit-{ONE.id}"))
    assert json.loads(posted(system)[-1].body) == {"rate_per_minute": 30}
    app.number_input(key=f"rate-{ONE.id}").set_value(0).run()
    assert "turnstile-1 has no limit." in html(press(app, f"limit-{ONE.id}"))
    assert json.loads(posted(system)[-1].body) == {"rate_per_minute": 0}


def test_a_backend_that_dies_leaves_the_last_list_of_keys(system: Desktop) -> None:
    app = part(system.open("admin", "settings"), "API keys")
    system.backend.stop()
    app.run()
    assert "Below is the last list of keys" in read(app.warning[0].value)
    assert "turnstile-1" in html(app)


# --- people -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def people(system: Desktop) -> Desktop:
    for name, roles in (("grace", [Role.reviewer]), ("eve", [Role.operator, Role.reviewer])):
        system.users.add(name, PASSWORD, roles)
    system.users.set_disabled("eve", True, datetime.now(UTC))
    return system


def chosen(app: AppTest, name: str, typed: str) -> AppTest:
    app.selectbox(key="people-who").set_value(name).run()
    return app.text_input(key=f"typed-{name}").set_value(typed).run()


def test_people_are_listed_without_their_hashes(people: Desktop) -> None:
    app = part(people.open("supervisor", "settings"), "People")
    page = html(app)
    for what in ("grace", "eve", "operator, reviewer", "disabled", "may sign in"):
        assert what in page
    assert "argon2" not in page
    assert "python -m dashboard users add" in app.code[0].value
    assert not app.selectbox, "supervisors read"


def test_an_administrator_changes_roles_by_typing_the_name(people: Desktop) -> None:
    app = part(people.open("admin", "settings"), "People")
    chosen(app, "grace", "gracie")
    app.multiselect(key="roles-grace").set_value(["supervisor"]).run()
    assert "Nothing was changed: type the name, grace." in html(press(app, "set-grace"))
    app.text_input(key="typed-grace").set_value("grace").run()
    assert "grace has these roles now: supervisor." in html(press(app, "set-grace"))
    assert people.users.get("grace").roles == (Role.supervisor,)  # type: ignore[union-attr]
    app.multiselect(key="roles-grace").set_value([]).run()
    assert "give at least one role" in html(press(app, "set-grace"))


def test_a_person_is_disabled_and_let_in_again(people: Desktop) -> None:
    app = chosen(part(people.open("admin", "settings"), "People"), "grace", "grace")
    press(app, "able-grace")
    assert people.users.get("grace").disabled  # type: ignore[union-attr]
    assert app.button(key="able-grace").label == "Let in again"
    press(app, "able-grace")
    assert not people.users.get("grace").disabled  # type: ignore[union-attr]


def test_the_last_administrator_cannot_be_shut_out_not_even_by_themselves(people: Desktop) -> None:
    app = chosen(part(people.open("admin", "settings"), "People"), "a-admin", "a-admin")
    app.multiselect(key="roles-a-admin").set_value(["operator"]).run()
    assert "a-admin is the last administrator who may sign in" in html(press(app, "set-a-admin"))
    assert "a-admin is the last administrator who may sign in" in html(press(app, "able-a-admin"))
    assert people.users.get("a-admin").roles == (Role.admin,)  # type: ignore[union-attr]


def test_whoever_is_no_administrator_any_more_changes_nothing(people: Desktop) -> None:
    app = chosen(part(people.open("admin", "settings"), "People"), "grace", "grace")
    people.users.add("root", PASSWORD, [Role.admin])
    people.users.set_roles("a-admin", [Role.operator])
    app.button(key="able-grace").click().run()
    assert not people.users.get("grace").disabled  # type: ignore[union-attr]
    assert "Only an administrator may do this." in html(app)


def test_two_administrators_at_once_cannot_shut_out_each_other(desktop: Desktop) -> None:
    first, second = Users(desktop.settings.users_file, CHEAP), Users(desktop.settings.users_file, CHEAP)
    first.add("ann", PASSWORD, [Role.admin])
    first.add("bob", PASSWORD, [Role.admin])
    refused: list[str] = []
    barrier = threading.Barrier(2)

    def shut_out(users: Users, name: str) -> None:
        barrier.wait()
        try:
            users.set_disabled(name, True, datetime.now(UTC), keep_an_admin=True)
        except UsersError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=shut_out, args=pair) for pair in ((first, "bob"), (second, "ann"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert sum(not user.disabled for user in Users(desktop.settings.users_file, CHEAP).all()) == 1


def test_the_command_line_may_still_do_it(desktop: Desktop) -> None:
    desktop.users.add("ann", PASSWORD, [Role.admin])
    assert desktop.users.set_disabled("ann", True, datetime.now(UTC)).disabled
