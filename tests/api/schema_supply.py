"""What random requests lack to succeed: photographs with a face, ids that exist, somebody who may ask."""

from __future__ import annotations

import random
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from schemathesis import Case, Response

from tests.api.pictures import group, people_of_the_group, same_woman, woman
from tests.api.service import Service

PERSONS_ONLY = "/v1/duplicates"
PHOTOGRAPHS = ("image", "reference_image")
KINDS = {"sub": "subject_id", "smp": "sample_id", "case": "case_id", "bulk": "bulk_id", "scan": "scan_id", "key": "key_id"}
KEPT = 12
"""ids of a kind: old ones are likely to be erased, merged or ended"""
NEEDS = {"heartbeat": "held", "decide": "held", "undo": "decided"}
NEVER_A_KEY = "key_00000000000000000000000000000000"


class Supply:
    """Notes the ids of answers, and puts them and photographs into most of the requests to come; `seed` makes it repeatable."""

    def __init__(self, service: Service, *, seed: int) -> None:
        self._service = service
        self._random = random.Random(seed)
        self._admin = service.site.key("admin")
        self._ids: dict[str, list[str]] = defaultdict(list)
        self._versions: dict[str | None, int] = {}
        self._preview: dict[str, Any] = {}
        client = service.client(self._admin)
        self._own_key = client.api_keys()[0].id
        boxes = [face.box for face in client.detect(group()).faces]
        people = people_of_the_group([(box.x, box.y, box.width, box.height) for box in boxes])
        self._photographs = [b64encode(one).decode() for one in (woman(), woman(), same_woman(), *people)]

    def headers(self, case: Case) -> dict[str, str]:
        """An admin's key, and where a key may not ask a person's token."""
        person = case.operation.path.startswith(PERSONS_ONLY) and case.method == "POST"
        token = self._service.site.dashboard.token("supervisor", "admin") if person else self._admin
        return {"Authorization": f"Bearer {token}"}

    def prepare(self, case: Case) -> None:
        """Change `case` in place; now and then it is sent as it was made."""
        for name, value in (case.path_parameters or {}).items():
            known = self._fitting(case.operation.path, name)
            if known and value not in known and self._often():
                case.path_parameters[name] = self._random.choice([self._random.choice(known), known[-1]])
        if (case.path_parameters or {}).get("key_id") == self._own_key:
            case.path_parameters["key_id"] = NEVER_A_KEY  # revoked or slowed, it would answer for everything else
        if "Authorization" in case.headers and self._random.random() < 0.95:
            del case.headers["Authorization"]  # a made-up one
        if not str(case.headers.get("If-Match", '"')).startswith('"') and self._often():
            del case.headers["If-Match"]
        if isinstance(case.body, dict) and self._often():
            self._fill(case.body)
            version = self._versions.get((case.path_parameters or {}).get("case_id"))
            if "version" in case.body and version and self._often():
                case.body["version"] = version

    def _fitting(self, path: str, name: str) -> list[str]:
        """Ids for that parameter: of cases those that are held, or decided, where the operation needs that."""
        fit = NEEDS.get(path.rpartition("/")[2]) if name == "case_id" else None
        return self._ids[fit] if fit and self._ids[fit] else self._ids[name]

    def _often(self) -> bool:
        return self._random.random() < 0.8

    def _photograph(self) -> str:
        return self._random.choice(self._photographs)

    def _fill(self, body: dict[str, Any]) -> None:
        for name in PHOTOGRAPHS:
            if isinstance(body.get(name), str):
                body[name] = self._photograph()
        if isinstance(body.get("images"), list):
            body["images"] = [self._photograph() for _ in body["images"][:2]]
        for new in body.get("subjects") if isinstance(body.get("subjects"), list) else ():
            if isinstance(new, dict):
                self._fill(new)
        if "bulk_id" in body and "items" in body:
            body.update(self._preview)
        self._narrow(body)

    def _narrow(self, body: dict[str, Any]) -> None:
        """What is right in form, and refused nearly always: a threshold of no engine, a reason of no list, a time gone by."""
        for name in ("threshold", "reason", "retain_until", "min_seq", "override_different", "expires_at"):
            if self._often():
                body.pop(name, None)
        if body.get("reference_image") and body.get("subject_id"):
            body.pop(self._random.choice(["reference_image", "subject_id"]))
        if body.get("verdict") != "same" and self._often():
            body.pop("survivor_id", None)
        known = self._ids["subject_id"]
        for name in ("subject_id", "survivor_id"):
            if body.get(name) and body[name] not in known and known:
                body[name] = self._random.choice(known)
        if isinstance(body.get("subject_ids"), list) and not set(map(str, body["subject_ids"])) <= set(known) and len(known) > 1:
            body["subject_ids"] = self._random.sample(known, 2)

    def learn(self, response: Response) -> None:
        """Note the ids of a good answer."""
        if (
            response.content
            and response.status_code < 300
            and response.headers.get("content-type", [""])[0].startswith("application/json")
        ):
            document = response.json()
            if "version" in document and "id" in document:
                self._versions[document["id"]] = document["version"]
            if "lease" in document:
                self._remember("held", document["id"], document["lease"] is not None)
                self._remember("decided", document["id"], document["state"] == "resolved")
            if document.get("bulk_id") and document.get("items"):
                self._preview = {"bulk_id": document["bulk_id"], "items": document["items"]}
            for found in _strings(document):
                kind = KINDS.get(found.partition("_")[0])
                if kind and found != self._own_key:
                    self._remember(kind, found)

    def _remember(self, kind: str, found: str, yes: bool = True) -> None:
        """As the latest of its kind, or no more."""
        others = [known for known in self._ids[kind] if known != found]
        self._ids[kind] = [*others, *([found] if yes else [])][-KEPT:]


def _strings(document: object) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for value in document.values():
            yield from _strings(value)
    elif isinstance(document, list):
        for value in document:
            yield from _strings(value)
