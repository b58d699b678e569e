"""One run of `blindness`: a first decision, and then what everybody can read, try and find in the logs."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from backend import wire
from backend.store import audit_chain
from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.store.stats import stats
from backend.store.tables import Scan
from backend.wire import Scope, Verdict
from tests.api.pictures import same_woman, woman
from tests.api.service import Service, Site, serving, wait_until
from tests.system.blind_base import CRAWLER, FIRST, ROLES, SECOND, SUPERVISOR, Base, First, copied, person
from tests.system.crawl import Answer, Crawler
from tests.system.sameness import Sameness

UP_TO_DATE_WITHIN_S = 60.0


@dataclass(frozen=True)
class Played:
    first: First
    before: Sequence[Answer]
    """until the second decision"""
    after: Sequence[Answer]
    endpoints: frozenset[str]


def play(base: Base, first: First, folder: Path) -> Played:
    """In a copy of the base."""
    site = copied(base.site, folder)
    with serving(site) as service:
        run = Run(base, site, service, Crawler(service, Sameness(base.parted_ms)))
        return run.play(first)


@dataclass
class Run:
    base: Base
    site: Site
    service: Service
    crawler: Crawler

    def play(self, first: First) -> Played:
        for case_id in (self.base.watched, self.base.taken_back):
            case = self.ask(FIRST, "POST", f"/v1/duplicates/{case_id}/claim")
            self.decide(FIRST, case_id, first.body(wire.Case.model_validate_json(case)), unnamed=True)
        self._everybody_reads()
        self._try(self.base.watched)
        self.ask(SUPERVISOR, "POST", f"/v1/duplicates/{self.base.taken_back}/undo", {"version": 2})
        self._everybody_reads(keys=False)
        self._until_up_to_date(gauges=True)
        self.crawler.ask("anybody", "", "GET", "/metrics")
        self._read_beside()
        before, self.crawler.answers = self.crawler.answers, []
        body = first.body(wire.Case.model_validate_json(self.ask(CRAWLER, "GET", f"/v1/duplicates/{self.base.watched}")))
        self.decide(SECOND, self.base.watched, body, unnamed=True)
        self._until_up_to_date()
        self.crawler.read_everything(SUPERVISOR, self.token(SUPERVISOR), self.base.known, recorded=False)
        return Played(first, before, self.crawler.answers, frozenset(self.crawler.endpoints))

    def callers(self, *, keys: bool) -> Iterator[tuple[str, str]]:
        """People first; then a key of each scope."""
        for name in ROLES:
            yield name, self.token(name)
        for scope in Scope if keys else ():
            yield f"key:{scope}", self.site.key(str(scope))

    def token(self, name: str) -> str:
        return self.site.dashboard.token(ROLES[name], name=name)

    def ask(self, name: str, method: str, path: str, json: object = None) -> bytes:
        return self.crawler.ask(name, self.token(name), method, path, json).content

    def decide(self, name: str, case_id: str, body: object, *, unnamed: bool = False) -> None:
        """`unnamed`: what is sent differs between the runs, so that it is left out of what is compared."""
        self.ask(name, "POST", f"/v1/duplicates/{case_id}/decide", body)
        if unnamed:
            last = self.crawler.answers[-1]
            assert last.status == 200, last
            self.crawler.answers[-1] = replace(last, asked=f"{name} decides {case_id}")

    def _everybody_reads(self, *, keys: bool = True) -> None:
        """First what leaves no event in the trail: nobody has to wait then until it is sealed."""
        self._until_up_to_date(gauges=True)
        self.crawler.ask("anybody", "", "GET", "/metrics")
        for recorded in (False, True):
            for who, token in self.callers(keys=keys):
                self.crawler.read_everything(who, token, self.base.known, recorded=recorded)

    def _try(self, case_id: str) -> None:
        """What others are answered about a case that waits for its second decision, done or refused."""
        path = f"/v1/duplicates/{case_id}"
        subjects = [subject for subject in self.base.known.samples if self._is_of(subject, case_id)]
        verdicts = [
            {"verdict": str(verdict), "survivor_id": survivor}
            for verdict in Verdict
            for survivor in ((None, *subjects, "sub_x") if verdict is Verdict.same else (None,))
        ]
        for name in (CRAWLER, SUPERVISOR, "ops", "root"):
            for version in (1, 3):
                for body in verdicts:
                    self.decide(name, case_id, {**body, "version": version})
                self.ask(name, "POST", f"{path}/undo", {"version": version})
                self.ask(name, "POST", f"{path}/claim", {"version": version})
            for word in ("heartbeat", "release"):
                self.ask(name, "POST", f"{path}/{word}")
        for body in verdicts:
            self.decide(FIRST, case_id, {**body, "version": 2})
        self.ask(FIRST, "POST", f"{path}/claim")
        self.ask(CRAWLER, "POST", f"{path}/undo", {"version": 2})
        for scope in Scope:
            for word in ("decide", "undo", "claim", "takeover"):
                self.crawler.ask(f"key:{scope}", self.site.key(str(scope)), "POST", f"{path}/{word}", {"version": 2})
        self._hold(case_id, verdicts)
        self._search(subjects)

    def _is_of(self, subject: str, case_id: str) -> bool:
        return subject in {one.id for one in person(self.service, "root").case(case_id).subjects}

    def _hold(self, case_id: str, verdicts: Sequence[dict[str, object]]) -> None:
        path = f"/v1/duplicates/{case_id}"
        self.ask(SECOND, "POST", f"{path}/claim", {"version": 2})
        self.ask(CRAWLER, "POST", f"{path}/claim")
        for body in verdicts:
            self.decide(CRAWLER, case_id, {**body, "version": 2})
        self.ask(SUPERVISOR, "POST", f"{path}/undo", {"version": 2})
        self.ask(CRAWLER, "POST", f"{path}/takeover")
        self.ask(SUPERVISOR, "POST", f"{path}/takeover")
        for name in (SECOND, SUPERVISOR):
            for word in ("heartbeat", "release"):
                self.ask(name, "POST", f"{path}/{word}")
        for name in (FIRST, CRAWLER, SUPERVISOR):
            claimed = json.loads(self.ask(name, "POST", "/v1/duplicates/next")).get("id")
            self.ask(name, "POST", f"/v1/duplicates/{claimed}/release")

    def _search(self, subjects: Sequence[str]) -> None:
        """Searches, changes and scans go by who is merged with whom, and who was set apart."""
        pictures = [b64encode(picture).decode() for picture in (woman(), same_woman())]
        for name in (CRAWLER, SUPERVISOR, "ops"):
            for picture in pictures:
                self.ask(name, "POST", "/v1/identify", {"image": picture, "limit": 100})
                for subject in subjects:
                    self.ask(name, "POST", "/v1/verify", {"image": picture, "subject_id": subject})
        for subject in subjects:
            self.ask("ops", "PATCH", f"/v1/subjects/{subject}", {"metadata": {"shelf": "7"}})
        for options in ({"whole": True}, {"whole": True, "reopen_distinct": True}, {"whole": True, "threshold": 0.9}):
            scan = json.loads(self.ask(SUPERVISOR, "POST", "/v1/scans", {"dry_run": True, **options}))["id"]
            self._until_scanned(scan)
            self.ask(CRAWLER, "GET", f"/v1/scans/{scan}")

    def _read_beside(self) -> None:
        """What an administrator of the machine reads: the audit tool and the logs."""
        self._until_up_to_date()
        verified = self.site.command("audit", "verify", "--json")
        self._keep("audit verify", verified.returncode, verified.stdout + verified.stderr)
        last = f"request_id=crawl-{len(self.crawler.answers) - 2}"
        wait_until(lambda: last in self.service.log("access.log"), what="the last line of the log")
        lines = [line for line in self.service.log("access.log").splitlines() if "request_id=crawl-" in line]
        self._keep("access.log", 0, "\n".join(lines))
        app = {self.crawler.same.text(_without_places(line)) for line in self.service.log("app.log").splitlines()}
        self._keep("app.log", 0, "\n".join(sorted(app)))

    def _keep(self, what: str, status: int, text: str) -> None:
        self.crawler.answers.append(Answer(what, status, (), self.crawler.same.text(text)))

    # --- waiting, without a request that is counted or logged by name ---------------------------------------------

    def _until_up_to_date(self, *, gauges: bool = False) -> None:
        """Until every event is sealed and, if asked, /metrics tells of the cases as they are: both happen every few seconds."""
        with self._store() as store:
            wait_until(lambda: audit_chain.head(store).waiting == 0, within_s=UP_TO_DATE_WITHIN_S, what="the trail's seal")
            if not gauges:
                return
            told = {f'face_auth_cases{{state="{state}"}} {count:.1f}' for state, count in stats(store).cases.items()}
        told.add("face_auth_audit_unsealed 0.0")
        wait_until(lambda: told <= set(self._metrics()), within_s=UP_TO_DATE_WITHIN_S, what="the gauges of the cases")

    def _metrics(self) -> list[str]:
        return self.service.get("/metrics").text.splitlines()

    def _until_scanned(self, scan_id: str) -> None:
        def is_finished() -> bool:
            with self._store() as store, store.read() as session:
                scan = session.get(Scan, scan_id)
                return scan is not None and scan.finished_at is not None

        wait_until(is_finished, within_s=UP_TO_DATE_WITHIN_S, what="the scan")

    @contextmanager
    def _store(self) -> Iterator[Store]:
        url, key_file = self.site.environment()["BACKEND_DATABASE_URL"], self.site.folder / "master.key"
        with closing(Store.open(url, keyring=Keyring.load(key_file))) as store:
            yield store


def _without_places(line: str) -> str:
    """The trail is sealed in other portions each time; port and process are others."""
    return re.sub(r"\b(position=|port=|process \[|127\.0\.0\.1:)\d+", r"\1<any>", line)
