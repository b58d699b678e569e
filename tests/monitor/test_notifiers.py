"""Notifications leave for real receivers: a small HTTP server through Apprise, Debian's Alertmanager, and a heartbeat's."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from monitor.alerts.condition import Sheet
from monitor.alerts.heartbeat import beat
from monitor.alerts.notify import Message, notifier_of
from monitor.alerts.sender import Sender
from monitor.fleet_alerts import Alerts, Heartbeat, Route, Severity
from monitor.secret import SecretMissing, revealed
from monitor.store.alerts import AlertBook
from monitor.store.database import Database
from monitor.store.deliveries import Outbox
from tests.monitor.alert_receiver import Receiver, receiving
from tests.monitor.processes import free_port, until

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
BODY = {
    "rule": "BackendDown",
    "key": "backend:b1",
    "sentence": "b1 is DOWN: nothing listens",
    "reason": "NET.REFUSED",
    "owner": "NET",
    "labels": {"backend": "b1"},
    "starts_at": START.isoformat(),
    "ends_at": None,
    "runbook": "docs/alerts.md#backenddown",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def route(url: str, **more: str) -> Route:
    return Route.model_validate({"name": "ops", "url": url, **more})


def message(**more: object) -> Message:
    return Message(**{"kind": "firing", "severity": "critical", "idempotency_key": "alr_1:1:firing:ops", "body": BODY, **more})  # type: ignore[arg-type]


def test_apprise_delivers_with_the_key_in_a_header_and_in_the_text(receiver: Receiver, tmp_path: Path) -> None:
    notifier = notifier_of(route(receiver.apprise_url), base=tmp_path)
    assert notifier.send(message()).delivered
    (got,) = receiver.got
    assert got.key == "alr_1:1:firing:ops"
    assert got.body["title"] == "[FIRING critical] BackendDown b1"
    assert got.body["type"] == "failure"
    for words in ("b1 is DOWN: nothing listens.", "NET.REFUSED", "docs/alerts.md#backenddown", "ref alr_1:1:firing:ops"):
        assert words in got.body["message"]
    notifier.send(message(kind="resolved", body=BODY | {"ends_at": START.isoformat()}))
    assert receiver.got[-1].body["type"] == "success"
    assert "Over since" in receiver.got[-1].body["message"]


def test_what_the_receiver_answered_is_said_without_its_address(receiver: Receiver, tmp_path: Path) -> None:
    receiver.status = 503
    outcome = notifier_of(route(receiver.apprise_url), base=tmp_path).send(message())
    assert (outcome.delivered, outcome.said) == (False, "the receiver answered 503")
    outcome = notifier_of(route(f"json://127.0.0.1:{free_port()}/secret"), base=tmp_path).send(message())
    assert not outcome.delivered
    assert "127.0.0.1" not in outcome.said


def test_a_url_from_the_environment_or_a_file_is_read_at_each_use(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_URL", receiver.apprise_url)
    assert notifier_of(route("env:OPS_URL"), base=tmp_path).send(message()).delivered
    notifier = notifier_of(route("file:secrets/ops"), base=tmp_path)
    assert notifier.send(message()).said == "file:secrets/ops cannot be read"
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "ops").write_text(receiver.apprise_url + "\n")
    assert notifier.send(message()).delivered
    (tmp_path / "secrets" / "ops").write_text(receiver.apprise_url.replace("json://", "jsons://") + "?verify=no")
    assert "switches the check of certificates off" in notifier.send(message()).said
    (tmp_path / "secrets" / "ops").write_text("nonsense")
    assert notifier.send(message()).said == "Apprise does not understand the URL"
    with pytest.raises(SecretMissing, match="NOT_SET"):
        revealed("env:NOT_SET", base=tmp_path)
    assert os.environ["OPS_URL"]


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("apprise", "slack://tokenA/tokenB/tokenC"),
        ("apprise", "json://user:pass@hooks.example.com/x"),
        ("apprise", "jsons://hooks.example.com/x?token=abc"),
        ("apprise", "mailto://me@example.com"),
        ("apprise", "env:"),
        ("alertmanager", "https://user:pass@am.example.com"),
        ("alertmanager", "json://am.example.com"),
    ],
)
def test_a_literal_credential_in_a_url_is_refused(kind: str, url: str) -> None:
    with pytest.raises(ValueError, match=r"env:NAME or file:PATH|http"):
        route(url, kind=kind)


@pytest.mark.parametrize("url", ["json://127.0.0.1:9/x", "jsons://hooks.example.com/x", "env:OPS", "file:secrets/ops"])
def test_a_url_without_one_is_taken(url: str) -> None:
    assert route(url).url == url


def test_a_heartbeats_url_is_always_a_reference() -> None:
    with pytest.raises(ValueError, match="env:NAME or file:PATH"):
        Heartbeat.model_validate({"url": "https://hc.example.com/0123"})


def test_a_heartbeat_goes_out_and_says_how_it_went(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "beat").write_text(receiver.url)
    heartbeat = Heartbeat(url="file:beat", every_s=1)
    assert asyncio.run(beat(heartbeat, base=tmp_path)).delivered
    receiver.status = 500
    assert asyncio.run(beat(heartbeat, base=tmp_path)).said == "answered 500"
    assert len(receiver.got) == 2
    (tmp_path / "beat").write_text(f"http://127.0.0.1:{free_port()}/")
    assert asyncio.run(beat(heartbeat, base=tmp_path)).said == "no answer: ConnectError"


def test_the_sender_marks_what_arrived_and_leaves_what_did_not(receiver: Receiver, database: Database, tmp_path: Path) -> None:
    settings = Alerts.model_validate({"routes": [{"name": "ops", "url": receiver.apprise_url}]})
    book, outbox = AlertBook(database), Outbox(database, first_retry_s=0)
    sheet = Sheet(settings)
    sheet.add("CertificateExpired", "certificate:x", "the certificate of b1 is expired", "TLS.EXPIRED", certificate="b1")
    book.evaluate(sheet, names=[], flapping=frozenset(), now=START)
    sender = Sender(outbox, base=tmp_path)
    receiver.status = 500
    assert sender.send_due(settings.routes[0]) == 0
    receiver.status = 200
    assert sender.send_due(settings.routes[0]) == 1
    assert sender.send_due(settings.routes[0]) == 0
    assert len({got.key for got in receiver.got}) == 1, "a retry carries the same key"
    tested = sender.test(settings.routes[0], settings)
    assert tested.delivered
    assert receiver.got[-1].body["title"].startswith("[TEST warning]")
    assert receiver.got[-1].key == tested.idempotency_key


# --- Alertmanager ---------------------------------------------------------------------------------------------------------


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """Debian's, on loopback, without a cluster."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        pytest.skip("no Alertmanager is installed: `make system`")
    config = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}
    (folder / "am.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [program, f"--config.file={folder}/am.yml", f"--storage.path={folder}/am", "--cluster.listen-address="]
    with (folder / "am.log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        until(lambda: _answers(f"http://{address}/-/ready"), within_s=30, what="Alertmanager is ready")
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def test_a_real_alertmanager_shows_what_fires_what_grew_worse_and_what_is_over(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    with alertmanager(tmp_path) as url:

        def shown() -> dict[tuple[str, str], datetime]:
            found = httpx.get(f"{url}/api/v2/alerts").json()
            return {
                (a["labels"]["alertname"], a["labels"]["severity"]): datetime.fromisoformat(a["endsAt"].replace("Z", "+00:00"))
                for a in found
            }

        notifier = notifier_of(route(url, kind="alertmanager"), base=tmp_path)
        begun = (now - timedelta(minutes=1)).isoformat()
        degraded = BODY | {"rule": "BackendDegraded", "starts_at": begun}
        assert notifier.send(message(severity="warning", body=degraded)).said == "answered 200"
        until(lambda: ("BackendDegraded", "warning") in shown(), within_s=10, what="it is shown")
        assert shown()["BackendDegraded", "warning"] > now + timedelta(minutes=50), "a dead monitor is no recovery"
        down = BODY | {"starts_at": begun, "before": {"rule": "BackendDegraded", "severity": "warning"}}
        notifier.send(message(body=down))
        until(lambda: set(shown()) == {("BackendDown", "critical")}, within_s=10, what="the worse one alone is shown")
        over = BODY | {"starts_at": begun, "ends_at": datetime.now(UTC).isoformat()}
        notifier.send(message(kind="resolved", body=over))
        until(lambda: shown() == {}, within_s=10, what="it is over")


def test_what_fires_is_said_again_to_an_alertmanager_that_forgot_it(tmp_path: Path, database: Database) -> None:
    with alertmanager(tmp_path) as url:
        settings = Alerts.model_validate({"routes": [{"name": "am", "kind": "alertmanager", "url": url, "min_severity": "info"}]})
        book = AlertBook(database)
        sender, now = Sender(Outbox(database), base=tmp_path), datetime.now(UTC).replace(microsecond=0)
        sheet = Sheet(settings)
        sheet.add("CertificateExpired", "certificate:x", "expired", "TLS.EXPIRED", certificate="b1")
        sheet.add("BackendDown", "backend:b1", "b1 is DOWN", "NET.REFUSED", backend="b1")
        book.evaluate(sheet, names=[], flapping=frozenset(), now=now)
        outcome = sender.stand(settings.routes[0], book.open_alerts(), settings)
        assert outcome is not None
        assert outcome.delivered

        def shown() -> set[str]:
            return {alert["labels"]["alertname"] for alert in httpx.get(f"{url}/api/v2/alerts").json()}

        until(lambda: shown() == {"CertificateExpired"}, within_s=10, what="what was told, and not what is pending")
        assert sender.stand(settings.routes[0], [], settings) is None
        assert sender.test(settings.routes[0], settings).delivered
        until(lambda: "Test" in shown(), within_s=10, what="the test is shown")


def test_an_alertmanager_that_does_not_answer_is_said_so(tmp_path: Path) -> None:
    outcome = notifier_of(route(f"http://127.0.0.1:{free_port()}", kind="alertmanager"), base=tmp_path).send(message())
    assert (outcome.delivered, outcome.said) == (False, "no answer: ConnectError")


def test_severities_are_ordered() -> None:
    assert [one.rank for one in Severity] == [0, 1, 2]
