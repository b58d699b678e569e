"""The alerts' API over real uvicorn: what is wrong, what operators do about it, who may, and what a receiver is told."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from monitor import wire
from monitor.client import MonitorClient, ProblemError
from tests.monitor.alert_receiver import Receiver, receiving
from tests.monitor.processes import until
from tests.monitor.test_api import People, serving

FAR = "2999-01-01T00:00:00Z"
IN_AN_HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver, people: People) -> Iterator[str]:
    """A monitor whose one backend does not exist, so that it soon fires; one route to a real receiver, one to nobody."""
    folder = tmp_path_factory.mktemp("monitor")
    keys = [("key_op", "operator"), ("key_view", "viewer")]
    stored = [{"id": k, "name": k, "sha256": hashlib.sha256(k.encode()).hexdigest(), "scopes": [s]} for k, s in keys]
    (folder / "keys.json").write_text(json.dumps(stored))
    (folder / "ops").write_text(receiver.apprise_url)
    (folder / "beat").write_text(receiver.url)
    alerts = {
        "routes": [{"name": "ops", "url": "file:ops"}, {"name": "nobody", "url": "env:NOT_SET"}],
        "for_s": {"BackendDown": 0, "FleetDown": 0},
        "heartbeat": {"url": "file:beat", "every_s": 1},
    }
    with serving(folder, signers_file=people.file, keys_file=folder / "keys.json", alerts=alerts) as served:
        yield served


@pytest.fixture
def ann(url: str, people: People) -> Iterator[MonitorClient]:
    with MonitorClient(url, token=people.token) as client:
        yield client


def the_alert(client: MonitorClient) -> wire.Alert:
    def look() -> wire.Alert | None:
        firing = client.alerts(state=wire.AlertState.firing).items
        return next((one for one in firing if one.rule == "FleetDown"), None)

    return until(look, within_s=30, what="the fleet is down")


def test_an_alert_fires_is_told_and_can_be_read_with_its_history(ann: MonitorClient, receiver: Receiver) -> None:
    alert = the_alert(ann)
    assert (alert.rule, alert.owner, alert.severity, alert.told) == ("FleetDown", "NET", "critical", "critical")
    assert alert.runbook == "docs/alerts.md#fleetdown"
    until(lambda: [one for one in receiver.got if one.key and one.key.startswith(alert.id)], within_s=10, what="it is told")
    sent = until(
        lambda: [one for one in ann.deliveries(route="ops").items if one.state == "sent"], within_s=10, what="it is marked"
    )
    assert sent[0].alert_id == alert.id
    detail = ann.alert(alert.id)
    assert [(one.route, one.state) for one in detail.deliveries if one.kind == "firing"] == [
        ("ops", "sent"),
        ("nobody", "waiting"),
    ]
    assert [step.what for step in detail.history][:3] == ["pending", "firing", "told firing"]
    until(
        lambda: [one for one in ann.deliveries(route="nobody").items if one.answer == "env:NOT_SET is empty"],
        within_s=10,
        what="what does not arrive says why",
    )
    firing = {one.rule for one in ann.alerts(state=wire.AlertState.firing).items}
    assert "BackendDown" not in firing, "it is covered by that of the fleet"


def test_acknowledging_is_idempotent_and_stands_in_the_trail(ann: MonitorClient, url: str, people: People) -> None:
    alert = the_alert(ann)
    assert ann.acknowledge(alert.id).acknowledged_by == "usr_ann"
    with MonitorClient(url, token="key_op") as key:
        assert key.acknowledge(alert.id).acknowledged_by == "usr_ann"
    with MonitorClient(url, token=lambda: people.token(roles=["supervisor"])) as auditor:
        acts = [one for one in auditor.audit().items if one.action == "acknowledge"]
    assert [(one.actor, one.target) for one in acts] == [("usr_ann", alert.id)]


def test_a_silence_is_made_listed_and_lifted(ann: MonitorClient) -> None:
    ends_at = datetime.now(UTC).replace(microsecond=0) + IN_AN_HOUR
    asked = wire.NewSilence(matchers={"rule": "FleetDown"}, ends_at=ends_at, comment="the cable is being changed")
    made = ann.silence(asked)
    assert (made.author, made.ends_at) == ("usr_ann", ends_at)
    until(lambda: the_alert(ann).quiet == "silenced", within_s=10, what="the alert says that it is silenced")
    assert the_alert(ann).state == "firing", "never the state"
    ann.lift_silence(made.id)
    (listed,) = [one for one in ann.silences().items if one.id == made.id]
    assert listed.lifted_by == "usr_ann"
    with pytest.raises(ProblemError) as refused:
        ann.lift_silence(made.id)
    assert (refused.value.status, refused.value.code) == (409, "conflict")


def test_maintenance_is_an_admin_state_of_the_backend_until_it_ends(ann: MonitorClient) -> None:
    window = ann.maintain(wire.NewMaintenance(backends=["b1"], ends_at=datetime.now(UTC) + IN_AN_HOUR, comment="new disks"))
    until(lambda: ann.backend("b1").admin_state is wire.AdminState.maintenance, within_s=10, what="b1 is in maintenance")
    assert ann.backend("b1").state is wire.State.down
    ann.end_maintenance(window.id)
    until(lambda: ann.backend("b1").admin_state is wire.AdminState.active, within_s=10, what="b1 is active")
    assert ann.maintenance().items[0].lifted_by == "usr_ann"


def test_a_test_tells_what_the_receiver_answered(ann: MonitorClient, receiver: Receiver) -> None:
    tested = ann.test_route("ops")
    assert (tested.delivered, tested.answer) == (True, "accepted")
    assert [one.body["title"] for one in receiver.got if one.key == tested.idempotency_key] == ["[TEST warning] Test"]
    assert ann.test_route("nobody").answer == "env:NOT_SET is empty"
    assert [one.name for one in ann.alert_routes().items] == ["ops", "nobody"]
    with pytest.raises(ProblemError) as refused:
        ann.test_route("other")
    assert refused.value.code == "route_not_found"


def test_who_reads_may_not_act_and_who_acts_may_not_read_the_trail(url: str, people: People, ann: MonitorClient) -> None:
    asked = wire.NewMaintenance(ends_at=datetime.now(UTC) + IN_AN_HOUR, comment="x")
    for token in ("key_view", people.token(roles=["reviewer"]), people.token(roles=["supervisor"])):
        with MonitorClient(url, token=token) as client:
            assert client.alerts().total_is == "exact"
            acts = (lambda: client.maintain(asked), lambda: client.acknowledge("alr_x"), lambda: client.test_route("ops"))
            for act in acts:
                with pytest.raises(ProblemError) as refused:
                    act()
                assert refused.value.status == 403
    with pytest.raises(ProblemError) as refused:
        ann.audit()
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/alerts/alr_none", None, 404, "alert_not_found"),
        ("GET", "/v1/alerts?state=nothing", None, 422, "invalid_request"),
        ("GET", "/v1/alerts?cursor=%20", None, 400, "bad_cursor"),
        ("GET", "/v1/deliveries?cursor=x", None, 400, "bad_cursor"),
        ("GET", "/v1/deliveries?limit=501", None, 422, "invalid_request"),
        ("POST", "/v1/alerts/alr_none/acknowledge", None, 404, "alert_not_found"),
        ("POST", "/v1/silences", {"matchers": {"rule": "*"}, "comment": "without an end"}, 422, "invalid_request"),
        ("POST", "/v1/silences", {"matchers": {}, "comment": "x", "ends_at": FAR}, 422, "invalid_request"),
        ("POST", "/v1/silences", {"matchers": {"rule": "*"}, "comment": "x", "ends_at": FAR}, 409, "conflict"),
        ("POST", "/v1/silences", {"matchers": {"rule": "*"}, "comment": "x", "ends_at": FAR, "y": 1}, 422, "invalid_request"),
        ("POST", "/v1/maintenance", {"backends": ["b9"], "comment": "x", "ends_at": FAR}, 404, "backend_not_found"),
        ("DELETE", "/v1/maintenance/mnt_none", None, 404, "not_found"),
        ("DELETE", "/v1/silences/sil_none", None, 404, "not_found"),
    ],
)
def test_a_refusal_is_a_problem_document(
    url: str, people: People, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = httpx.request(method, url + path, json=body, headers={"Authorization": f"Bearer {people.token()}"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_heartbeat_comes_while_the_monitor_is_well(receiver: Receiver, ann: MonitorClient) -> None:
    until(lambda: [one for one in receiver.got if one.body is None], within_s=15, what="a heartbeat")


def test_its_metrics_count_open_alerts(url: str, ann: MonitorClient) -> None:
    the_alert(ann)
    until(
        lambda: re.search(r'face_auth_monitor_alerts\{state="firing"\} [1-9]', httpx.get(f"{url}/metrics").text),
        within_s=10,
        what="the firing alert is counted",
    )


def test_a_literal_credential_in_the_fleet_file_is_refused_with_its_line(tmp_path: Path) -> None:
    from monitor.fleet_file import FleetFileError, read

    backend = {"name": "b1", "url": "http://127.0.0.1:1", "address": "127.0.0.1:1", "server_name": "b1"}
    wrong = {"backends": [backend], "alerts": {"routes": [{"name": "ops", "url": "slack://tokenA/tokenB/tokenC"}]}}
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(wrong, sort_keys=False))
    with pytest.raises(FleetFileError, match=r"fleet.yaml:\d+: alerts.routes.0.*env:NAME") as refused:
        read(tmp_path / "fleet.yaml")
    assert "tokenA" not in str(refused.value)
