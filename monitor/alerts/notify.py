"""How a notification leaves: through Apprise, or to an Alertmanager (which groups, inhibits and schedules).

A notifier gives back what came of it as a value. It says nothing of the receiver's address, which is usually a secret.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from monitor.clock import Clock, utc_now
from monitor.fleet_alerts import Route, RouteKind
from monitor.secret import SecretMissing, revealed

TIMEOUT_S = 5.0
# An Alertmanager takes an alert for resolved when it hears no more of it. A dead monitor is no recovery: it has an hour.
STANDS = timedelta(hours=1)
SCHEMES_WITH_HEADERS = ("json", "jsons", "xml", "xmls", "form", "forms")
KEY_HEADER = "Idempotency-Key"


@dataclass(frozen=True)
class Message:
    """`body` as `monitor.store.alerts.body_of` makes it."""

    kind: str
    severity: str
    idempotency_key: str
    body: dict[str, Any]
    test: bool = False


@dataclass(frozen=True)
class Outcome:
    delivered: bool
    said: str


class Notifier(Protocol):
    """One per kind of route."""

    def send(self, message: Message) -> Outcome:
        """Never raises for what it meets."""


def notifier_of(route: Route, *, base: Path, clock: Clock = utc_now) -> Notifier:
    """`base`: the fleet file's folder, below which ``file:`` is looked for."""
    if route.kind is RouteKind.alertmanager:
        return Alertmanager(route.url, base=base, clock=clock)
    return AppriseNotifier(route.url, base=base)


class AppriseNotifier:
    """Any of the services that Apprise knows. The idempotency key stands in the text, and in a header where one can be given."""

    def __init__(self, url: str, *, base: Path) -> None:
        self._url, self._base = url, base

    def send(self, message: Message) -> Outcome:
        try:
            url = revealed(self._url, base=self._base)
        except SecretMissing as error:
            return Outcome(False, str(error))
        if not _verifies(url):
            return Outcome(False, "the URL switches the check of certificates off, which is not done here")
        # Loads more than a hundred plugins: not before the first notification.
        import apprise

        sender = apprise.Apprise()
        if not sender.add(_with_key(url, message.idempotency_key)):
            return Outcome(False, "Apprise does not understand the URL")
        kinds = {"critical": apprise.NotifyType.FAILURE, "warning": apprise.NotifyType.WARNING}
        kind = apprise.NotifyType.SUCCESS if message.kind == "resolved" else kinds.get(message.severity, apprise.NotifyType.INFO)
        result = sender.notify(title=title_of(message), body=text_of(message), notify_type=kind)
        return Outcome(True, "accepted") if result else Outcome(False, _why_not(result))


def title_of(message: Message) -> str:
    what = "TEST" if message.test else message.kind.upper()
    subject = message.body["labels"].get("backend") or message.body["labels"].get("certificate") or ""
    return " ".join(part for part in (f"[{what} {message.severity}]", message.body["rule"], subject) if part)


def text_of(message: Message) -> str:
    body = message.body
    ended = [f"Over since {body['ends_at']}."] if message.kind == "resolved" and body.get("ends_at") else []
    begun = [f"Since {body['starts_at']}."] if body.get("starts_at") else []
    last = f"Reason: {body['reason']}. What to look at: {body['runbook']}"
    return "\n".join([f"{body['sentence'].rstrip('.')}.", *begun, *ended, last, f"ref {message.idempotency_key}"])


def _verifies(url: str) -> bool:
    given = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    return given.get("verify", "yes").strip().lower() in ("yes", "true", "1", "y", "t", "on")


def _with_key(url: str, key: str) -> str:
    if urlsplit(url).scheme.lower() not in SCHEMES_WITH_HEADERS:
        return url
    return f"{url}{'&' if '?' in url else '?'}+{KEY_HEADER}={quote(key, safe='')}"


def _why_not(result: Any) -> str:
    """Apprise keeps what went wrong as log lines, of which we take the status alone: the rest may name the receiver."""
    lines = (entry.message for one in result.results for attempt in one.attempts for entry in attempt.logs)
    found = re.search(r"error=(\d{3})", "\n".join(lines))
    return f"the receiver answered {found.group(1)}" if found else "no answer, or none that was a success"


class Alertmanager:
    """Its API v2. It knows alerts by their labels, so these never change while one is told; what may change is an annotation."""

    def __init__(self, url: str, *, base: Path, clock: Clock = utc_now) -> None:
        self._url, self._base, self._clock = url, base, clock

    def send(self, message: Message) -> Outcome:
        now = self._clock()
        told = [_as_alert(message.body, message.severity, message.idempotency_key, now, over=message.kind == "resolved")]
        before = message.body.get("before")
        if before is not None:
            worse = {**message.body, "rule": before["rule"]}
            told.append(_as_alert(worse, before["severity"], message.idempotency_key, now, over=True))
        if message.test:
            told = [one | {"endsAt": (now + timedelta(minutes=5)).isoformat()} for one in told]
        return self.post(told)

    def stand(self, alerts: Sequence[tuple[dict[str, Any], str]]) -> Outcome:
        """Say again what still fires (body and severity as told): an Alertmanager forgets, and may have been restarted."""
        now = self._clock()
        return self.post([_as_alert(body, severity, None, now, over=False) for body, severity in alerts])

    def post(self, alerts: list[dict[str, Any]]) -> Outcome:
        try:
            url = revealed(self._url, base=self._base).rstrip("/") + "/api/v2/alerts"
            answer = httpx.post(url, json=alerts, timeout=TIMEOUT_S)
        except SecretMissing as error:
            return Outcome(False, str(error))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Outcome(False, f"no answer: {type(error).__name__}")
        return Outcome(answer.is_success, f"answered {answer.status_code}")


def _as_alert(body: dict[str, Any], severity: str, key: str | None, now: datetime, *, over: bool) -> dict[str, Any]:
    annotations = {"summary": body["sentence"], "reason": body["reason"], "owner": body["owner"], "runbook_url": body["runbook"]}
    starts_at = body["starts_at"] or now.isoformat()
    return {
        "labels": {**body["labels"], "alertname": body["rule"], "severity": severity, "key": body["key"]},
        "annotations": annotations | ({"idempotency_key": key} if key else {}),
        "startsAt": starts_at,
        "endsAt": (body["ends_at"] or now.isoformat()) if over else (now + STANDS).isoformat(),
    }
