from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import runbook
from dashboard.tables import alerts as tables
from monitor import wire
from tests.dashboard import samples_alerts as samples
from tests.dashboard.conftest import Desktop, html, read, said
from tests.dashboard.stand_in import Reply, problem

ONE = "alr_00000001"
ACKNOWLEDGE = ("POST", "/v1/alerts/{}/acknowledge")
SILENCE = ("POST", "/v1/silences")
MAINTAIN = ("POST", "/v1/maintenance")


@pytest.fixture
def fleet(desktop: Desktop) -> Desktop:
    desktop.monitor.routes = samples.whole()
    return desktop


def part(app: AppTest, name: str) -> AppTest:
    return app.segmented_control(key="alerts-part").set_value(name).run()


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def sent(desktop: Desktop, route: tuple[str, str]) -> dict[str, object]:
    asked = [one for one in desktop.monitor.asked if (one.method, one.path) == route]
    assert len(asked) == 1
    body: dict[str, object] = json.loads(asked[0].body)
    return body


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_what_fires_stands_first_by_urgency_and_what_is_held_back_apart(fleet: Desktop) -> None:
    app = fleet.open("operator", "alerts")
    assert not app.exception
    page = html(app)
    assert "2 alerts fire, 1 of them not acknowledged. 1 more fires and is told to nobody." in page
    order = [page.index(what) for what in ("CRITICAL", "LoadOutlier", "CertificateExpiring", "does not fire yet")]
    assert order == sorted(order)
    for what in ("acknowledged by ada", "a silence holds it back", "firing for 7 min", "NET.REFUSED"):
        assert what in page
    assert [one.value for one in app.subheader] == ["Held back (1)", "Noticed (1)"]


def test_what_no_route_takes_was_told_to_nobody() -> None:
    step = wire.AlertStep(at=datetime.now(UTC), what="told firing", severity="critical", reason="NET.REFUSED")
    heard, unheard = (samples.detail(history=[step], deliveries=told) for told in ([samples.delivery()], []))
    words = [tables.steps(one, UTC, datetime.now(UTC).timestamp())[0][1] for one in (heard, unheard)]
    assert words == ["told", "no route takes it"]


def test_where_nothing_is_wrong_it_says_so(desktop: Desktop) -> None:
    desktop.monitor.routes = {("GET", "/v1/alerts"): lambda _: samples.page()}
    app = desktop.open("supervisor", "alerts")
    assert "Nothing fires." in html(app)
    assert "No alert fires" in said(app)
    assert "No alert has ended yet." in said(part(app, "History"))


def test_a_monitor_that_dies_leaves_the_last_list_with_its_age_and_comes_back(fleet: Desktop) -> None:
    app = fleet.open("operator", "alerts")
    fleet.monitor.stop()
    app.run()
    assert "Below is the last list of alerts, from just now." in read(app.warning[0].value)
    assert "BackendDown" in html(app)
    fleet.monitor.start()
    app.run()
    assert not app.warning


def test_a_monitor_that_was_never_reached_is_named(fleet: Desktop) -> None:
    fleet.monitor.stop()
    app = fleet.open("operator", "alerts")
    assert not app.exception
    assert "The monitor cannot be reached" in read(app.error[0].value)


def test_alerts_are_asked_as_the_person_and_not_with_the_dashboards_key(fleet: Desktop) -> None:
    fleet.open("operator", "alerts")
    asked = [one for one in fleet.monitor.asked if one.path == "/v1/alerts"]
    assert asked
    assert all("fa_viewer_key" not in one.headers["authorization"] for one in asked)


def test_one_alert_shows_its_meaning_its_history_and_who_was_told(fleet: Desktop) -> None:
    app = press(fleet.open("operator", "alerts"), f"open-{ONE}")
    page = html(app)
    for what in ("the network", "noticed", "fires", "operators", "it fires", "accepted", "by nobody yet"):
        assert what in page
    assert "/live or /health of a backend failed fall times in a row." in page
    assert "NET.REFUSED: is its process there?" in page
    next(button for button in app.button if button.label == "Back to the list").click().run()
    assert "2 alerts fire" in html(app)


def test_a_link_asks_for_nothing_but_an_alert(fleet: Desktop) -> None:
    app = fleet.open("operator", "alerts", alert="../synthetic?x=")
    assert "This address names no alert" in said(app)
    assert not [one.path for one in fleet.monitor.asked if "synthetic" in one.path]


def test_the_runbook_is_linked_where_it_is_served(fleet: Desktop) -> None:
    fleet.monitor.routes |= samples.whole(runbook_url="https://wiki.example.com/alerts")
    app = fleet.open("operator", "alerts", alert=ONE)
    assert [link.proto.url for link in app.get("link_button")] == ["https://wiki.example.com/alerts#backenddown"]


def test_every_rule_of_the_runbook_is_read(fleet: Desktop) -> None:
    text = runbook.DOCUMENT.read_text("utf-8")
    rules = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]
    assert len(rules) > 40
    for rule in rules:
        meaning, look = runbook.entry(rule) or ("", "")
        assert meaning, rule
        assert look, rule
    assert runbook.entry("Nothing") is None


def test_history_pages_by_cursor(fleet: Desktop) -> None:
    fleet.monitor.routes[("GET", "/v1/alerts")] = lambda asked: samples.page(
        samples.over(), following=None if asked.query.get("cursor") else "older"
    )
    app = part(fleet.open("supervisor", "alerts"), "History")
    assert "over 1 h ago, it lasted 2 h" in html(app)
    next(button for button in app.button if button.label == "Next page").click().run()
    assert fleet.monitor.asked[-1].query["cursor"] == "older"


def test_deliveries_show_what_was_sent_and_what_failed(fleet: Desktop) -> None:
    app = part(fleet.open("operator", "alerts"), "Deliveries")
    page = html(app)
    for what in ("Sent", "Waiting", "4 attempts", "the receiver answered 503", "[FIRING critical] BackendDown b1"):
        assert what in page
    assert app.code[0].value == "b1 is DOWN.\nReason: NET.REFUSED."
    assert "alr_00000001-2" in said(app)
    app.selectbox(key="deliveries-route").set_value("am").run()
    assert next(one for one in reversed(fleet.monitor.asked) if one.path == "/v1/deliveries").query["route"] == "am"


def test_values_from_afar_cannot_become_markup(fleet: Desktop) -> None:
    evil = samples.alert(1, sentence="<img src=x>", labels={"backend": "<b>x</b>"}, reason="<i>")
    fleet.monitor.routes[("GET", "/v1/alerts")] = lambda _: samples.page(evil)
    fleet.monitor.routes[("GET", "/v1/alerts/{}")] = lambda _: samples.detail(1, sentence="<img src=x>", owner="<u>")
    for app in (fleet.open("operator", "alerts"), fleet.open("operator", "alerts", alert=ONE)):
        for bad in ("<img", "<b>x", "<i>", "<u>"):
            assert bad not in html(app)


# --- what is done -----------------------------------------------------------------------------------------------------


def test_an_alert_is_acknowledged_by_whoever_is_signed_in(fleet: Desktop) -> None:
    fleet.monitor.routes[ACKNOWLEDGE] = lambda _: samples.detail(acknowledged_by="usr_a-operator")
    app = press(fleet.open("operator", "alerts", alert=ONE), "alert-acknowledge")
    assert "Acknowledged: no more reminders until it is over." in html(app)
    assert fleet.monitor.count(*ACKNOWLEDGE) == 1


def test_what_the_monitor_refuses_is_shown_in_its_own_words(fleet: Desktop) -> None:
    fleet.monitor.routes[ACKNOWLEDGE] = lambda _: problem(409, "conflict", "only what fires can be acknowledged")
    app = press(fleet.open("operator", "alerts", alert=ONE), "alert-acknowledge")
    assert "only what fires can be acknowledged." in html(app)


def test_a_silence_is_filled_in_from_the_alert_and_needs_a_reason_and_an_end(fleet: Desktop) -> None:
    fleet.monitor.routes[SILENCE] = lambda _: Reply(201, samples.silence().model_dump_json().encode())
    app = fleet.open("operator", "alerts", alert=ONE)
    key = f"alert-{ONE}"
    assert app.text_area(key=f"{key}-matchers").value == "rule=BackendDown\nbackend=b1"
    assert "Choose when it ends" in html(press(app, f"{key}-do"))
    app.segmented_control(key=f"{key}-end").set_value("4 h").run()
    assert "Give a reason" in html(press(app, f"{key}-do"))
    assert fleet.monitor.count(*SILENCE) == 0
    app.text_input(key=f"{key}-reason").set_value("moved to another rack").run()
    before = datetime.now(UTC)
    assert "Silenced. It ends by itself." in html(press(app, f"{key}-do"))
    body = wire.NewSilence.model_validate(sent(fleet, SILENCE))
    assert (body.matchers, body.comment) == ({"rule": "BackendDown", "backend": "b1"}, "moved to another rack")
    assert timedelta(hours=3, minutes=59) < body.ends_at - before < timedelta(hours=4, minutes=1)
    assert app.text_input(key=f"{key}-reason").value == ""


def test_matchers_that_cannot_be_read_are_told_and_what_was_typed_stays(fleet: Desktop) -> None:
    app = part(fleet.open("operator", "alerts"), "Silences")
    app.text_area(key="silence-matchers").set_value("BackendDown").run()
    app.segmented_control(key="silence-end").set_value("1 h").run()
    press(app, "silence-do")
    assert "Write each matcher as label=pattern; this is none: BackendDown" in html(app)
    assert app.text_area(key="silence-matchers").value == "BackendDown"
    assert fleet.monitor.count(*SILENCE) == 0


def test_a_silence_in_force_can_be_ended_and_one_that_is_over_cannot(fleet: Desktop) -> None:
    fleet.monitor.routes[("DELETE", "/v1/silences/{}")] = lambda _: Reply(204)
    app = part(fleet.open("admin", "alerts"), "Silences")
    page = html(app)
    for what in ("IN FORCE", "OVER", "backend = b3, rule = BackendDown", "the rack is being moved", "ada", "ended early by eve"):
        assert what in page
    assert [button.key for button in app.button if (button.key or "").startswith("end-")] == ["end-sil_00000001"]
    press(app, "end-sil_00000001")
    assert fleet.monitor.count("DELETE", "/v1/silences/sil_00000001") == 1


def test_maintenance_of_chosen_backends_begins_later_and_has_an_end(fleet: Desktop) -> None:
    fleet.monitor.routes[MAINTAIN] = lambda _: Reply(201, samples.maintenance().model_dump_json().encode())
    app = part(fleet.open("operator", "alerts"), "Maintenance")
    app.multiselect(key="maintenance-backends").set_value(["b2", "b3"]).run()
    app.segmented_control(key="maintenance-begin").set_value("Later").run()
    begin = (datetime.now() + timedelta(hours=3)).replace(second=0, microsecond=0)  # noqa: DTZ005 - as a person gives it
    app.datetime_input(key="maintenance-starts").set_value(begin).run()
    app.text_input(key="maintenance-reason").set_value("disks").run()
    app.segmented_control(key="maintenance-end").set_value("1 h").run()
    assert "Maintenance of b2, b3 is noted." in html(press(app, "maintenance-do"))
    body = wire.NewMaintenance.model_validate(sent(fleet, MAINTAIN))
    assert body.starts_at is not None
    assert body.starts_at.replace(tzinfo=None) == begin
    assert (body.backends, body.ends_at - body.starts_at) == (["b2", "b3"], timedelta(hours=1))


def test_a_route_is_tested_and_what_the_receiver_made_of_it_is_said(fleet: Desktop) -> None:
    answers = [(True, "accepted"), (False, "the receiver answered 500")]

    def test(_: object) -> wire.RouteTest:
        delivered, answer = answers.pop(0)
        return wire.RouteTest(route="operators", delivered=delivered, answer=answer, took_ms=120, idempotency_key="t")

    fleet.monitor.routes[("POST", "/v1/alert-routes/{}/test")] = test
    app = press(part(fleet.open("operator", "alerts"), "Routes"), "test-operators")
    assert "The test arrived at operators after 120 ms: accepted." in html(app)
    assert "The test did not arrive at operators (after 120 ms): the receiver answered 500." in html(press(app, "test-operators"))


@pytest.mark.parametrize("role", ["supervisor"])
def test_who_may_not_operate_reads_and_finds_no_button(fleet: Desktop, role: str) -> None:
    app = fleet.open(role, "alerts", alert=ONE)
    assert "BackendDown" in html(app)
    assert [button.label for button in app.button] == ["Back to the list"]
    app.button[0].click().run()
    for name, nothing in (("Silences", "silence-do"), ("Maintenance", "maintenance-do"), ("Routes", "test-operators")):
        part(app, name)
        assert not [button for button in app.button if button.key == nothing or button.label == "End now"]


def test_a_reviewer_has_no_such_page(fleet: Desktop) -> None:
    app = fleet.open("reviewer", "alerts")
    assert "Alerts" not in [title.value for title in app.title]


def test_a_session_that_ended_does_nothing(fleet: Desktop) -> None:
    app = fleet.open("operator", "alerts", alert=ONE)
    fleet.cookies[0] = None
    app.button(key="alert-acknowledge").click().run()
    assert fleet.monitor.count(*ACKNOWLEDGE) == 0
    assert "Your session has ended" in said(app)


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["b1", "a*b", "x?y", "[z]", "*", "a]b"])
def test_a_prefilled_matcher_fits_its_own_value_and_no_other(value: str) -> None:
    pattern = tables.literal(value)
    assert fnmatchcase(value, pattern)
    assert not any(fnmatchcase(other, pattern) for other in ("", "b2", "axb", "xzy", "z", value + "1") if other != value)


def test_matchers_are_read_as_they_are_written() -> None:
    assert tables.read_matchers("rule = A=B \n\n backend=b*") == {"rule": "A=B", "backend": "b*"}
    for wrong, why in (("", "at least one"), ("=x", "label=pattern"), ("a=", "label=pattern"), ("a=1\na=2", "twice")):
        with pytest.raises(ValueError, match=why):
            tables.read_matchers(wrong)


def test_the_whole_in_one_sentence() -> None:
    critical, warning = samples.alert(1), samples.alert(2, severity="warning", acknowledged_by="usr_ada")
    held = samples.alert(3, quiet="maintenance")
    assert tables.sentence([], 0) == ("good", "Nothing fires.")
    assert tables.sentence([], 2) == ("good", "Nothing fires. 2 conditions may become one.")
    assert tables.sentence([held], 0) == ("mute", "Nothing fires. 1 more fires and is told to nobody.")
    assert tables.sentence([critical], 0) == ("bad", "1 alert fires, nobody has acknowledged it.")
    assert tables.sentence([warning], 0) == ("warn", "1 alert fires, acknowledged.")


def test_a_span_says_whether_it_is_on() -> None:
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    hour = timedelta(hours=1)
    assert [tables.span_state(at, at + hour, now) for now in (at - hour, at, at + hour)] == ["to come", "on", "over"]
    told = tables.span_text(at, at + hour, at.timestamp(), ZoneInfo("Europe/Berlin"))
    assert told == "from 01 May 2026, 14:00 (just now) until 01 May 2026, 15:00 (in 1 h)"
