"""Those who ask a fleet, what they were told, and whether an answer agrees with it."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.api.service import Service


@dataclass
class Truth:
    """Who is enrolled with which photograph, and who is no more, as the callers were told."""

    living: dict[Path, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    enrolled: int = 0


@dataclass
class Answers:
    """What a replica answered, judged by the truth."""

    truth: Truth
    right: int = 0
    behind: int = 0
    """503: its gallery has not reached `min_seq`"""
    wrong: list[str] = field(default_factory=list)
    """neither right nor 503; with `min_seq`: older than that, or somebody was not found"""
    erased_returned: int = 0
    older: int = 0
    """answers to those who gave no `min_seq`, of a gallery older than `head`: what the others were kept from"""
    head: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def judge(self, answer: httpx.Response, path: Path, min_seq: int | None) -> None:
        with self.lock:
            if answer.status_code == 503 and answer.json()["code"] == "gallery_behind" and min_seq is not None:
                self.behind += 1
            elif answer.status_code != 200:
                self.wrong.append(f"{answer.status_code} {answer.text[:200]}")
            else:
                self._judge_named(answer, path, min_seq)

    def _judge_named(self, answer: httpx.Response, path: Path, min_seq: int | None) -> None:
        named, seq = named_in(answer), answer.json()["seq"]
        self.erased_returned += len(named & self.truth.gone)
        self.older += min_seq is None and seq < self.head
        lives = self.truth.living.get(path)
        if min_seq is not None and (seq < min_seq or (lives is not None and lives not in named)):
            self.wrong.append(f"{path.parent.name}: seq {seq} for {min_seq}, found={lives in named}")
        else:
            self.right += 1


@dataclass(frozen=True)
class Callers:
    key: str
    """may enrol, identify, erase and watch"""

    def enrol(self, service: Service, path: Path, name: str) -> httpx.Response:
        """`name`: the idempotency key."""
        body = {"images": [_encoded(path)], "face": "largest"}
        return service.request("POST", "/v1/subjects", self.key, body, **{"Idempotency-Key": name})

    def erase(self, service: Service, subject: str) -> None:
        answer = service.request("DELETE", f"/v1/subjects/{subject}", self.key)
        assert answer.status_code == 204, answer.text

    def identify(self, service: Service, path: Path, min_seq: int | None = None) -> httpx.Response:
        body = {"image": _encoded(path), "limit": 100} | ({} if min_seq is None else {"min_seq": min_seq})
        return service.request("POST", "/v1/identify", self.key, body)


def subject_of(answer: httpx.Response) -> str:
    assert answer.status_code == 201, answer.text
    subject: str = answer.json()["subject_id"]
    return subject


def named_in(answer: httpx.Response) -> set[str]:
    return {candidate["subject_id"] for face in answer.json()["faces"] for candidate in face["candidates"]}


def duplicates_in(answer: httpx.Response) -> set[str]:
    return {duplicate["subject_id"] for duplicate in answer.json()["duplicates"]}


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
