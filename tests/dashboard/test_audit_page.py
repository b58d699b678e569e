from __future__ import annotations

import csv
import io
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from streamlit.testing.v1 import AppTest

from dashboard import trail_export
from dashboard.gate import Gate
from dashboard.sessions import COOKIE
from dashboard.tables import trail as tables
from tests.dashboard import samples_trail as samples
from tests.dashboard.conftest import Desktop, html, read, said
from tests.dashboard.stand_in import Asked, Reply, problem

EVENTS = ("GET", "/v1/audit")
VERIFY = ("GET", "/v1/audit/verification")
KEYS = ("GET", "/v1/keys")


@pytest.fixture
def trail(desktop: Desktop) -> Desktop:
    desktop.backend.routes = {
        EVENTS: lambda _: samples.page(
            samples.event(1),
            samples.event(2, actor=samples.KEY_ID, action="subject.enrol", object_id="sub_00000001", detail={"state": "active"}),
        ),
        VERIFY: lambda _: samples.verification(),
        KEYS: lambda _: samples.page(samples.key(id=samples.KEY_ID, name="turnstile")),
    }
    desktop.monitor.routes = {EVENTS: lambda _: samples.page(samples.action())}
    return desktop


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def asked(desktop: Desktop) -> Asked:
    return [one for one in desktop.backend.asked if one.path == "/v1/audit"][-1]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_events_are_shown_with_names_where_ids_would_be(trail: Desktop) -> None:
    app = trail.open("admin", "audit")
    assert not app.exception
    page = html(app)
    for what in ("ada", "turnstile (key)", "case.decide", "verdict: same, version: 3", "case…d4e5f6"):
        assert what in page
    assert '<a href="/subjects?subject=sub_00000001" target="_self"' in page


def test_a_supervisor_sees_ends_of_key_ids_and_does_not_ask_for_names(trail: Desktop) -> None:
    app = trail.open("supervisor", "audit")
    assert "key…d4e5f6" in html(app)
    assert trail.backend.count(*KEYS) == 0


@pytest.mark.parametrize("role", ["operator", "reviewer"])
def test_others_have_no_such_page(trail: Desktop, role: str) -> None:
    app = trail.open(role, "audit")
    assert "Audit" not in [title.value for title in app.title]
    assert trail.backend.count(*EVENTS) == 0


def test_filters_are_asked_of_the_backend_with_a_name_for_an_id(trail: Desktop) -> None:
    app = trail.open("admin", "audit")
    app.text_input(key="audit-actor").set_value("ada").run()
    app.text_input(key="audit-action").set_value("case.decide").run()
    app.text_input(key="audit-object").set_value("case_1").run()
    query = asked(trail).query
    assert (query["actor"], query["action"], query["object_id"]) == ("usr_ada", "case.decide", "case_1")
    app.text_input(key="audit-actor").set_value("turnstile").run()
    assert asked(trail).query["actor"] == samples.KEY_ID
    app.text_input(key="audit-actor").set_value("system").run()
    assert asked(trail).query["actor"] == "system"


def test_days_are_whole_days_of_the_reader(trail: Desktop) -> None:
    app = trail.open("admin", "audit")
    app.date_input(key="audit-days").set_value((datetime(2026, 5, 1).date(), datetime(2026, 5, 3).date())).run()  # noqa: DTZ001
    query = asked(trail).query
    assert datetime.fromisoformat(query["after"]) == datetime(2026, 5, 1, tzinfo=UTC)
    assert datetime.fromisoformat(query["before"]) == datetime(2026, 5, 4, tzinfo=UTC)


def test_pages_go_on_by_cursor_and_a_new_condition_begins_anew(trail: Desktop) -> None:
    trail.backend.routes[EVENTS] = lambda _: samples.page(samples.event(), following="older")
    app = trail.open("admin", "audit")
    next(button for button in app.button if button.label == "Next page").click().run()
    assert asked(trail).query["cursor"] == "older"
    app.text_input(key="audit-action").set_value("x").run()
    assert "cursor" not in asked(trail).query


def test_an_empty_trail_and_conditions_that_nothing_fits_say_different_things(desktop: Desktop) -> None:
    desktop.backend.routes = {EVENTS: lambda _: samples.page(), KEYS: lambda _: samples.page()}
    app = desktop.open("admin", "audit")
    assert "Nothing was done yet" in said(app)
    app.text_input(key="audit-action").set_value("x").run()
    assert "No event fits these conditions." in said(app)


def test_a_backend_that_dies_leaves_the_last_page_with_its_age_and_comes_back(trail: Desktop) -> None:
    app = trail.open("supervisor", "audit")
    trail.backend.stop()
    app.run()
    assert "Below is the last page of the trail" in read(app.warning[0].value)
    assert "case.decide" in html(app)
    trail.backend.start()
    app.run()
    assert not app.warning


def test_what_operators_did_is_a_trail_of_its_own(trail: Desktop) -> None:
    app = trail.open("supervisor", "audit")
    app.segmented_control(key="audit-part").set_value("Monitor").run()
    page = html(app)
    for what in ("grace", "test route", "operators", "delivered", "/export/operators.csv"):
        assert what in page
    assert "fa_viewer_key" not in trail.monitor.asked[-1].headers["authorization"]
    trail.monitor.stop()
    app.run()
    assert "Below is the last page of the trail" in read(app.warning[0].value)


# --- the chain --------------------------------------------------------------------------------------------------------


def test_the_chain_is_followed_to_its_end_in_stretches(trail: Desktop) -> None:
    def stretch(ask: Asked) -> object:
        if ask.query.get("cursor") is None:
            return samples.verification(700, next="more")
        return samples.verification(1200, checked=500, restores=[900])

    trail.backend.routes[VERIFY] = stretch  # type: ignore[assignment]
    app = press(trail.open("supervisor", "audit"), "audit-verify")
    assert "The chain is whole: 1,200 events followed" in html(app)
    assert "A backup was restored 1 time." in html(app)
    assert [one.query.get("cursor") for one in trail.backend.asked if one.path == VERIFY[1]] == [None, "more"]
    app.run()
    assert "The chain is whole" in html(app), "it stays until somebody asks again"


def test_a_broken_chain_says_where_and_why(trail: Desktop) -> None:
    trail.backend.routes[VERIFY] = lambda _: samples.verification(
        41, holds=False, broken_at=42, why="the row was changed (seq 42)"
    )
    assert "BROKEN at place 42: the row was changed (seq 42)." in html(press(trail.open("admin", "audit"), "audit-verify"))


def test_a_backend_that_goes_while_the_chain_is_followed_leaves_the_way_on(trail: Desktop) -> None:
    def stretch(ask: Asked) -> object:
        if ask.query.get("cursor") is None:
            return samples.verification(700, next="more")
        return problem(503, "database_away", "The database does not answer")

    trail.backend.routes[VERIFY] = stretch  # type: ignore[assignment]
    app = press(trail.open("admin", "audit"), "audit-verify")
    assert "could not be followed to its end. The database does not answer." in html(app)
    assert "Whole so far: 700 events of 1,200 followed." in html(app)
    trail.backend.routes[VERIFY] = lambda _: samples.verification(1200, checked=500)
    assert app.button(key="audit-verify").label == "Go on"
    press(app, "audit-verify")
    assert "The chain is whole: 1,200 events followed" in html(app)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(trail: Desktop) -> Iterator[httpx.Client]:
    """The routes behind the gate, as `dashboard.app` puts them, over a real uvicorn."""
    app = Starlette(routes=trail_export.routes(trail.made), middleware=[Middleware(Gate, parts=trail.made)])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join(10)
    listener.close()


def signed_in(site: httpx.Client, desktop: Desktop, role: str) -> httpx.Client:
    desktop.sign_in(role)
    site.cookies.clear()
    site.cookies.set(COOKIE, desktop.cookies[0] or "")
    return site


def test_the_link_on_the_page_leads_to_what_is_filtered(trail: Desktop, site: httpx.Client) -> None:
    app = trail.open("supervisor", "audit")
    app.text_input(key="audit-actor").set_value("ada").run()
    app.date_input(key="audit-days").set_value((datetime(2026, 5, 1).date(),)).run()  # noqa: DTZ001
    page = html(app)
    url = page.split('href="/export/audit.csv', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    answer = signed_in(site, trail, "supervisor").get(f"/export/audit.csv{url}")
    assert answer.status_code == 200
    query = asked(trail).query
    assert (query["actor"], query["limit"]) == ("usr_ada", "200")
    assert datetime.fromisoformat(query["after"]) == datetime(2026, 5, 1, tzinfo=UTC)


def test_a_csv_holds_every_page_and_no_cell_is_a_formula(trail: Desktop, site: httpx.Client) -> None:
    def pages(ask: Asked) -> object:
        if ask.query.get("cursor"):
            return samples.page(samples.event(3, object_id="=1+1", actor="@x", action="+2", detail={"a": "=cmd"}))
        return samples.page(samples.event(1), samples.event(2), following="older")

    trail.backend.routes[EVENTS] = pages  # type: ignore[assignment]
    answer = signed_in(site, trail, "admin").get("/export/audit.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="audit-')
    assert answer.headers["cache-control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["seq"] for row in rows] == ["1", "2", "3"]
    assert (rows[2]["object_id"], rows[2]["actor"], rows[2]["action"]) == ("'=1+1", "'@x", "'+2")
    assert json.loads(rows[0]["detail"]) == {"verdict": "same", "version": 3}
    assert rows[0]["object_id"] == samples.event().object_id, "whole ids"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_json_lines_hold_each_event_as_it_came(trail: Desktop, site: httpx.Client) -> None:
    lines = signed_in(site, trail, "supervisor").get("/export/audit.jsonl").text.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["case.decide", "subject.enrol"]
    operators = signed_in(site, trail, "supervisor").get("/export/operators.jsonl").text.splitlines()
    assert [json.loads(line)["target"] for line in operators] == ["operators"]


def test_nobody_without_a_session_and_nobody_of_another_role_gets_a_file(trail: Desktop, site: httpx.Client) -> None:
    assert site.get("/export/audit.csv").status_code == 303
    for role in ("operator", "reviewer"):
        assert signed_in(site, trail, role).get("/export/audit.csv").status_code == 403
    assert trail.backend.count(*EVENTS) == 0
    client = signed_in(site, trail, "admin")
    assert client.get("/export/audit.csv").status_code == 200
    person = trail.made.sessions.read(trail.cookies[0], trail.made.now())
    assert person is not None
    trail.made.sessions.end(person, trail.made.now())
    assert client.get("/export/audit.csv").status_code == 303, "the same address, signed out"


@pytest.mark.parametrize(
    ("path", "status"), [("/export/users.csv", 404), ("/export/audit.xlsx", 404), ("/export/audit.csv?after=2026-05-01", 400)]
)
def test_what_there_is_not_is_said(trail: Desktop, site: httpx.Client, path: str, status: int) -> None:
    assert signed_in(site, trail, "admin").get(path).status_code == status


def test_a_backend_that_is_away_gives_a_sentence_and_no_file(trail: Desktop, site: httpx.Client) -> None:
    trail.backend.stop()
    answer = signed_in(site, trail, "admin").get("/export/audit.csv")
    assert (answer.status_code, "attachment" in str(answer.headers)) == (502, False)
    assert "No backend can be reached" in answer.text


def test_an_answer_that_is_somebody_elses_is_no_mistake_of_the_person(trail: Desktop, site: httpx.Client) -> None:
    trail.backend.routes[EVENTS] = lambda _: Reply(200, b"<html>Sign in to this network</html>", "text/html")
    answer = signed_in(site, trail, "admin").get("/export/audit.csv")
    assert answer.status_code == 502
    assert answer.text.startswith("No backend can be reached")


def test_a_file_that_cannot_be_finished_is_cut_and_never_looks_whole(trail: Desktop, site: httpx.Client) -> None:
    def pages(ask: Asked) -> object:
        if ask.query.get("cursor"):
            return problem(503, "database_away", "The database does not answer")
        return samples.page(samples.event(1), following="older")

    trail.backend.routes[EVENTS] = pages  # type: ignore[assignment]
    client = signed_in(site, trail, "admin")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/export/audit.csv")


def test_a_file_has_a_bounded_number_of_rows(trail: Desktop) -> None:
    many = samples.page(*(samples.event(n + 1) for n in range(200)), following="older")
    lines = "".join(trail_export.written(many, lambda _: many, "jsonl", ())).count("\n")
    assert lines == trail_export.MOST_ROWS
    assert f"{trail_export.MOST_ROWS:,} rows" in html(trail.open("admin", "audit"))


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\tx", "\rx"])
def test_a_cell_that_would_be_a_formula_is_text(text: str) -> None:
    assert tables.safe(text) == f"'{text}"
    assert tables.safe(f"a{text}") == f"a{text}"
