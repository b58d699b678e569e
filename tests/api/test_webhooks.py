"""The webhook between real programs: its signature, its receiver's side, its settings, its commands."""

from __future__ import annotations

import json
import re
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from standardwebhooks import Webhook

from backend.endpoint import Endpoint, EndpointError, Message
from backend.events import CaseOpened, Event, EventType, OtherEvent, WebhookTest, read_event
from backend.settings import SettingsError, load
from backend.webhook import (
    TOLERANCE_S,
    ForgedWebhook,
    MalformedWebhook,
    RepeatedWebhook,
    StaleWebhook,
    keys_of,
    sign,
    verify,
)
from tests.api.pictures import same_woman, woman
from tests.api.service import ROOT, Service, Site, make_site, serving, wait_until
from tests.receiver import OK, SECRET, Receiver, receiving

NOW = 1_900_000_000
NEW_SECRET = "whsec_" + "B" * 43 + "="
BODY = b'{"type":"webhook.test","timestamp":"2030-03-17T17:46:40Z","data":{}}'


def signed(body: bytes = BODY, *, secret: str = SECRET, timestamp: int = NOW, event_id: str = "evt_1") -> dict[str, str]:
    return sign(keys_of(secret), event_id=event_id, timestamp=timestamp, body=body)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


# --- signature and receiver ---------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_specification() -> None:
    """Its example, and its own library in both directions."""
    headers = sign(
        keys_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        event_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    theirs, now = Webhook(SECRET), int(time.time())
    assert theirs.verify(BODY, signed(timestamp=now)) == json.loads(BODY)
    signature = theirs.sign("evt_1", datetime.fromtimestamp(now, UTC), BODY.decode())
    of_theirs = {"Webhook-Id": "evt_1", "Webhook-Timestamp": str(now), "Webhook-Signature": signature}
    assert verify(of_theirs, BODY, secret=SECRET).id == "evt_1"


def test_what_is_signed_is_read() -> None:
    event = verify(signed(), BODY, secret=SECRET, now=NOW)
    assert isinstance(event, WebhookTest)
    assert (event.id, event.timestamp) == ("evt_1", datetime(2030, 3, 17, 17, 46, 40, tzinfo=UTC))


def test_a_type_of_a_later_version_is_passed_on() -> None:
    body = b'{"type":"case.painted","timestamp":"2030-03-17T17:46:40Z","data":{"colour":"red"},"more":1}'
    event = verify(signed(body), body, secret=SECRET, now=NOW)
    assert isinstance(event, OtherEvent)
    assert (event.type, event.data) == ("case.painted", {"colour": "red"})


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "evt_2"},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,a,b"},
        {"webhook-signature": "v1,%é"},
        {"webhook-signature": signed()["webhook-signature"].replace("v1,", "v2,")},
    ],
)
def test_what_was_forged_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(ForgedWebhook) as refused:
        verify({**signed(), **changed}, BODY, secret=SECRET, now=NOW)
    assert refused.value.status == 400


def test_another_body_and_another_secret_are_forged() -> None:
    with pytest.raises(ForgedWebhook):
        verify(signed(), BODY + b" ", secret=SECRET, now=NOW)
    with pytest.raises(ForgedWebhook):
        verify(signed(), BODY, secret=NEW_SECRET, now=NOW)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_without_a_header_it_is_malformed(missing: str) -> None:
    headers = {name: value for name, value in signed().items() if name != missing}
    with pytest.raises(MalformedWebhook):
        verify(headers, BODY, secret=SECRET, now=NOW)


@pytest.mark.parametrize("timestamp", ["soon", "-5", "1.5", "²", "9" * 30])
def test_a_time_that_is_none_is_malformed(timestamp: str) -> None:
    with pytest.raises(MalformedWebhook):
        verify({**signed(), "webhook-timestamp": timestamp}, BODY, secret=SECRET, now=NOW)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"type":"case.opened","timestamp":"2030-03-17T17:46:40Z","data":{}}'])
def test_a_signed_body_that_is_no_event_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedWebhook) as refused:
        verify(signed(body), body, secret=SECRET, now=NOW)
    assert refused.value.status == 400


@pytest.mark.parametrize("late_s", [TOLERANCE_S + 1, -TOLERANCE_S - 1])
def test_a_time_too_far_from_now_is_stale(late_s: int) -> None:
    at_the_edge = NOW + (TOLERANCE_S if late_s > 0 else -TOLERANCE_S)
    assert verify(signed(), BODY, secret=SECRET, now=at_the_edge).id == "evt_1"
    with pytest.raises(StaleWebhook) as refused:
        verify(signed(), BODY, secret=SECRET, now=NOW + late_s)
    assert refused.value.status == 400


def test_a_repeat_is_told_apart_and_answered_as_the_first_time() -> None:
    handled: set[str] = set()
    event = verify(signed(), BODY, secret=SECRET, seen=handled.__contains__, now=NOW)
    handled.add(event.id)
    with pytest.raises(RepeatedWebhook) as refused:
        verify(signed(timestamp=NOW + 5), BODY, secret=SECRET, seen=handled.__contains__, now=NOW + 5)
    assert refused.value.status == 200
    with pytest.raises(ForgedWebhook):  # whoever cannot sign learns nothing of what was handled
        verify({**signed(), "webhook-signature": "v1,AAAA"}, BODY, secret=SECRET, seen=handled.__contains__, now=NOW)


def test_a_secret_is_replaced_without_a_gap() -> None:
    both = f"{NEW_SECRET} {SECRET}"
    assert len(signed(secret=both)["webhook-signature"].split(" ")) == 2
    for sender, knows in ((SECRET, both), (both, both), (both, SECRET), (both, NEW_SECRET), (NEW_SECRET, both)):
        assert verify(signed(secret=sender), BODY, secret=knows, now=NOW).id == "evt_1"
    Webhook(NEW_SECRET).verify(BODY, signed(secret=both, timestamp=int(time.time())))


@pytest.mark.parametrize("secret", ["", " ", "hunter2", "whsec_", "whsec_hunter2!", "whsec_" + "A" * 8, f"{SECRET} hunter2"])
def test_a_poor_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="secret") as refused:
        keys_of(secret)
    assert "hunter2" not in str(refused.value)


def test_the_document_shows_an_event_of_every_type_as_it_is_read() -> None:
    text = (ROOT / "docs" / "webhooks.md").read_text("utf-8")
    shown = [block.encode() for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    read = [read_event("evt_1", block) for block in shown]
    assert {event.type for event in read} == set(EventType)
    for block, event in zip(shown, read, strict=True):
        data = event.model_dump(mode="json")["data"]
        assert json.loads(block)["data"] == data, "a field is missing, or is none"
    named = re.findall(r"^\| `([a-z.]+)` \|", text.partition("## Events")[2].partition("## Verifying")[0], re.MULTILINE)
    assert named == ["type", *EventType, "webhook.test"]


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["https://example.org/hook?token=1", "http://127.0.0.1:9000/", "http://[::1]:9000/", "http://localhost/hook"]
)
def test_an_encrypted_way_or_this_machine_is_taken(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text(f"{NEW_SECRET}\n{SECRET}\n")
    monkeypatch.setenv("BACKEND_WEBHOOK_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("BACKEND_WEBHOOK_URL", url)
    monkeypatch.setenv("BACKEND_WEBHOOK_EVENTS", "case.decided, enrolment.rejected")
    chosen = load()
    assert chosen.webhook_url is not None
    assert chosen.webhook_url.get_secret_value() == url
    assert chosen.webhook_events == ("case.decided", "enrolment.rejected")
    assert url not in repr(chosen)


@pytest.mark.parametrize(
    ("url", "secret", "events", "why"),
    [
        ("http://example.org/hunter2", SECRET, "", "WEBHOOK_URL: it begins with https://"),
        ("http://localhost.example.org/hunter2", SECRET, "", "WEBHOOK_URL: it begins with https://"),
        ("ftp://127.0.0.1/hunter2", SECRET, "", "WEBHOOK_URL: it begins with https://"),
        ("https:///hunter2", SECRET, "", "WEBHOOK_URL: it begins with https://"),
        ("https://[hunter2", SECRET, "", "WEBHOOK_URL"),
        ("https://example.org:99999/hunter2", SECRET, "", "WEBHOOK_URL: its port is a number"),
        ("https://example.org", "", "", "WEBHOOK_URL needs BACKEND_WEBHOOK_SECRET"),
        ("https://example.org", "hunter2", "", "WEBHOOK_SECRET: a secret is whsec_"),
        ("https://example.org", SECRET, "case.opened,hunter2", "WEBHOOK_EVENTS"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(
    url: str, secret: str, events: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("URL", url), ("SECRET", secret), ("EVENTS", events)):
        monkeypatch.setenv(f"BACKEND_WEBHOOK_{name}", value)
    with pytest.raises(SettingsError, match=why) as refused:
        load()
    assert "hunter2" not in str(refused.value)


def test_a_certificate_is_checked_against_the_ca_that_was_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    message = Message("evt_1", json.loads(BODY))
    with receiving(context) as receiver:
        with Endpoint(receiver.url, SECRET, ca_file=tmp_path / "ca.pem").connected() as connection:
            assert connection.post(message).status == 204
        with Endpoint(receiver.url, SECRET).connected() as connection:
            assert connection.post(message).problem == "ConnectError"
        assert receiver.ids() == ["evt_1"]
    with pytest.raises(EndpointError, match="CA file"):
        Endpoint("https://example.org", SECRET, ca_file=tmp_path / "none.pem")


# --- the service and its commands ---------------------------------------------------------------------------------


def site_telling(folder: Path, receiver: Receiver) -> Site:
    return make_site(folder / "site", BACKEND_WEBHOOK_URL=f"{receiver.url}-hunter2", BACKEND_WEBHOOK_SECRET=SECRET)


def make_a_case(service: Service) -> str:
    client = service.client(service.site.key("client"))
    client.enrol([woman()], external_id="A-1")
    return client.enrol([same_woman()], external_id="A-2").case_id or ""


def failing_first(times: int) -> Callable[[Event], tuple[int, dict[str, str]]]:
    left = iter(range(times))
    return lambda _: OK if next(left, None) is None else (500, {})


def test_the_service_tells_of_a_case_again_until_it_is_taken_and_logs_no_address(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = failing_first(1)
    with serving(site_telling(tmp_path, receiver)) as service:
        case_id = make_a_case(service)
        wait_until(lambda: len(receiver.events) == 2, what="the second attempt")
        wait_until(lambda: 'deliveries_total{outcome="delivered"} 1.0' in service.get("/metrics").text, what="the count")
        assert 'deliveries_total{outcome="retried"} 1.0' in service.get("/metrics").text
        log = service.log("app.log")
    first, again = receiver.events
    assert isinstance(first, CaseOpened)
    assert (first.data.case_id, again) == (case_id, first)
    assert first.id in log
    assert "hunter2" not in log


def test_an_event_survives_a_kill_between_its_answer_and_its_deletion(tmp_path: Path, receiver: Receiver) -> None:
    site = site_telling(tmp_path, receiver)
    enrolled = threading.Event()
    with serving(site) as service:

        def kill(_: Event) -> tuple[int, dict[str, str]]:
            enrolled.wait(9)
            service.terminate(signal.SIGKILL)
            service.exit_code()
            receiver.answer = lambda _: OK
            return OK

        receiver.answer = kill
        case_id = make_a_case(service)
        enrolled.set()
        wait_until(lambda: service.process.poll() is not None, what="the kill")
    with serving(site, name="b2"):
        wait_until(lambda: len(receiver.events) == 2, within_s=60, what="the second delivery")
    first, again = receiver.events
    assert isinstance(first, CaseOpened)
    assert (first.data.case_id, again) == (case_id, first)


def test_a_receiver_that_hangs_holds_up_no_stop(tmp_path: Path, receiver: Receiver) -> None:
    left = threading.Event()

    def hang(_: Event) -> tuple[int, dict[str, str]]:
        left.wait(30)
        return OK

    receiver.answer = hang
    with serving(site_telling(tmp_path, receiver)) as service:
        make_a_case(service)
        wait_until(lambda: receiver.events, what="the attempt")
        service.terminate()
        assert service.exit_code(within_s=9) == 0
    left.set()


def test_a_test_event_is_sent_at_once_and_its_answer_shown(fresh_site: Site, receiver: Receiver) -> None:
    telling = {"BACKEND_WEBHOOK_URL": receiver.url, "BACKEND_WEBHOOK_SECRET": SECRET}
    sent = fresh_site.command("webhooks", "test", "--json", **telling)
    shown = json.loads(sent.stdout)
    assert (sent.returncode, shown["status"], shown["problem"]) == (0, 204, None)
    assert [(event.type, event.id) for event in receiver.events] == [("webhook.test", shown["id"])]
    receiver.answer = lambda _: (401, {})
    refused = fresh_site.command("webhooks", "test", **telling)
    assert (refused.returncode, "401" in refused.stdout, "NOT delivered" in refused.stdout) == (1, True, True)
    unset = fresh_site.command("webhooks", "test")
    assert (unset.returncode, "BACKEND_WEBHOOK_URL" in unset.stderr) == (1, True)


def test_what_is_not_delivered_is_listed_and_what_was_given_up_tried_again(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda _: (410, {})
    with serving(site_telling(tmp_path, receiver)) as service:
        site = service.site
        make_a_case(service)

        def listed() -> list[dict[str, object]]:
            items: list[dict[str, object]] = json.loads(site.command("webhooks", "list", "--json").stdout)["items"]
            return items

        wait_until(lambda: [one["state"] for one in listed()] == ["dropped"], what="that it is given up")
        (event_id,) = receiver.ids()
        (one,) = listed()
        assert (one["id"], one["type"], one["last_result"], one["attempts"]) == (event_id, "case.opened", "410", 1)
        assert event_id in site.command("webhooks", "list").stdout
        assert site.command("webhooks", "retry", "evt_another").returncode == 1
        receiver.answer = lambda _: OK
        again = site.command("webhooks", "retry", event_id, "--json")
        assert (again.returncode, json.loads(again.stdout)) == (0, {"tried_again": 1})
        wait_until(lambda: listed() == [], what="the delivery")
        assert receiver.ids() == [event_id, event_id]
        assert site.command("webhooks", "retry", "--all").returncode == 1
