from __future__ import annotations

from datetime import UTC

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.tables import scans as tables
from tests.dashboard import samples_scans as samples
from tests.dashboard.conftest import Desktop, html, said
from tests.dashboard.samples import now
from tests.dashboard.samples_scans import ScanService


def opened(desktop: Desktop, role: str, *scans: object) -> tuple[AppTest, ScanService]:
    service = ScanService(*scans)  # type: ignore[arg-type]
    desktop.backend.routes = service.routes()
    return desktop.open(role, "scans"), service


def button(app: AppTest, key: str) -> object:
    (found,) = [one for one in app.button if one.key == key]
    return found


def keys(app: AppTest) -> set[str]:
    return {one.key or "" for one in app.button}


def test_a_scan_that_runs_tells_its_progress_its_rate_and_the_time_left(desktop: Desktop) -> None:
    app, _ = opened(desktop, "supervisor", samples.scan(2), samples.scan(1, "done", since_seq=40_000, pairs_found=3))
    assert not app.exception
    page = said(app)
    (bar,) = app.get("progress")
    assert bar.proto.value == 30  # 12,288 of 40,000
    assert bar.proto.text == "12,288 of 40,000 templates · 512 templates/s · 3 min left"
    for part in ("Everybody", "Newcomers", "Running", "Done", "ada", "512 templates/s", "4 min ago", "Pairs found"):
        assert part in page, part
    assert page.index("Running") < page.index("Done")
    assert 'href="/duplicates?source=scan"' in page
    assert keys(app) >= {"stop-scan_00000002", "scan-start"}
    assert "resume-scan_00000001" not in keys(app)


def test_what_it_will_cost_is_said_before_it_is_started_and_it_is_started_as_chosen(desktop: Desktop) -> None:
    app, service = opened(desktop, "operator")
    assert "1,000 templates compared with each other and with 39,000 older ones: 39,499,500 comparisons" in said(app)
    assert "about 1 min of work" in said(app)
    assert "No scan was started yet" in said(app)
    assert "/duplicates" not in html(app), "an operator may not see the queue"
    app.segmented_control(key="scan-whom").set_value("Everybody").run()
    assert "40,000 templates compared with each other:" in said(app)
    app.checkbox(key="scan-dry").check().run()
    button(app, "scan-start").click().run()  # type: ignore[attr-defined]
    assert service.bodies == [{"threshold": None, "whole": True, "reopen_distinct": False, "dry_run": True}]
    assert "Started: everybody, dry run" in html(app)
    assert "Pairs would be found" in html(app)
    button(app, "scan-start").click().run()  # type: ignore[attr-defined]
    assert len(service.bodies) == 1
    assert "is under way: wait for it, or cancel it." in html(app)


def test_asking_again_is_confirmed_by_typing(desktop: Desktop) -> None:
    app, service = opened(desktop, "admin")
    app.checkbox(key="scan-again").check().run()
    assert button(app, "scan-start").disabled  # type: ignore[attr-defined]
    app.text_input(key="scan-sure").input("ask").run()
    assert button(app, "scan-start").disabled  # type: ignore[attr-defined]
    app.text_input(key="scan-sure").input("ask again").run()
    button(app, "scan-start").click().run()  # type: ignore[attr-defined]
    assert [body["reopen_distinct"] for body in service.bodies] == [True]


def test_a_scan_is_stopped_and_resumed_where_it_stopped(desktop: Desktop) -> None:
    app, service = opened(desktop, "supervisor", samples.scan(1))
    button(app, "stop-scan_00000001").click().run()  # type: ignore[attr-defined]
    assert service.scans["scan_00000001"].state == "cancelled"
    assert "Stopped after 12,288 of 40,000 templates." in html(app)
    assert "Stopped" in html(app)
    assert app.get("progress")[0].proto.text.startswith("12,288 of 40,000")
    button(app, "resume-scan_00000001").click().run()  # type: ignore[attr-defined]
    assert service.scans["scan_00000001"].state == "waiting"
    assert "It goes on after 12,288 of 40,000 templates." in html(app)


def test_one_that_failed_says_why_and_none_is_resumed_while_another_runs(desktop: Desktop) -> None:
    app, _ = opened(desktop, "supervisor", samples.scan(1, "failed"), samples.scan(2))
    assert "raise the threshold" in html(app)
    assert button(app, "resume-scan_00000001").disabled  # type: ignore[attr-defined]


def test_a_refusal_is_a_sentence(desktop: Desktop) -> None:
    app, service = opened(desktop, "supervisor", samples.scan(1))
    service.scans["scan_00000001"] = samples.scan(1, "done")
    button(app, "stop-scan_00000001").click().run()  # type: ignore[attr-defined]
    assert not app.exception
    assert "The scan is done already." in html(app)


def test_a_reviewer_sees_scans_and_starts_none(desktop: Desktop) -> None:
    app, _ = opened(desktop, "reviewer", samples.scan(1), samples.scan(2, "cancelled"))
    assert "12,288 of 40,000 templates" in app.get("progress")[0].proto.text
    assert not {key for key in keys(app) if key.startswith(("scan-", "stop-", "resume-"))}
    assert desktop.backend.count("GET", "/v1/scans/plan") == 0


def test_scans_are_asked_for_as_the_person_and_a_backend_that_dies_is_said_and_comes_back(desktop: Desktop) -> None:
    app, _ = opened(desktop, "operator", samples.scan(1))
    assert all(asked.headers["authorization"].startswith("Bearer ey") for asked in desktop.backend.asked)
    desktop.backend.stop()
    app.run()
    assert not app.exception
    assert any("No backend can be reached" in one.value and "Below is the last list of scans" in one.value for one in app.warning)
    assert "12,288 of 40,000" in html(app) + app.get("progress")[0].proto.text
    desktop.backend.start()
    app.run()
    assert not app.warning


def test_without_a_backend_the_page_says_so(desktop: Desktop) -> None:
    desktop.backend.stop()
    app = desktop.open("reviewer", "scans")
    assert "There is no earlier list of scans to show." in app.error[0].value


def test_a_name_from_afar_cannot_become_markup(desktop: Desktop) -> None:
    app, _ = opened(desktop, "admin", samples.scan(1, "failed", started_by_name="<img src=x>", problem="<script>x</script>"))
    assert "<img" not in html(app)
    assert "<script" not in html(app)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"templates_total": 0}, "there is nothing to compare"),
        ({"estimated_s": None}, "no scan was finished yet"),
        ({"templates_older": 0, "templates_total": 1, "comparisons": 1}, "1 template compared with each other: 1 comparison,"),
    ],
)
def test_the_cost_of_a_scan_in_words(changes: dict[str, object], words: str) -> None:
    assert words in tables.cost(samples.plan(**changes))


def test_what_a_scan_is_in_words() -> None:
    again = samples.scan(1, "done", reopen_distinct=True, dry_run=True, reopened=7)
    assert tables.kind(again) == "Everybody, asks again about pairs decided to be different, dry run: counts, changes nothing"
    facts = dict(tables.facts_of(again))
    assert (facts["Asked again"], facts["Pairs would be found"]) == ("7", "14")
    assert tables.began(again, now().timestamp(), UTC).endswith("(4 min ago) by ada · took 3 min")
    nameless = samples.scan(started_by=None, started_by_name=None)
    assert tables.began(nameless, now().timestamp(), UTC).endswith("by somebody who was not recorded")
    assert tables.progress(samples.scan(1, "waiting", rate_per_s=None, estimated_s=None, templates_done=0)) == (
        0.0,
        "0 of 40,000 templates · waits for a replica to go on with it",
    )
    assert tables.progress(samples.scan(templates_total=0, templates_done=0))[0] == 1.0
